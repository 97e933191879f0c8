/*
 * guard_fuzz.c
 *		Fuzz target for the URL policy and the sanitiser.
 *
 * The first byte chooses which; bit 1 is allow_http or is_cut.  Built and run
 * by "make -C test/unit fuzz" with clang's libFuzzer.
 *
 * - A URL that is allowed is split in the one obvious way, and libcurl, with
 *   the flags that CURLOPT_URL uses, finds the same scheme, host and port.
 * - A URL that is refused has all three parts of a message.
 * - Sanitised text is UTF-8 without control characters, however small the room
 *   for it is, and where nothing was escaped it is the input.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "guard.h"
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_url(data + 1, size - 1, (data[0] & 2) != 0);
	else
		fuzz_text(data + 1, size - 1, (data[0] & 2) != 0);
	return 0;
}
