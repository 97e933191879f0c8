/*
 * crash.c
 *		Crashes whoever writes certain bytes to a TLS connection: preloaded by
 *		test/server/recovery.pl into a server whose worker shall not survive
 *		certain rows.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>

#define MARK "poison for the worker"

int
SSL_write(void *connection, const void *bytes, int length)
{
	static int	(*real) (void *, const void *, int);

	if (real == NULL)
		real = (int (*) (void *, const void *, int)) dlsym(RTLD_NEXT, "SSL_write");
	if (length > 0 && memmem(bytes, length, MARK, strlen(MARK)))
		raise(SIGSEGV);
	return real(connection, bytes, length);
}
