/*
 * memory.c
 *		No piece of two mebibytes or more while a file "no-memory" is in the data
 *		directory: preloaded by test/server/memory.pl.
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);

void *
malloc(size_t size)
{
	if (size >= 2 * 1024 * 1024 && access("no-memory", F_OK) == 0)
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(size);
}
