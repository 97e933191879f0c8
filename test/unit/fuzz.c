/*
 * fuzz.c
 *		Fuzz target for the pure C modules.
 *
 * The first byte chooses which, and a flag.  Built and run by "make -C
 * test/unit fuzz" with clang's libFuzzer.
 *
 * - A URL that is allowed is split in the one obvious way, and libcurl, with
 *   the flags that CURLOPT_URL uses, finds the same scheme, host and port.
 * - A URL that is refused has all three parts of a message.
 * - Sanitised text is UTF-8 without control characters, however small the room
 *   for it is, and where nothing was escaped it is the input.
 * - An answer in any pieces stays in its limits, and says what was cut.
 * - An address that a rule list opens or not is neither IPv4 in disguise, nor
 *   judged otherwise as IPv4-mapped.
 * - Header checks, Retry-After and keys take whatever comes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <netinet/in.h>

#include "answer.h"
#include "guard.h"
#include "retry_after.h"
#include "sign.h"
#include "text.h"

#define MUST(condition) \
	do { if (!(condition)) abort(); } while (0)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be_part(CURLU *parsed, CURLUPart part, const char *expected)
{
	char	   *found = NULL;

	MUST(curl_url_get(parsed, part, &found, CURLU_DEFAULT_PORT) == CURLUE_OK);
	MUST(curl_strequal(found, expected));
	curl_free(found);
}

/* The value is what decides: libcurl may write an IPv6 address differently. */
static void
must_be_address(CURLU *parsed, const char *typed)
{
	struct sockaddr_storage expected;
	struct sockaddr_storage found;
	char	   *host = NULL;
	char		copy[64];

	MUST(curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK);
	MUST(sscanf(host, "[%63[^]]]", copy) == 1);
	MUST(wh_guard_parse_address(copy, &found));
	MUST(sscanf(typed, "[%63[^]]]", copy) == 1);
	MUST(wh_guard_parse_address(copy, &expected));
	MUST(memcmp(&found, &expected, sizeof(found)) == 0);
	curl_free(host);
}

static void
check_allowed(const char *url)
{
	CURLU	   *parsed = curl_url();
	char		scheme[6];
	char		host[300];
	char		port[7];
	char	   *colon;

	MUST(curl_url_set(parsed, CURLUPART_URL, url,
					  CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME |
					  CURLU_PATH_AS_IS) == CURLUE_OK);

	MUST(sscanf(url, "%5[a-zA-Z]://%299[][:0-9a-zA-Z._-]", scheme, host) == 2);
	colon = strrchr(host, ':');
	if (colon != NULL && strchr(colon, ']') == NULL)
	{
		snprintf(port, sizeof(port), "%s", colon + 1);
		*colon = '\0';
	}
	else
		strcpy(port, curl_strequal(scheme, "https") ? "443" : "80");

	must_be_part(parsed, CURLUPART_SCHEME, scheme);
	must_be_part(parsed, CURLUPART_PORT, port);
	if (host[0] == '[')
		must_be_address(parsed, host);
	else
		must_be_part(parsed, CURLUPART_HOST, host);
	curl_url_cleanup(parsed);
}

static void
fuzz_url(const uint8_t *data, size_t size, bool allow_http)
{
	char	   *url = malloc(size + 1);
	GuardPolicy policy = {.allow_http = allow_http};
	UrlVerdict	verdict;

	memcpy(url, data, size);
	url[size] = '\0';
	wh_guard_check_url(url, &policy, &verdict);
	if (verdict.is_allowed)
		check_allowed(url);
	else
		MUST(verdict.message[0] && verdict.detail[0] && verdict.hint[0]);
	free(url);
}

static void
fuzz_text(const uint8_t *data, size_t size, bool is_cut)
{
	size_t		out_size = WH_TEXT_SANITISED_SIZE(size);
	char	   *out = malloc(out_size);
	size_t		written = wh_text_sanitise(data, size, out, out_size, is_cut);

	MUST(written < out_size && out[written] == '\0');
	MUST(wh_text_is_utf8(out, written));
	for (size_t i = 0; i < written; i++)
	{
		unsigned char byte = (unsigned char) out[i];

		MUST(byte >= ' ' || byte == '\t' || byte == '\n' || byte == '\r');
		MUST(byte != 0x7f);
		MUST(byte != 0xc2 || (unsigned char) out[i + 1] >= 0xa0);
	}
	MUST(written > size ||
		 memcmp(out, data, written) == 0 || memchr(out, '\\', written));

	/* less room */
	out_size = size % 16;
	written = wh_text_sanitise(data, size, out, out_size, is_cut);
	MUST(out_size == 0 ? written == 0 : written < out_size);
	MUST(wh_text_is_utf8(out, written));
	free(out);
}

/* The first byte of each line is its length, roughly. */
static void
fuzz_answer(const uint8_t *data, size_t size, bool is_small)
{
	static Answer answer;
	unsigned char *body = malloc(is_small ? 1 : size + 1);
	size_t		received = 0;

	answer.body = body;
	answer.body_size = is_small ? size / 2 > 0 : size;
	wh_answer_clear(&answer);
	while (size > 0)
	{
		size_t		repeat = data[0] & 128 ? 200 : 1;
		size_t		length = data[0] & 63;
		bool		is_head = (data[0] & 64) != 0;

		data++;
		size--;
		if (length > size)
			length = size;
		for (; is_head && repeat > 0; repeat--)
			(void) wh_answer_add_head(&answer, (const char *) data, length);
		if (!is_head)
		{
			bool		is_whole = wh_answer_add_body(&answer, data, length);

			received += length;
			MUST(is_whole == (received <= answer.body_size));
		}
		data += length;
		size -= length;
	}
	MUST(answer.is_body_cut == (received > answer.body_size));
	MUST(answer.body_length ==
		 (answer.is_body_cut ? answer.body_size : received));
	MUST(answer.head_length <= sizeof(answer.head));
	MUST(answer.is_head_cut == (answer.head_length > WH_ANSWER_HEAD_SIZE));
	MUST(answer.head_received <= WH_ANSWER_HEAD_LIMIT ||
		 answer.fault == ANSWER_TOO_MANY_HEADERS);
	(void) wh_retry_after_seconds(answer.head, answer.head_length, 0);
	free(body);
}

static void
fuzz_header(const uint8_t *data, size_t size, bool has_now)
{
	char	   *text = malloc(size + 1);
	char	   *exact = malloc(size + 1);
	char	   *value;
	int			seconds;

	/* where the bytes end, the memory does */
	memcpy(exact, data, size);
	exact = realloc(exact, size > 0 ? size : 1);
	seconds = wh_retry_after_seconds(exact, size, has_now ? 1700000000 : 0);
	MUST(seconds >= WH_RETRY_AFTER_NONE && seconds <= WH_RETRY_AFTER_MAX);
	free(exact);

	memcpy(text, data, size);
	text[size] = '\0';
	value = strchr(text, ':');
	if (value)
		*value++ = '\0';
	if (wh_text_header_name_is_valid(text))
	{
		MUST(strpbrk(text, " :\r\n") == NULL);
		(void) wh_text_header_is_reserved(text, value ? value : "X-Jasper");
	}
	if (value && wh_text_header_value_is_valid(value))
		MUST(strpbrk(value, "\r\n") == NULL);
	free(text);
}

/* A rule list, and 16 bytes of an address in front of it. */
static void
fuzz_address(const uint8_t *data, size_t size)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	GuardPolicy policy = {0};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct sockaddr_in in = {.sin_family = AF_INET};
	char	   *list;

	if (size < 16)
		return;
	memcpy(&in6.sin6_addr, data, 16);
	memcpy(&in.sin_addr, data + 12, 4);
	list = malloc(size - 15);
	memcpy(list, data + 16, size - 16);
	list[size - 16] = '\0';
	(void) wh_guard_parse_rules(list, policy.rules, &policy.rule_count);
	free(list);

	if (wh_guard_address_allowed((struct sockaddr *) &in6, &policy))
	{
		MUST(memcmp(data, "\x20\x02", 2) != 0);
		MUST(memcmp(data, "\x20\x01\0\0", 4) != 0);
		MUST(memcmp(data, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 12) != 0);
		MUST(memcmp(data, "\0\x64\xff\x9b\0\1", 6) != 0);
	}
	memcpy(&in6.sin6_addr, mapped, sizeof(mapped));
	memcpy((char *) &in6.sin6_addr + 12, &in.sin_addr, 4);
	MUST(wh_guard_address_allowed((struct sockaddr *) &in6, &policy) ==
		 wh_guard_address_allowed((struct sockaddr *) &in, &policy));
}

static void
fuzz_key(const uint8_t *data, size_t size)
{
	char	   *secret = malloc(size + 1);
	char		signature[WH_SIGN_BODY_SIZE];
	SigningKey *key;

	memcpy(secret, data, size);
	secret[size] = '\0';
	key = wh_sign_key_create(secret);
	if (key)
	{
		(void) wh_sign_key_is_standard(key);
		MUST(wh_sign_body(key, data, size, signature));
		wh_sign_key_free(key);
	}
	free(secret);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool		flag;

	if (size == 0)
		return 0;
	flag = (data[0] & 32) == 0;
	switch (data[0] | 32)
	{
		case 'u':
			fuzz_url(data + 1, size - 1, flag);
			break;
		case 't':
			fuzz_text(data + 1, size - 1, flag);
			break;
		case 'a':
			fuzz_answer(data + 1, size - 1, flag);
			break;
		case 'h':
			fuzz_header(data + 1, size - 1, flag);
			break;
		case 'r':
			fuzz_address(data + 1, size - 1);
			break;
		case 'k':
			fuzz_key(data + 1, size - 1);
			break;
	}
	return 0;
}
