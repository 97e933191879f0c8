/*
 * tap.h
 *		Test results in the Test Anything Protocol, for one program each.
 */
#ifndef WH_TAP_H
#define WH_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int	tests = 0;
static int	failures = 0;

static void check(bool is_true, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
check(bool is_true, const char *format,...)
{
	va_list		arguments;

	printf("%sok %d - ", is_true ? "" : "not ", ++tests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	failures += !is_true;
}

#endif							/* WH_TAP_H */
