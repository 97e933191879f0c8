/*
 * transfer.c
 *		One request inside the HTTP client: libcurl's options and callbacks.
 *
 * Runs outside any transaction.  Callbacks write into memory that stands ready
 * and return codes; none of them can fail in any other way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "transfer.h"

int64_t
wh_transfer_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* libcurl is about to dial this address: the one place that says no. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = arg;

	if (!wh_guard_address_allowed(&address->addr,
								  &transfer->client->options.policy))
	{
		transfer->is_blocked = true;
		return CURL_SOCKET_BAD;
	}
	transfer->is_dialled = true;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
				  address->protocol);
}

/* A status line begins anew: what came before was an interim answer. */
static size_t
receive_header(char *bytes, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;
	size_t		length = size * count;
	size_t		used = transfer->result.headers_length;
	size_t		room;

	if (length > 5 && memcmp(bytes, "HTTP/", 5) == 0)
		used = 0;
	room = sizeof(transfer->header_bytes) - used;
	memcpy(transfer->header_bytes + used, bytes,
		   length < room ? length : room);
	transfer->result.headers_length = used + (length < room ? length : room);
	return length;
}

static size_t
receive_body(char *bytes, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;
	HttpResult *result = &transfer->result;
	size_t		length = size * count;
	size_t		room = transfer->client->options.body_limit -
	result->body_length;

	if (length <= room)
		room = length;
	memcpy(transfer->body_bytes + result->body_length, bytes, room);
	result->body_length += room;
	if (room == length)
		return length;
	result->is_truncated = true;
	return 0;					/* ends the transfer: we have seen enough */
}

/* Options that are the same for every transfer: design, "Rules". */
static bool
set_fixed_options(Transfer *transfer)
{
	const HttpOptions *options = &transfer->client->options;
	CURL	   *easy = transfer->easy;
	const char *schemes = options->policy.allow_http ? "https,http" : "https";
	const struct
	{
		CURLoption	option;
		long		value;
	}			numbers[] = {
		{CURLOPT_NOSIGNAL, 1}, {CURLOPT_QUICK_EXIT, 1},
		{CURLOPT_FOLLOWLOCATION, 0}, {CURLOPT_MAXREDIRS, 0},
		{CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
		{CURLOPT_SSL_VERIFYPEER, 1}, {CURLOPT_SSL_VERIFYHOST, 2},
		{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
		{CURLOPT_SSL_SESSIONID_CACHE, 0},
		{CURLOPT_NETRC, CURL_NETRC_IGNORED},
		{CURLOPT_DNS_CACHE_TIMEOUT, 0}, {CURLOPT_HTTP09_ALLOWED, 0},
		{CURLOPT_HTTP_CONTENT_DECODING, 0}, {CURLOPT_POST, 1},
		{CURLOPT_TCP_NODELAY, 1}, {CURLOPT_BUFFERSIZE, 16384},
		{CURLOPT_UPLOAD_BUFFERSIZE, 16384},
	};
	const struct
	{
		CURLoption	option;
		const void *value;
	}			pointers[] = {
		{CURLOPT_PROXY, ""}, {CURLOPT_NOPROXY, "*"},
		{CURLOPT_PROTOCOLS_STR, schemes}, {CURLOPT_CAPATH, NULL},
		{CURLOPT_OPENSOCKETDATA, transfer}, {CURLOPT_HEADERDATA, transfer},
		{CURLOPT_WRITEDATA, transfer}, {CURLOPT_PRIVATE, transfer},
		{CURLOPT_ERRORBUFFER, transfer->curl_error},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		if (curl_easy_setopt(easy, numbers[i].option, numbers[i].value) != CURLE_OK)
			return false;
	}
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++)
	{
		if (curl_easy_setopt(easy, pointers[i].option, pointers[i].value) != CURLE_OK)
			return false;
	}
	return curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive_body) == CURLE_OK;
}

Transfer *
wh_transfer_create(HttpClient *client)
{
	Transfer   *transfer = calloc(1, sizeof(Transfer));

	if (transfer == NULL)
		return NULL;
	transfer->client = client;
	transfer->easy = curl_easy_init();
	transfer->body_bytes = malloc(client->options.body_limit + 1);
	if (transfer->easy == NULL || transfer->body_bytes == NULL ||
		!set_fixed_options(transfer))
	{
		wh_transfer_destroy(transfer);
		return NULL;
	}
	return transfer;
}

/* They may hold secrets: wiped before the memory goes back. */
static void
free_headers(Transfer *transfer)
{
	for (struct curl_slist *line = transfer->headers; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
}

void
wh_transfer_destroy(Transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	free_headers(transfer);
	free(transfer->body_bytes);
	free(transfer);
}

/* Split CR LF lines into libcurl's list. */
static bool
set_headers(Transfer *transfer, const char *lines)
{
	static const char *const removed[] = {"Expect:", "Accept:"};
	struct curl_slist *list = NULL;
	char		line[WH_HTTP_LINE_SIZE];

	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++)
	{
		struct curl_slist *longer = curl_slist_append(list, removed[i]);

		if (longer == NULL)
			break;
		list = longer;
	}
	while (*lines)
	{
		const char *end = strstr(lines, "\r\n");
		size_t		length = end ? (size_t) (end - lines) : 0;
		struct curl_slist *longer;

		if (length == 0 || length >= sizeof(line))
			break;
		memcpy(line, lines, length);
		line[length] = '\0';
		longer = curl_slist_append(list, line);
		if (longer == NULL)
			break;
		list = longer;
		lines = end + 2;
	}
	explicit_bzero(line, sizeof(line));
	transfer->headers = list;
	return *lines == '\0';
}

bool
wh_transfer_prepare(Transfer *transfer, const HttpRequest *request)
{
	CURL	   *easy = transfer->easy;
	HttpResult *result = &transfer->result;

	memset(result, 0, sizeof(*result));
	result->owner = request->owner;
	transfer->is_blocked = transfer->is_dialled = false;
	transfer->curl_error[0] = '\0';
	transfer->started_us = wh_transfer_clock();
	return set_headers(transfer, request->headers) &&
		curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
						 (curl_off_t) request->body_length) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_ms) == CURLE_OK;
}

void
wh_transfer_clear(Transfer *transfer)
{
	free_headers(transfer);
}

static HttpErrorClass
classify(const Transfer *transfer, CURLcode code)
{
	switch (code)
	{
		case CURLE_OK:
			return transfer->result.status / 100 == 2 ? HTTP_OK : HTTP_STATUS;
		case CURLE_OPERATION_TIMEDOUT:
			return HTTP_TIMEOUT;
		case CURLE_COULDNT_RESOLVE_HOST:
			return HTTP_DNS;
		case CURLE_COULDNT_CONNECT:
			return HTTP_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return HTTP_TLS;
		case CURLE_OUT_OF_MEMORY:
		case CURLE_FAILED_INIT:
		case CURLE_URL_MALFORMAT:
			return HTTP_INTERNAL;
		default:
			return HTTP_PROTOCOL;
	}
}

static const char *
describe(const Transfer *transfer, CURLcode code)
{
	switch (transfer->result.error_class)
	{
		case HTTP_OK:
		case HTTP_STATUS:
			return "";
		case HTTP_BLOCKED:
			return WH_GUARD_BLOCKED;
		default:
			return transfer->curl_error[0] ? transfer->curl_error :
				curl_easy_strerror(code);
	}
}

void
wh_transfer_finish(Transfer *transfer, CURLcode code)
{
	HttpResult *result = &transfer->result;
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	result->status = (int) status;
	if (code == CURLE_WRITE_ERROR && result->is_truncated)
		code = CURLE_OK;		/* we stopped it ourselves, at the cap */
	result->error_class = classify(transfer, code);
	if (transfer->is_blocked && !transfer->is_dialled)
		result->error_class = HTTP_BLOCKED;
	if (result->error_class == HTTP_STATUS)
		snprintf(result->error, sizeof(result->error),
				 "the receiver answered with status %ld", status);
	else
		snprintf(result->error, sizeof(result->error), "%s",
				 describe(transfer, code));
	result->headers = transfer->header_bytes;
	result->body = transfer->body_bytes;
	result->duration_us = wh_transfer_clock() - transfer->started_us;
}
