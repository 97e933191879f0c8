/*
 * signing.c
 *		Signatures that fail while a file "no-signing" is in the data directory:
 *		preloaded by test/server/signing.pl.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>

void *
EVP_MAC_CTX_dup(const void *context)
{
	static void *(*real) (const void *);

	if (access("no-signing", F_OK) == 0)
		return NULL;
	if (real == NULL)
		real = (void *(*) (const void *)) dlsym(RTLD_NEXT, "EVP_MAC_CTX_dup");
	return real(context);
}
