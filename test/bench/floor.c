/*
 * The floor of the benchmark: what libcurl alone can do, on one thread.
 *
 * It signs and posts the same requests as the extension, stores nothing, and
 * keeps its easy handles, header lists and keyed HMAC contexts.
 *
 *	floor --url URL --cafile FILE [--count N] [--concurrency N]
 *		  [--connections-new] [--hosts N]
 *
 * With --connections-new each request pays a full TLS handshake.  With --hosts
 * the word HOST in the URL stands for N addresses in turn, those for which the
 * receiver makes certificates: 127.1.0.1 to 127.1.0.250, 127.1.1.1, ...
 */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <err.h>
#include <getopt.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define BATCH 64
#define BODY_SIZE 400
#define PER_SUBNET 250
#define SECRET "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define SECRET_KEY_SIZE 32		/* its bytes are 0, 1, ... 31 */

#define set_option(...) check(curl_easy_setopt(__VA_ARGS__))
#define set_multi(...) check_multi(curl_multi_setopt(__VA_ARGS__))

enum
{
	OWN_SIGNATURE,
	EVENT_ID,
	STANDARD_ID,
	STANDARD_TIMESTAMP,
	STANDARD_SIGNATURE,
	EVENT,
	ATTEMPT,
	CONTENT_TYPE,
	NO_EXPECT,
	NO_ACCEPT,
	HEADERS
};

typedef struct
{
	CURL	   *easy;
	char		id[64];
	char		body[BODY_SIZE + 1];
	char		text[HEADERS][128];
	struct curl_slist header[HEADERS];
} Transfer;

static const char *url;
static const char *ca_file;
static long count = 50000;
static long concurrency = 64;
static long hosts = 0;
static bool connections_new = false;

static CURLM *multi;
static int	epoll;
static long timer_ms = -1;		/* as libcurl asked at timer_set */
static int64_t timer_set;
static EVP_MAC_CTX *own_mac;
static EVP_MAC_CTX *standard_mac;
static long started;
static long finished;
static long failed;

static void
check(CURLcode code)
{
	if (code != CURLE_OK)
		errx(1, "%s", curl_easy_strerror(code));
}

static void
check_multi(CURLMcode code)
{
	if (code != CURLM_OK)
		errx(1, "%s", curl_multi_strerror(code));
}

static int64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static EVP_MAC_CTX *
keyed_mac(const void *key, size_t length)
{
	EVP_MAC    *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	OSSL_PARAM	digest[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
		OSSL_PARAM_END
	};

	if (EVP_MAC_init(mac, key, length, digest) != 1)
		errx(1, "HMAC");
	EVP_MAC_free(hmac);
	return mac;
}

static void
prepare_signing(void)
{
	unsigned char key[SECRET_KEY_SIZE];

	for (int i = 0; i < SECRET_KEY_SIZE; i++)
		key[i] = i;
	own_mac = keyed_mac(SECRET, strlen(SECRET));
	standard_mac = keyed_mac(key, sizeof(key));
}

/* Without a key, EVP_MAC_init starts anew with the one it has. */
static void
sign(EVP_MAC_CTX *mac, const char *prefix, const char *body,
	 unsigned char digest[32])
{
	size_t		length;

	if (EVP_MAC_init(mac, NULL, 0, NULL) != 1 ||
		EVP_MAC_update(mac, (const void *) prefix, strlen(prefix)) != 1 ||
		EVP_MAC_update(mac, (const void *) body, BODY_SIZE) != 1 ||
		EVP_MAC_final(mac, digest, &length, 32) != 1)
		errx(1, "HMAC");
}

static void
sign_message(Transfer *t, long now)
{
	static const char own_name[] = "X-Jasper-Signature: sha256=";
	static const char standard_name[] = "webhook-signature: v1,";
	char	   *hex = stpcpy(t->text[OWN_SIGNATURE], own_name);
	char	   *base64 = stpcpy(t->text[STANDARD_SIGNATURE], standard_name);
	char		signed_prefix[96];
	unsigned char digest[32];

	sign(own_mac, "", t->body, digest);
	for (int i = 0; i < 32; i++)
	{
		*hex++ = "0123456789abcdef"[digest[i] >> 4];
		*hex++ = "0123456789abcdef"[digest[i] & 15];
	}
	*hex = '\0';
	snprintf(signed_prefix, sizeof(signed_prefix), "%s.%ld.", t->id, now);
	sign(standard_mac, signed_prefix, t->body, digest);
	EVP_EncodeBlock((unsigned char *) base64, digest, 32);
}

/* Write the next event: a body of 400 bytes that says when it was made. */
static void
make_message(Transfer *t)
{
	int64_t		now = clock_us(CLOCK_REALTIME);
	int			length;

	snprintf(t->id, sizeof(t->id), "%08jx-%04jx-7000-8000-%012lx",
			 (uintmax_t) (now / 1000) >> 16,
			 (uintmax_t) (now / 1000) & 0xffff, started);
	length = snprintf(t->body, sizeof(t->body),
					  "{\"event\":\"review.completed\","
					  "\"timestamp\":\"2026-01-08T10:30:00Z\","
					  "\"organization\":{\"id\":\"org_abc123\","
					  "\"name\":\"Your Organization\"},"
					  "\"data\":{\"t\":%jd,\"padding\":\"", (intmax_t) now);
	memset(t->body + length, 'x', BODY_SIZE - length - 3);
	memcpy(t->body + BODY_SIZE - 3, "\"}}", 4);
	sprintf(t->text[EVENT_ID], "X-Jasper-Event-Id: %s", t->id);
	sprintf(t->text[STANDARD_ID], "webhook-id: %s", t->id);
	sprintf(t->text[STANDARD_TIMESTAMP], "webhook-timestamp: %jd",
			(intmax_t) (now / 1000000));
	sign_message(t, now / 1000000);
}

static size_t
ignore_body(char *data, size_t size, size_t length, void *user)
{
	(void) data;
	(void) user;
	return size * length;
}

static void
prepare_headers(Transfer *t)
{
	strcpy(t->text[EVENT], "X-Jasper-Event: review.completed");
	strcpy(t->text[ATTEMPT], "X-Jasper-Attempt: 1");
	strcpy(t->text[CONTENT_TYPE], "Content-Type: application/json");
	strcpy(t->text[NO_EXPECT], "Expect:");
	strcpy(t->text[NO_ACCEPT], "Accept:");
	for (int i = 0; i < HEADERS; i++)
		t->header[i] = (struct curl_slist)
	{
		t->text[i], i + 1 < HEADERS ? &t->header[i + 1] : NULL
	};
}

static void
prepare_transfer(Transfer *t)
{
	CURL	   *easy = curl_easy_init();

	t->easy = easy;
	prepare_headers(t);
	set_option(easy, CURLOPT_PRIVATE, t);
	set_option(easy, CURLOPT_URL, url);
	set_option(easy, CURLOPT_CAINFO, ca_file);
	set_option(easy, CURLOPT_CAPATH, NULL);
	set_option(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	set_option(easy, CURLOPT_PROXY, "");
	set_option(easy, CURLOPT_NOSIGNAL, 1L);
	set_option(easy, CURLOPT_TIMEOUT_MS, 30000L);
	set_option(easy, CURLOPT_USERAGENT, "Jasper-Webhooks/0");
	set_option(easy, CURLOPT_HTTPHEADER, t->header);
	set_option(easy, CURLOPT_POSTFIELDSIZE, (long) BODY_SIZE);
	set_option(easy, CURLOPT_POSTFIELDS, t->body);
	set_option(easy, CURLOPT_WRITEFUNCTION, ignore_body);
	if (!connections_new)
		return;
	set_option(easy, CURLOPT_FRESH_CONNECT, 1L);
	set_option(easy, CURLOPT_FORBID_REUSE, 1L);
	set_option(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

static void
choose_host(Transfer *t)
{
	const char *host = strstr(url, "HOST");
	long		number = started % hosts;
	char		text[1024];

	if (host == NULL)
		errx(2, "the URL has no HOST");
	snprintf(text, sizeof(text), "%.*s127.1.%ld.%ld%s", (int) (host - url),
			 url, number / PER_SUBNET, number % PER_SUBNET + 1, host + 4);
	set_option(t->easy, CURLOPT_URL, text);
}

static void
start(Transfer *t)
{
	if (started == count)
		return;
	if (hosts > 0)
		choose_host(t);
	started++;
	make_message(t);
	check_multi(curl_multi_add_handle(multi, t->easy));
}

static void
collect(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		CURLcode	code = message->data.result;
		Transfer   *t;
		long		status;

		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		finished++;
		if ((code != CURLE_OK || status / 100 != 2) && failed++ == 0)
			warnx("first failure: %s, status %ld", curl_easy_strerror(code),
				  status);
		check_multi(curl_multi_remove_handle(multi, easy));
		start(t);
	}
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	(void) user;
	if (what == CURL_POLL_REMOVE)
		return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) != 0;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	curl_multi_assign(multi, fd, &epoll);	/* anything: known from now on */
	return epoll_ctl(epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
					 &event) != 0;
}

static int
set_timer(CURLM *handle, long ms, void *user)
{
	(void) handle;
	(void) user;
	timer_ms = ms;
	timer_set = ms > 0 ? clock_us(CLOCK_MONOTONIC) : 0;
	return 0;
}

/* Milliseconds until libcurl's timer; -1: none. */
static int
timer_left(void)
{
	int64_t		passed;

	if (timer_ms <= 0)
		return timer_ms;
	passed = (clock_us(CLOCK_MONOTONIC) - timer_set) / 1000;
	return passed < timer_ms ? timer_ms - passed : 0;
}

static void
act(curl_socket_t fd, uint32_t events)
{
	int			running;
	int			mask = 0;

	if (events & EPOLLIN)
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR;
	check_multi(curl_multi_socket_action(multi, fd, mask, &running));
}

static void
run(void)
{
	struct epoll_event events[BATCH];

	while (finished < count)
	{
		int			left = timer_left();
		int			n = 0;

		if (left == 0)
		{
			timer_ms = -1;
			act(CURL_SOCKET_TIMEOUT, 0);
		}
		else
			n = epoll_wait(epoll, events, BATCH, left);
		for (int i = 0; i < n; i++)
			act(events[i].data.fd, events[i].events);
		collect();
	}
}

static void
prepare_multi(void)
{
	check(curl_global_init(CURL_GLOBAL_DEFAULT));
	multi = curl_multi_init();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (multi == NULL || epoll < 0)
		err(1, "start");
	set_multi(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	set_multi(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	set_multi(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	set_multi(multi, CURLMOPT_MAXCONNECTS, concurrency);
}

static void
read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"url", required_argument, NULL, 'u'},
		{"cafile", required_argument, NULL, 'f'},
		{"count", required_argument, NULL, 'n'},
		{"concurrency", required_argument, NULL, 'c'},
		{"connections-new", no_argument, NULL, 'x'},
		{"hosts", required_argument, NULL, 'h'},
		{0}
	};
	const char *value[128] = {['n'] = "50000",['c'] = "64",['h'] = "0"};
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		value[option & 127] = optarg ? optarg : "";
	url = value['u'];
	ca_file = value['f'];
	count = atol(value['n']);
	concurrency = atol(value['c']);
	connections_new = value['x'] != NULL;
	hosts = atol(value['h']);
	if (value['?'] || !url || !ca_file || count < 1 || concurrency < 1)
		errx(2, "needs --url URL --cafile FILE [--count N] "
			 "[--concurrency N] [--connections-new] [--hosts N]");
}

int
main(int argc, char **argv)
{
	Transfer   *transfers;
	int64_t		began;
	int64_t		cpu;

	read_options(argc, argv);
	prepare_signing();
	prepare_multi();
	transfers = calloc(concurrency, sizeof(Transfer));
	if (transfers == NULL)
		err(1, "transfers");
	for (long i = 0; i < concurrency; i++)
		prepare_transfer(&transfers[i]);
	began = clock_us(CLOCK_MONOTONIC);
	cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	for (long i = 0; i < concurrency; i++)
		start(&transfers[i]);
	run();
	began = clock_us(CLOCK_MONOTONIC) - began;
	cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("requests/s %.0f cpu_us_per_request %.1f\n", count * 1e6 / began,
		   (double) cpu / count);
	if (failed > 0)
		errx(1, "%ld of %ld requests failed", failed, count);
	return 0;
}
