/*
 * retry_after_test.c
 *		How long a receiver asks to be left alone.
 *
 * Prints TAP.
 */
#include <stdlib.h>
#include <string.h>

#include "retry_after.h"
#include "tap.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* 1994-11-06 08:49:37 UTC, the moment of the examples in RFC 9110, 5.6.7 */
#define THEN 784111777

/*
 * Ask of a block of the exact size, so that the sanitizer sees the first byte
 * too far.
 */
static int
seconds_of(const char *headers, int64_t now)
{
	size_t		length = strlen(headers);
	char	   *copy = malloc(length + 1);
	int			seconds;

	memcpy(copy + 1, headers, length);
	seconds = wh_retry_after_seconds(copy + 1, length, now);
	free(copy);
	return seconds;
}

static int
wait_for(const char *value, int64_t now)
{
	char		headers[200];

	snprintf(headers, sizeof(headers), "Retry-After: %s\r\n", value);
	return seconds_of(headers, now);
}

static void
seconds_and_dates(void)
{
	static const struct
	{
		const char *value;
		int			expected;
	}			cases[] = {
		{"0", 0}, {"120", 120}, {"007", 7},
		{"86400", WH_RETRY_AFTER_MAX}, {"86401", WH_RETRY_AFTER_MAX},
		{"99999999999999999999999999", WH_RETRY_AFTER_MAX},
		{"Sun, 06 Nov 1994 08:51:37 GMT", 120},
		{"Sunday, 06-Nov-94 08:51:37 GMT", 120},
		{"Sun Nov  6 08:51:37 1994", 120},
		{"Sun Nov 06 08:51:37 1994", 120},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 08:49:36 GMT", 0},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Mon, 07 Nov 1994 08:49:36 GMT", 86399},
		{"Fri, 31 Dec 9999 23:59:59 GMT", WH_RETRY_AFTER_MAX},
		{"Friday, 31-Dec-99 23:59:59 GMT", WH_RETRY_AFTER_MAX},
		{"Sunday, 06-Nov-44 08:49:37 GMT", WH_RETRY_AFTER_MAX},
		{"Monday, 06-Nov-45 08:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 08:49:60 GMT", 23},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(wait_for(cases[i].value, THEN) == cases[i].expected,
			  "\"%s\": %d s", cases[i].value, cases[i].expected);
}

static void
days_of_the_calendar(void)
{
	/* Each is followed by the second that begins the next day. */
	static const struct
	{
		int64_t		now;
		const char *next;
	}			cases[] = {
		{951782399, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{951868799, "Wed, 01 Mar 2000 00:00:00 GMT"},
		{1767225599, "Thu, 01 Jan 2026 00:00:00 GMT"},
		{4107542399, "Mon, 01 Mar 2100 00:00:00 GMT"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(wait_for(cases[i].next, cases[i].now) == 1,
			  "%s begins a day", cases[i].next);
}

static void
malformed_values_are_none(void)
{
	static const char *const values[] = {
		"", "-1", "1.5", "1 s", "12a", "+3", "0x10", "soon",
		"sun, 06 Nov 1994 08:51:37 GMT", "Sun, 06 nov 1994 08:51:37 GMT",
		"Sun, 06 Nov 1994 08:51:37", "Sun, 06 Nov 1994 08:51:37 UTC",
		"Sun, 06 Nov 1994 08:51:37 GMT+1", "Sun, 6 Nov 1994 08:51:37 GMT",
		"Sun, 06 Nov 94 08:51:37 GMT", "Sun, 00 Nov 1994 08:51:37 GMT",
		"Sun, 32 Nov 1994 08:51:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:00:61 GMT",
		"Sun, 06 Nov 1994 8:51:37 GMT", "Sunday, 06 Nov 1994 08:51:37 GMT",
		"Sun Nov  6 08:51:37 94", "1994-11-06T08:51:37Z",
	};

	for (size_t i = 0; i < lengthof(values); i++)
		check(wait_for(values[i], THEN) == WH_RETRY_AFTER_NONE,
			  "\"%s\": none", values[i]);
}

static void
the_field_is_found(void)
{
	static const struct
	{
		const char *name;
		const char *headers;
		int			expected;
	}			cases[] = {
		{"no headers", "", WH_RETRY_AFTER_NONE},
		{"no such field", "HTTP/1.1 503 x\r\nDate: 5\r\n\r\n",
		WH_RETRY_AFTER_NONE},
		{"among others", "HTTP/1.1 503 x\r\nA: 1\r\nRetry-After: 5\r\nB: 2\r\n\r\n",
		5},
		{"any case, no space", "A: 1\r\nrETRY-aFTER:5\r\n", 5},
		{"spaces around", "Retry-After: \t 5 \t\r\n", 5},
		{"LF alone", "A: 1\nRetry-After: 5\nB: 2\n", 5},
		{"cut off", "A: 1\r\nRetry-After: 5", 5},
		{"cut off in its name", "A: 1\r\nRetry-Aft", WH_RETRY_AFTER_NONE},
		{"the first of two", "Retry-After: 5\r\nRetry-After: 7\r\n", 5},
		{"in another field", "X: Retry-After: 5\r\n", WH_RETRY_AFTER_NONE},
		{"a longer name", "X-Retry-After: 5\r\nRetry-Afterwards: 6\r\n",
		WH_RETRY_AFTER_NONE},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(seconds_of(cases[i].headers, THEN) == cases[i].expected,
			  "the field: %s", cases[i].name);
}

int
main(void)
{
	seconds_and_dates();
	days_of_the_calendar();
	malformed_values_are_none();
	the_field_is_found();
	printf("1..%d\n", tests);
	return failures > 0;
}
