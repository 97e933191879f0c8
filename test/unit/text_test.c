/*
 * text_test.c
 *		What becomes of bytes from the network, and which header fields pass.
 *
 * Prints TAP.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "text.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/*
 * Sanitise from and into blocks of the exact size, so that the sanitizer sees
 * the first byte too far.
 */
static bool
becomes(const char *in, size_t length, bool is_cut, const char *expected)
{
	size_t		size = WH_TEXT_SANITISED_SIZE(length);
	unsigned char *copy = malloc(length + 1);
	char	   *out = malloc(size);
	size_t		written;
	bool		is_same;

	memcpy(copy + 1, in, length);
	written = wh_text_sanitise(copy + 1, length, out, size, is_cut);
	is_same = written == strlen(expected) && strcmp(out, expected) == 0;
	free(copy);
	free(out);
	return is_same;
}

static void
sanitise_keeps_or_escapes(void)
{
	static const struct
	{
		const char *name;
		const char *in;
		const char *expected;
	}			cases[] = {
		{"empty", "", ""},
		{"ASCII", "{\"a\": 1}~", "{\"a\": 1}~"},
		{"tab, LF, CR", "a\tb\r\n", "a\tb\r\n"},
		{"backslash", "\\x41\\", "\\x41\\"},
		{"ESC", "\x1b[31m", "\\x1b[31m"},
		{"C0", "\x01\x08\x0b\x0c\x0e\x1f", "\\x01\\x08\\x0b\\x0c\\x0e\\x1f"},
		{"DEL", "\x7f", "\\x7f"},
		{"C1, first and last", "\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f"},
		{"after C1", "\xc2\xa0", "\xc2\xa0"},
		{"two, three and four bytes", "\xc5\xbd\xe2\x82\xac\xf0\x9f\x90\x8e",
		"\xc5\xbd\xe2\x82\xac\xf0\x9f\x90\x8e"},
		{"limits", "\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
			"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
			"\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
		{"overlong slash", "\xc0\xaf", "\\xc0\\xaf"},
		{"overlong, three bytes", "\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},
		{"overlong, four bytes", "\xf0\x8f\xbf\xbf",
		"\\xf0\\x8f\\xbf\\xbf"},
		{"surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80"},
		{"beyond U+10FFFF", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"F5, FE, FF", "\xf5\x80\xfe\xff", "\\xf5\\x80\\xfe\\xff"},
		{"lone continuation", "a\x80" "b", "a\\x80b"},
		{"start without end, then ASCII", "\xe2\x82" "a", "\\xe2\\x82a"},
		{"start without end, then a character", "\xe2\xc5\xbd",
		"\\xe2\xc5\xbd"},
		{"start without end, at the end", "a\xf0\x9f\x90",
		"a\\xf0\\x9f\\x90"}
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(becomes(cases[i].in, strlen(cases[i].in), false,
					  cases[i].expected), "sanitise: %s", cases[i].name);
	check(becomes("a\0b", 3, false, "a\\x00b"), "sanitise: NUL");
}

static void
our_cut_drops_half_a_character(void)
{
	check(becomes("a\xf0\x9f\x90", 4, true, "a"), "cut: three of four bytes");
	check(becomes("a\xe2", 2, true, "a"), "cut: one of three bytes");
	check(becomes("a\xc2", 2, true, "a"), "cut: perhaps half of a C1");
	check(becomes("a\xe2\x82\xac", 4, true, "a\xe2\x82\xac"),
		  "cut: behind a character");
	check(becomes("a\xe0\x80", 3, true, "a\\xe0\\x80"),
		  "cut: what could never have become valid");
	check(becomes("a\x80", 2, true, "a\\x80"), "cut: a continuation byte");
	check(becomes("\xff", 1, true, "\\xff"), "cut: FF");
}

static void
small_output_ends_early(void)
{
	static const unsigned char in[] = "a\xe2\x82\xac\x01";
	static const char *const expected[] = {
		"", "", "a", "a", "a", "a\xe2\x82\xac", "a\xe2\x82\xac",
		"a\xe2\x82\xac", "a\xe2\x82\xac", "a\xe2\x82\xac\\x01"
	};

	for (size_t size = 0; size < lengthof(expected); size++)
	{
		char	   *out = malloc(size + 1);
		size_t		written;

		out[0] = '\0';
		written = wh_text_sanitise(in, 5, out, size, false);
		check(written == strlen(expected[size]) &&
			  strcmp(out, expected[size]) == 0, "room for %d bytes",
			  (int) size);
		free(out);
	}
}

/* A decoder written another way, to judge ours; NUL is not text */
static bool
decodes(uint32_t word, size_t length)
{
	unsigned char s[4] = {word >> 24, word >> 16, word >> 8, word};
	static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
	static const unsigned char lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
	static const unsigned char mask[] = {0, 0x80, 0xe0, 0xf0, 0xf8};
	uint32_t	code = s[0] & (unsigned char) ~mask[length];

	if ((s[0] & mask[length]) != lead[length])
		return false;
	for (size_t i = 1; i < length; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return false;
		code = code << 6 | (s[i] & 0x3f);
	}
	return code > 0 && code >= least[length] && code <= 0x10ffff &&
		(code < 0xd800 || code > 0xdfff);
}

/*
 * All sequences of one to three bytes, and of four bytes all that begin like
 * one, with continuation bytes next to their limits.
 */
static void
utf8_is_decided_for_every_sequence(void)
{
	static const unsigned char edges[] = {
		0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff
	};
	int			wrong = 0;
	char		s[4];

	for (uint32_t word = 0; word < 1u << 24; word++)
	{
		s[0] = (char) (word >> 16);
		s[1] = (char) (word >> 8);
		s[2] = (char) word;
		if ((word & 0xffff) == 0)
			wrong += wh_text_is_utf8(s, 1) != decodes(word << 8, 1);
		if ((word & 0xff) == 0)
			wrong += wh_text_is_utf8(s, 2) !=
				(decodes(word << 8, 2) || (decodes(word << 8, 1) &&
										   decodes(word << 16, 1)));
		if ((word >> 16) >= 0xe0)
			wrong += wh_text_is_utf8(s, 3) != decodes(word << 8, 3);
	}
	check(wrong == 0, "is UTF-8: one, two and three bytes");

	wrong = 0;
	for (uint32_t word = 0xe00000; word < 1u << 24; word++)
	{
		for (size_t i = 0; i < lengthof(edges); i++)
		{
			s[0] = (char) (word >> 16);
			s[1] = (char) (word >> 8);
			s[2] = (char) word;
			s[3] = (char) edges[i];
			wrong += wh_text_is_utf8(s, 4) !=
				(decodes(word << 8 | edges[i], 4) ||
				 (decodes(word << 8, 3) &&
				  decodes((uint32_t) edges[i] << 24, 1)));
		}
	}
	check(wrong == 0, "is UTF-8: four bytes");
}

static void
utf8_texts(void)
{
	check(wh_text_is_utf8("", 0), "is UTF-8: empty");
	check(wh_text_is_utf8("\x01\x7f\xc2\x80", 4), "is UTF-8: controls are");
	check(!wh_text_is_utf8("a\0b", 3), "is UTF-8: NUL is not");
	check(!wh_text_is_utf8("a\xe2\x82", 3), "is UTF-8: half a character");
}

static void
header_names(void)
{
	char		name[2] = "";
	int			valid = 0;

	check(wh_text_header_name_is_valid("X-Jasper-Signature"), "name: usual");
	check(!wh_text_header_name_is_valid(""), "name: empty");
	check(!wh_text_header_name_is_valid("X Y"), "name: space");
	check(!wh_text_header_name_is_valid("X:"), "name: colon");
	check(!wh_text_header_name_is_valid("X\r\nY"), "name: line break");
	check(!wh_text_header_name_is_valid("X\xc3\xa9"), "name: not ASCII");
	for (int i = 1; i < 256; i++)
	{
		name[0] = (char) i;
		valid += wh_text_header_name_is_valid(name);
	}
	check(valid == 26 + 26 + 10 + 15, "name: 77 characters of RFC 9110");
}

static void
header_values(void)
{
	char		value[4] = "a b";
	int			valid = 0;

	check(wh_text_header_value_is_valid("Bearer x\ty, z"), "value: usual");
	check(!wh_text_header_value_is_valid(""), "value: empty");
	check(!wh_text_header_value_is_valid(" "), "value: a space");
	check(!wh_text_header_value_is_valid(" x"), "value: leading space");
	check(!wh_text_header_value_is_valid("x\t"), "value: trailing tab");
	check(!wh_text_header_value_is_valid("x\r\nY: z"), "value: line break");
	for (int i = 1; i < 256; i++)
	{
		value[1] = (char) i;
		valid += wh_text_header_value_is_valid(value);
	}
	check(valid == 95 + 1, "value: 95 printable characters and tab");
}

static void
reserved_headers(void)
{
	static const char *const reserved[] = {
		"Host", "hOST", "Connection", "Keep-Alive", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Proxy-Connection",
		"Proxy-Authorization", "Content-Length", "content-type",
		"Content-Encoding", "Content-Anything", "User-Agent", "Expect",
		"Accept-Encoding", "Signature", "Signature-Input",
		"X-Hub-Signature", "webhook-id", "Webhook-Signature", "webhook-",
		"X-Jasper", "x-jasper-event", "X-Jasper-Anything", "X-Revio-Event"
	};
	static const char *const free[] = {
		"Authorization", "X-Api-Key", "Cookie", "Accept", "Date", "T", "TEA",
		"Hosts", "X-Host", "Content", "Webhook", "X-Webhook-Id", "X-Jasperson",
		"X-Jas", "X", "Proxy", "Signatures", "X-Revio2", "Signature-Key"
	};

	for (size_t i = 0; i < lengthof(reserved); i++)
		check(wh_text_header_is_reserved(reserved[i], "X-Jasper, X-Revio"),
			  "reserved: %s", reserved[i]);
	for (size_t i = 0; i < lengthof(free); i++)
		check(!wh_text_header_is_reserved(free[i], "X-Jasper, X-Revio"),
			  "not reserved: %s", free[i]);
	check(!wh_text_header_is_reserved("X-Jasper-Event", ""),
		  "not reserved: without a prefix");
	check(wh_text_header_is_reserved("X-A-Event", " ,, X-B ,X-A"),
		  "reserved: the prefixes are a list");
}

static void
masked_values(void)
{
	char		bytes[] = "Bearer token-12, token-12; token-1 reds redredred";
	const char *const lines[] = {"A: Bearer token-12", "B: red", "C: redredred"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		wh_text_mask_value(bytes, strlen(bytes), lines[i]);
	check(strcmp(bytes, "***************, ********; token-1 reds *********") == 0,
		  "values and tokens are masked, short ones are not: %s", bytes);
	wh_text_mask_value(bytes, 0, "A: Bearer token-12");
	check(strncmp(bytes, "***************,", 16) == 0, "nothing in nothing");
}

/* What was cut off may have been the rest of a value. */
static void
masked_ends(void)
{
	char		value[] = "got Bearer to";
	char		token[] = "got token-1234";
	char		whole[] = "got token-12345678";
	char		word[] = "got Bearer";

	wh_text_mask_value(value, strlen(value), "A: Bearer token-12345678");
	check(strcmp(value, "got *********") == 0, "the beginning of a value: %s", value);
	wh_text_mask_value(token, strlen(token), "A: Bearer token-12345678");
	check(strcmp(token, "got **********") == 0, "and of its last word: %s", token);
	wh_text_mask_value(whole, strlen(whole), "A: Bearer token-12345678");
	check(strcmp(whole, "got **************") == 0, "all of it: %s", whole);
	wh_text_mask_value(word, strlen(word), "A: Bearer token-12345678");
	check(strcmp(word, "got Bearer") == 0, "less than 8 characters are no secret: %s", word);
}

int
main(void)
{
	sanitise_keeps_or_escapes();
	our_cut_drops_half_a_character();
	small_output_ends_early();
	utf8_is_decided_for_every_sequence();
	utf8_texts();
	header_names();
	header_values();
	reserved_headers();
	masked_values();
	masked_ends();
	printf("1..%d\n", tests);
	return failures > 0;
}
