/*
 * reload.c
 *		Reloads the configuration at the moment at which a background worker
 *		that starts loses the signal, while a file "reload" is in the data
 *		directory: preloaded by test/server/admin_signals.pl.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

/* Have the postmaster tell its children, of which we are one. */
static void
reload(void)
{
	const struct timespec limit = {.tv_sec = 10};
	sigset_t	reloads;

	sigemptyset(&reloads);
	sigaddset(&reloads, SIGHUP);
	kill(getppid(), SIGHUP);
	if (sigtimedwait(&reloads, NULL, &limit) == SIGHUP)
		raise(SIGHUP);			/* blocked: it stays pending */
}

int
sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	static int	(*real) (int, const struct sigaction *, struct sigaction *);

	if (number == SIGHUP && action != NULL && action->sa_handler == SIG_IGN &&
		access("reload", F_OK) == 0)
		reload();
	if (real == NULL)
		real = (int (*) (int, const struct sigaction *, struct sigaction *))
			dlsym(RTLD_NEXT, "sigaction");
	return real(number, action, old);
}
