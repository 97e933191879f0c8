/*
 * socket.c
 *		No descriptor for a TCP socket while a file "no-descriptors" is in the
 *		data directory: preloaded by test/server/internal.pl.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

int
socket(int domain, int type, int protocol)
{
	static int	(*real) (int, int, int);

	if (domain == AF_INET && (type & SOCK_STREAM) != 0 &&
		access("no-descriptors", F_OK) == 0)
	{
		errno = EMFILE;
		return -1;
	}
	if (real == NULL)
		real = (int (*) (int, int, int)) dlsym(RTLD_NEXT, "socket");
	return real(domain, type, protocol);
}
