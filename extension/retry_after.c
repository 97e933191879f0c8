/*
 * retry_after.c
 *		How long a receiver asks to be left alone: Retry-After of an answer.
 *
 * Used when an attempt has failed.  Pure C without locks, transactions or
 * palloc.
 */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "retry_after.h"

#define FIELD "retry-after:"
#define SECONDS_PER_DAY 86400

typedef struct Date
{
	int			year;
	int			month;			/* 1 to 12 */
	int			day;
	int			hour;
	int			minute;
	int			second;
} Date;

/* RFC 9110, 5.6.7: what is sent today, and two obsolete forms */
static const char *const date_forms[] = {
	"%a, %d %b %Y %H:%M:%S GMT",
	"%A, %d-%b-%y %H:%M:%S GMT",
	"%a %b %e %H:%M:%S %Y",
};

static const char *const days[] = {
	"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
	"Sunday", NULL
};

static const char *const months[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
	"Nov", "Dec", NULL
};

static bool find_field(const char *headers, size_t length, const char **value,
					   size_t *value_length);
static int	parse_seconds(const char *in, size_t length);
static bool parse_date(const char *in, const char *end, const char *form,
					   Date *date);
static bool date_is_valid(const Date *date);
static int64_t unix_time(const Date *date, int64_t now);

int
wh_retry_after_seconds(const char *headers, size_t length, int64_t now)
{
	const char *value;
	size_t		value_length;

	if (!find_field(headers, length, &value, &value_length) ||
		value_length == 0)
		return WH_RETRY_AFTER_NONE;
	if (value[0] >= '0' && value[0] <= '9')
		return parse_seconds(value, value_length);
	for (size_t i = 0; i < sizeof(date_forms) / sizeof(date_forms[0]); i++)
	{
		Date		date = {0};
		int64_t		wait;

		if (!parse_date(value, value + value_length, date_forms[i], &date) ||
			!date_is_valid(&date))
			continue;
		wait = unix_time(&date, now) - now;
		if (wait < 0)
			return 0;
		return wait > WH_RETRY_AFTER_MAX ? WH_RETRY_AFTER_MAX : (int) wait;
	}
	return WH_RETRY_AFTER_NONE;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The value without the white space around it. */
static bool
find_field(const char *headers, size_t length, const char **value,
		   size_t *value_length)
{
	const char *end = headers + length;

	while (headers < end)
	{
		const char *line_end = memchr(headers, '\n', end - headers);
		const char *last = line_end ? line_end : end;

		if ((size_t) (last - headers) >= strlen(FIELD) &&
			strncasecmp(headers, FIELD, strlen(FIELD)) == 0)
		{
			headers += strlen(FIELD);
			while (headers < last && is_blank(*headers))
				headers++;
			while (last > headers && is_blank(last[-1]))
				last--;
			*value = headers;
			*value_length = last - headers;
			return true;
		}
		headers = line_end ? line_end + 1 : end;
	}
	return false;
}

static int
parse_seconds(const char *in, size_t length)
{
	int			seconds = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (in[i] < '0' || in[i] > '9')
			return WH_RETRY_AFTER_NONE;
		seconds = seconds * 10 + (in[i] - '0');
		if (seconds > WH_RETRY_AFTER_MAX)
			seconds = WH_RETRY_AFTER_MAX;
	}
	return seconds;
}

/*
 * A name of a list, of which so many characters count (0: all).  Its length, or
 * 0; the first of the list is number 1.
 */
static int
match_name(const char *in, const char *end, const char *const *names,
		   int cut, int *number)
{
	for (*number = 1; names[*number - 1]; (*number)++)
	{
		const char *name = names[*number - 1];
		int			length = cut ? cut : (int) strlen(name);

		if (end - in >= length && memcmp(in, name, length) == 0)
			return length;
	}
	return 0;
}

/* Exactly so many digits; their number, or 0 when there are not. */
static int
match_digits(const char *in, const char *end, int digits, int *number)
{
	*number = 0;
	for (int i = 0; i < digits; i++)
	{
		if (in + i >= end || in[i] < '0' || in[i] > '9')
			return 0;
		*number = *number * 10 + (in[i] - '0');
	}
	return digits;
}

/* Length of what stands for one conversion, named as by strptime; or 0. */
static int
match_conversion(const char *in, const char *end, char conversion, Date *date)
{
	int			number;

	switch (conversion)
	{
		case 'a':
			return match_name(in, end, days, 3, &number);
		case 'A':
			return match_name(in, end, days, 0, &number);
		case 'b':
			return match_name(in, end, months, 0, &date->month);
		case 'e':				/* two columns, the first one may be blank */
			if (in < end && *in == ' ')
				return match_digits(in + 1, end, 1, &date->day) ? 2 : 0;
			return match_digits(in, end, 2, &date->day);
		case 'd':
			return match_digits(in, end, 2, &date->day);
		case 'Y':
			return match_digits(in, end, 4, &date->year);
		case 'y':
			return match_digits(in, end, 2, &date->year);
		case 'H':
			return match_digits(in, end, 2, &date->hour);
		case 'M':
			return match_digits(in, end, 2, &date->minute);
		default:
			return match_digits(in, end, 2, &date->second);
	}
}

static bool
parse_date(const char *in, const char *end, const char *form, Date *date)
{
	for (; *form; form++)
	{
		int			length = 1;

		if (*form == '%')
			length = match_conversion(in, end, *++form, date);
		else if (in >= end || *in != *form)
			return false;
		if (length == 0)
			return false;
		in += length;
	}
	return in == end;
}

static bool
date_is_valid(const Date *date)
{
	return date->day >= 1 && date->day <= 31 && date->hour <= 23 &&
		date->minute <= 59 && date->second <= 60;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static int64_t
days_since_epoch(int year, int month, int day)
{
	/* Years begin in March here, so that a leap day is the last of its year. */
	int64_t		years = month > 2 ? year : year - 1;
	int			months_since_march = (month + 9) % 12;

	return years * 365 + years / 4 - years / 100 + years / 400 +
		(months_since_march * 153 + 2) / 5 + day - 1 - 719468;
}

static int64_t
unix_time(const Date *date, int64_t now)
{
	int			year = date->year;
	int			this_year = 1970 + (int) (now / (365.2425 * SECONDS_PER_DAY));

	/* Two digits: not more than 50 years ahead. */
	if (year < 100)
	{
		year += this_year / 100 * 100;
		if (year > this_year + 50)
			year -= 100;
		else if (year <= this_year - 50)
			year += 100;
	}
	return days_since_epoch(year, date->month, date->day) * SECONDS_PER_DAY +
		date->hour * 3600 + date->minute * 60 + date->second;
}
