/*
 * clock.c
 *		Another time for the processes that preload this: test/server/clock.pl.
 *
 * CLOCK_OFFSET_FILE holds seconds, as an int64, that the wall clock is off; it
 * is mapped, so that a jump reaches all processes at once.  The monotonic
 * clock stays what it is.  libfaketime would do, but fakes nothing in a process
 * that was forked while its parent was in select(), as workers are before
 * release 16.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile int64_t *offset;

__attribute__((constructor))
static void
map_offset(void)
{
	const char *path = getenv("CLOCK_OFFSET_FILE");
	int			file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *map = file < 0 ? MAP_FAILED :
		mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, file, 0);

	if (map != MAP_FAILED)
		offset = map;
}

static int64_t
seconds_off(void)
{
	return offset ? *offset : 0;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static int	(*real) (clockid_t, struct timespec *);
	int			result;

	if (real == NULL)
		real = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, now);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += seconds_off();
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (result)
		*result = now.tv_sec;
	return now.tv_sec;
}
