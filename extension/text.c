/*
 * text.c
 *		Bytes from the network as text, and text as header fields.
 *
 * Used when an attempt has ended, on what the receiver sent, and when a
 * setting names a header.  Pure C without locks, transactions or palloc.
 */
#include <string.h>

#include "text.h"

#define ESCAPE_SIZE 4			/* \xNN */
#define MASKED_MIN 8			/* characters of what may be a secret */

/* What stands at the start of some bytes that are not a UTF-8 character */
#define NOT_UTF8 0
#define INCOMPLETE (-1)			/* all of them may be the start of one */

static int	sequence_length(const unsigned char *in, size_t length);
static int	expected_length(unsigned char first);
static bool second_is_valid(unsigned char first, unsigned char second);
static bool is_displayable(const unsigned char *in, int length);
static void write_escape(unsigned char byte, char *out);

size_t
wh_text_sanitise(const unsigned char *in, size_t in_length, char *out,
				 size_t out_size, bool is_cut)
{
	const unsigned char *end = in + in_length;
	size_t		written = 0;

	if (out_size == 0)
		return 0;
	while (in < end)
	{
		int			length = sequence_length(in, end - in);
		bool		is_kept = length > 0 && is_displayable(in, length);
		size_t		needed = is_kept ? (size_t) length : ESCAPE_SIZE;

		if ((length == INCOMPLETE && is_cut) || needed >= out_size - written)
			break;
		if (is_kept)
			memcpy(out + written, in, length);
		else
			write_escape(*in, out + written);
		in += is_kept ? length : 1;
		written += needed;
	}
	out[written] = '\0';
	return written;
}

bool
wh_text_is_utf8(const char *s, size_t length)
{
	const unsigned char *in = (const unsigned char *) s;
	const unsigned char *end = in + length;

	while (in < end)
	{
		int			step = sequence_length(in, end - in);

		if (step <= 0 || *in == '\0')
			return false;
		in += step;
	}
	return true;
}

bool
wh_text_header_name_is_valid(const char *name)
{
	return *name != '\0' &&
		name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"abcdefghijklmnopqrstuvwxyz0123456789"
					"!#$%&'*+-.^_`|~")] == '\0';
}

bool
wh_text_header_value_is_valid(const char *value)
{
	size_t		length = strlen(value);

	if (length == 0 ||
		strchr(" \t", value[0]) || strchr(" \t", value[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if ((value[i] < ' ' || value[i] > '~') && value[i] != '\t')
			return false;
	}
	return true;
}

/* Of ASCII, whatever the locale says of letters */
static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static bool
begins_with(const char *s, const char *start, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (lower(s[i]) != lower(start[i]))
			return false;
	}
	return true;
}

static bool
ends_with(const char *s, const char *end)
{
	size_t		length = strlen(s);

	return length >= strlen(end) &&
		begins_with(s + length - strlen(end), end, strlen(end));
}

/* Is it one of the prefixes, or such a prefix and a hyphen and more? */
static bool
is_under_prefix(const char *name, const char *prefixes)
{
	while (*prefixes)
	{
		size_t		length;

		prefixes += strspn(prefixes, ", \t");
		length = strcspn(prefixes, ", \t");
		if (length > 0 && begins_with(name, prefixes, length) &&
			(name[length] == '\0' || name[length] == '-'))
			return true;
		prefixes += length;
	}
	return false;
}

bool
wh_text_header_is_reserved(const char *name, const char *prefixes)
{
	/* One that ends in a hyphen stands for all that begin like it. */
	static const char *const reserved[] = {
		"Accept-Encoding", "Connection", "Content-", "Expect", "Host",
		"HTTP2-Settings", "Keep-Alive", "Proxy-", "Signature-Input", "TE",
		"Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "webhook-"
	};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
	{
		size_t		length = strlen(reserved[i]);

		if (begins_with(name, reserved[i], length) &&
			(name[length] == '\0' || reserved[i][length - 1] == '-'))
			return true;
	}
	return begins_with(name, "Signature", sizeof("Signature")) ||
		ends_with(name, "-Signature") || is_under_prefix(name, prefixes);
}

/*
 * Length of the valid UTF-8 character at the start of some bytes, of which
 * there is at least one, or NOT_UTF8, or INCOMPLETE.
 */
static int
sequence_length(const unsigned char *in, size_t length)
{
	int			expected = expected_length(in[0]);

	if (expected >= 2 && length >= 2 && !second_is_valid(in[0], in[1]))
		return NOT_UTF8;
	for (int i = 2; i < expected && (size_t) i < length; i++)
	{
		if (in[i] < 0x80 || in[i] > 0xbf)
			return NOT_UTF8;
	}
	return (size_t) expected > length ? INCOMPLETE : expected;
}

/*
 * Length of a character by its first byte.  C0, C1 and everything from F5 on
 * never start one (RFC 3629, 4).
 */
static int
expected_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	if (first >= 0xf0 && first <= 0xf4)
		return 4;
	return NOT_UTF8;
}

/*
 * The second byte is where overlong forms, surrogates and what lies beyond
 * U+10FFFF show (RFC 3629, 4).
 */
static bool
second_is_valid(unsigned char first, unsigned char second)
{
	unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return second >= least && second <= most;
}

/*
 * Is a valid character other than a control character?  Escape sequences begin
 * with ESC or with a character of C1.
 */
static bool
is_displayable(const unsigned char *in, int length)
{
	if (length == 1)
		return (in[0] >= ' ' && in[0] != 0x7f) ||
			in[0] == '\t' || in[0] == '\n' || in[0] == '\r';
	return !(in[0] == 0xc2 && in[1] <= 0x9f);
}

static void
write_escape(unsigned char byte, char *out)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[byte >> 4];
	out[3] = hex[byte & 15];
}

/* What was cut off may have been the rest of it. */
static void
mask_end(char *bytes, size_t length, const char *secret, size_t secret_length)
{
	size_t		part = length < secret_length ? length : secret_length;

	while (part >= MASKED_MIN && memcmp(bytes + length - part, secret, part) != 0)
		part--;
	if (part >= MASKED_MIN)
		memset(bytes + length - part, '*', part);
}

static void
mask(char *bytes, size_t length, const char *secret, size_t secret_length)
{
	char	   *found;

	if (secret_length < MASKED_MIN)
		return;
	while ((found = memmem(bytes, length, secret, secret_length)) != NULL)
	{
		memset(found, '*', secret_length);
		length -= found + secret_length - bytes;
		bytes = found + secret_length;
	}
	mask_end(bytes, length, secret, secret_length);
}

void
wh_text_mask_value(char *bytes, size_t length, const char *line)
{
	const char *value = strstr(line, ": ");
	const char *word = line + strlen(line);

	if (value == NULL)
		return;
	value += 2;
	while (word > value && word[-1] != ' ')
		word--;
	mask(bytes, length, value, strlen(value));
	mask(bytes, length, word, strlen(word));
}
