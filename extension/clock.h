/*
 * clock.h
 *		The monotonic clock: what everything that waits goes by.
 *
 * The wall clock may be set back by days.  Only what is stored (due times,
 * when an attempt began) is told by it.  Microseconds, the same for all
 * processes of the machine; pure C.
 */
#ifndef WH_CLOCK_H
#define WH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t
wh_clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* In so many milliseconds. */
static inline int64_t
wh_clock_in(int64_t milliseconds)
{
	return wh_clock_now() + milliseconds * 1000;
}

/* How many milliseconds there are until then, rounded up; 0 when it is past. */
static inline long
wh_clock_until(int64_t at)
{
	int64_t		left = at - wh_clock_now();

	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

#endif							/* WH_CLOCK_H */
