/*
 * transfer.c
 *		One request inside the HTTP client: libcurl's options and callbacks.
 *
 * Runs outside any transaction.  Callbacks write into memory that stands ready
 * and return codes; none of them can fail in any other way.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "clock.h"
#include "sockets.h"
#include "text.h"
#include "tls.h"
#include "transfer.h"

/*
 * How much may arrive for an answer beside the body that is kept: headers and
 * what TLS and chunks add, by the most wasteful of honest servers, which sends
 * each byte in a chunk and a record of its own.
 */
#define CALLS_PER_COUNT 16
#define FLOOD_BYTES (1024 * 1024)
#define FLOOD_FACTOR 40

/* libcurl is about to dial this address: the one place that says no. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = arg;
	curl_socket_t opened;

	wh_lookup_answered(transfer);
	if (!wh_guard_address_allowed(&address->addr,
								  &transfer->client->options.policy))
	{
		transfer->is_blocked = true;
		return CURL_SOCKET_BAD;
	}
	transfer->is_dialled = true;
	opened = wh_socket_open(address);
	if (opened == CURL_SOCKET_BAD)
		transfer->socket_error = errno;
	return opened;
}

bool
wh_transfer_is_sent(const Transfer *transfer)
{
	long		sent;

	return transfer->is_begun &&
		(curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent) != CURLE_OK ||
		 sent > 0);
}

/*
 * libcurl is about to send.  It does so again, unasked, when a connection that
 * served others breaks before the answer: an attempt is one request.
 */
static int
begin_request(void *arg, char *our_address, char *their_address, int our_port,
			  int their_port)
{
	Transfer   *transfer = arg;
	struct curl_tlssessioninfo *tls;

	if (wh_transfer_is_sent(transfer))
		return CURL_PREREQFUNC_ABORT;
	transfer->is_begun = true;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK)
		transfer->connection = tls->internals;
	return CURL_PREREQFUNC_OK;
}

static size_t
receive_header(char *bytes, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;

	return wh_answer_add_head(&transfer->answer, bytes, size * count) ?
		size * count : 0;
}

/* Returning 0 ends the transfer: we have seen enough. */
static size_t
receive_body(char *bytes, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;

	return wh_answer_add_body(&transfer->answer, bytes, size * count) ?
		size * count : 0;
}

/*
 * A receiver can send bytes that reach neither of these, such as endless chunk
 * extensions.  Whoever keeps libcurl reading for long has the bytes of its
 * connection counted; the first count says where it stood before, because the
 * connection may have served others.
 */
static int
watch_progress(void *arg, curl_off_t to_receive, curl_off_t received,
			   curl_off_t to_send, curl_off_t sent)
{
	Transfer   *transfer = arg;
	struct tcp_info info = {0};
	socklen_t	length = sizeof(info);

	if (++transfer->progress_calls % CALLS_PER_COUNT != 0 ||
		getsockopt(transfer->socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		return 0;
	if (transfer->progress_calls == CALLS_PER_COUNT)
		transfer->bytes_before = info.tcpi_bytes_received;
	if (info.tcpi_bytes_received - transfer->bytes_before >
		FLOOD_BYTES + FLOOD_FACTOR * transfer->answer.body_size)
		transfer->is_flooded = true;
	return transfer->is_flooded;
}

/* libcurl is about to look a name up. */
static int
begin_lookup(void *resolver, void *reserved, void *arg)
{
	return wh_lookup_begin(arg) ? 0 : 1;
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
		{CURLOPT_NOPROGRESS, 0},
		{CURLOPT_TCP_NODELAY, 1}, {CURLOPT_BUFFERSIZE, 1024},
		{CURLOPT_UPLOAD_BUFFERSIZE, 16384},
	};
	const struct
	{
		CURLoption	option;
		const void *value;
	}			pointers[] = {
		{CURLOPT_PROXY, ""}, {CURLOPT_NOPROXY, "*"},
		{CURLOPT_PROTOCOLS_STR, schemes}, {CURLOPT_CAPATH, NULL},
		{CURLOPT_OPENSOCKETDATA, transfer}, {CURLOPT_PREREQDATA, transfer},
		{CURLOPT_HEADERDATA, transfer}, {CURLOPT_SSL_CTX_DATA, transfer->client},
		{CURLOPT_WRITEDATA, transfer}, {CURLOPT_PRIVATE, transfer},
		{CURLOPT_XFERINFODATA, transfer}, {CURLOPT_RESOLVER_START_DATA, transfer},
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
		curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, wh_socket_close) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, wh_tls_watch) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, begin_request) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, begin_lookup) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch_progress) == CURLE_OK &&
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
	transfer->answer.body_size = client->options.body_limit;
	transfer->answer.body = malloc(client->options.body_limit + 1);
	if (transfer->easy == NULL || transfer->answer.body == NULL ||
		!set_fixed_options(transfer))
	{
		wh_transfer_destroy(transfer);
		return NULL;
	}
	return transfer;
}

/* They may hold secrets of an endpoint. */
static void
free_headers(Transfer *transfer)
{
	if (transfer->headers)
		explicit_bzero(transfer->headers, transfer->headers_size);
	free(transfer->headers);
	transfer->headers = transfer->secrets = NULL;
}

void
wh_transfer_destroy(Transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	free_headers(transfer);
	free(transfer->answer.body);
	free(transfer);
}

static size_t
count_lines(const char *lines)
{
	size_t		count = 0;

	while ((lines = strstr(lines, "\r\n")) != NULL)
	{
		count++;
		lines += 2;
	}
	return count;
}

/*
 * Split CR LF lines into libcurl's list: its nodes and then the text, in one
 * piece of memory, because libcurl's own would be two pieces a line.
 */
static bool
set_headers(Transfer *transfer, const char *lines, const char *secret_lines)
{
	size_t		count = count_lines(lines) + count_lines(secret_lines);
	size_t		length = strlen(lines);
	size_t		secret_length = strlen(secret_lines);
	struct curl_slist *node;
	char	   *line;
	char	   *secrets;

	transfer->headers_size = (count + 2) * sizeof(struct curl_slist) +
		length + secret_length + 1;
	transfer->headers = node = malloc(transfer->headers_size);
	if (node == NULL)
		return false;
	line = memcpy(node + count + 2, lines, length);
	secrets = memcpy(line + length, secret_lines, secret_length + 1);

	node->data = "Expect:";
	node = node->next = node + 1;
	node->data = "Accept:";
	for (size_t i = 0; i < count; i++)
	{
		char	   *end = strstr(line, "\r\n");

		if (end == line)
			return false;
		*end = '\0';
		node = node->next = node + 1;
		node->data = line;
		if (line == secrets)
			transfer->secrets = node;
		line = end + 2;
	}
	node->next = NULL;
	return *line == '\0';
}

bool
wh_transfer_prepare(Transfer *transfer, const HttpRequest *request)
{
	CURL	   *easy = transfer->easy;
	HttpResult *result = &transfer->result;
	long		is_alone = request->is_alone || transfer->client->is_outdated;

	memset(result, 0, sizeof(*result));
	result->owner = request->owner;
	transfer->timeout_us = request->timeout_ms * (int64_t) 1000;
	transfer->is_called = false;
	transfer->group = request->group;
	transfer->is_failing = request->is_failing;
	wh_transfer_restart(transfer);
	transfer->queued_us = transfer->started_us;
	return set_headers(transfer, request->headers,
					   request->secret_headers ? request->secret_headers : "") &&
		curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, is_alone) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, is_alone) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
						 (curl_off_t) request->body_length) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_ms) == CURLE_OK;
}

void
wh_transfer_restart(Transfer *transfer)
{
	transfer->is_blocked = transfer->is_dialled = transfer->is_begun = false;
	transfer->is_flooded = transfer->is_deferred = false;
	transfer->socket_error = 0;
	transfer->name = 0;
	transfer->connection = NULL;
	transfer->socket = CURL_SOCKET_BAD;
	transfer->progress_calls = 0;
	transfer->curl_error[0] = '\0';
	wh_answer_clear(&transfer->answer);
	transfer->started_us = wh_clock_now();
}

void
wh_transfer_clear(Transfer *transfer)
{
	free_headers(transfer);
	transfer->connection = NULL;
}

/* A receiver may send back what it was sent: the log must not show it. */
static void
mask_secrets(const Transfer *transfer)
{
	const HttpResult *result = &transfer->result;

	for (struct curl_slist *line = transfer->secrets; line; line = line->next)
	{
		wh_text_mask_value(result->headers, result->headers_length, line->data);
		wh_text_mask_value((char *) result->body, result->body_length,
						   line->data);
	}
}

void
wh_transfer_finish(Transfer *transfer, CURLcode code)
{
	HttpResult *result = &transfer->result;
	Answer	   *answer = &transfer->answer;
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_WRITE_ERROR && answer->is_body_cut)
		code = CURLE_OK;		/* we stopped it ourselves, at the cap */
	if (code == CURLE_COULDNT_RESOLVE_HOST && wh_transfer_is_sent(transfer))
		code = CURLE_ABORTED_BY_CALLBACK;	/* as in begin_request */
	result->status = (int) status;
	result->error_class = wh_http_classify(transfer, code);
	if (result->error_class == HTTP_STATUS)
		snprintf(result->error, sizeof(result->error),
				 "the receiver answered with status %ld", status);
	else
		snprintf(result->error, sizeof(result->error), "%s",
				 wh_http_describe(transfer, code));
	result->headers = answer->head;
	result->headers_length = answer->head_length;
	result->body = answer->body;
	result->body_length = answer->body_length;
	result->is_truncated = answer->is_body_cut;
	mask_secrets(transfer);
	result->waited_us = transfer->started_us - transfer->queued_us;
	result->duration_us = wh_clock_now() - transfer->started_us;
	wh_lookup_end(transfer);
}

void
wh_transfer_give_up(Transfer *transfer)
{
	HttpResult *result = &transfer->result;

	result->error_class = HTTP_DNS;
	strcpy(result->error,
		   "the name was not looked up, because too many look-ups go unanswered");
	result->duration_us = wh_clock_now() - transfer->started_us;
}
