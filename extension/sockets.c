/*
 * sockets.c
 *		The sockets of the HTTP clients in one epoll set.
 *
 * libcurl lets go of a socket when a request ends and asks for it again when
 * the next one begins: two system calls for each request.  So a connection of
 * ours stays in the set between two requests, until something happens there.
 * Then it is cut: an answer that nobody asked for would be taken for that to the
 * next request, and libcurl finds such a connection alive.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockets.h"

#define MAX_KEPT 8192			/* descriptors from here on never stay */

static struct
{
	bool		is_ours;		/* opened and closed by us, not by libcurl */
	bool		is_wanted;
	uint32_t	events;			/* it is in the set for these; 0: not there */
}			sockets[MAX_KEPT];

static bool
is_kept(curl_socket_t socket)
{
	return socket < MAX_KEPT && sockets[socket].is_ours;
}

static void
forget(curl_socket_t socket, bool is_ours)
{
	if (socket < 0 || socket >= MAX_KEPT)
		return;
	sockets[socket].is_ours = is_ours;
	sockets[socket].is_wanted = false;
	sockets[socket].events = 0;
}

curl_socket_t
wh_socket_open(const struct curl_sockaddr *address)
{
	curl_socket_t opened = socket(address->family,
								  address->socktype | SOCK_CLOEXEC,
								  address->protocol);

	forget(opened, true);
	return opened;
}

int
wh_socket_close(void *unused, curl_socket_t socket)
{
	forget(socket, false);
	return close(socket);		/* and epoll forgets it, too */
}

static void
add_or_change(int epoll, curl_socket_t socket, uint32_t events, uint64_t tag)
{
	struct epoll_event event = {.events = events,.data.u64 = tag};

	if (epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) != 0 && errno == ENOENT)
		epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
}

void
wh_socket_watch(int epoll, curl_socket_t socket, int what, uint64_t tag)
{
	uint32_t	events = 0;

	if (is_kept(socket))
		sockets[socket].is_wanted = what != CURL_POLL_REMOVE;
	if (what == CURL_POLL_REMOVE)
	{
		if (!is_kept(socket))
			epoll_ctl(epoll, EPOLL_CTL_DEL, socket, NULL);
		return;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (is_kept(socket) && sockets[socket].events == events)
		return;
	add_or_change(epoll, socket, events, tag);
	if (is_kept(socket))
		sockets[socket].events = events;
}

bool
wh_socket_is_wanted(curl_socket_t socket)
{
	return !is_kept(socket) || sockets[socket].is_wanted;
}

void
wh_socket_ignore_output(int epoll, curl_socket_t socket, uint64_t tag)
{
	add_or_change(epoll, socket, EPOLLIN, tag);
	sockets[socket].events = EPOLLIN;
}

void
wh_socket_cut(int epoll, curl_socket_t socket)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	epoll_ctl(epoll, EPOLL_CTL_DEL, socket, NULL);
	sockets[socket].events = 0;
	(void) connect(socket, &none, sizeof(none));
}
