/*
 * random.c
 *		A source of random bytes that fails while a file "no-random" is in the
 *		data directory: preloaded by test/server/random.pl.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

int
RAND_bytes(unsigned char *bytes, int count)
{
	static int	(*real) (unsigned char *, int);

	if (access("no-random", F_OK) == 0)
		return 0;
	if (real == NULL)
		real = (int (*) (unsigned char *, int)) dlsym(RTLD_NEXT, "RAND_bytes");
	return real(bytes, count);
}
