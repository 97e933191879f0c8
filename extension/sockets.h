/*
 * sockets.h
 *		The sockets of the HTTP clients in one epoll set.
 *
 * Plain C, outside any transaction; a process has one set at a time.
 */
#ifndef WH_SOCKETS_H
#define WH_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

/* A socket for libcurl to connect; CURL_SOCKET_BAD: out of descriptors. */
extern curl_socket_t wh_socket_open(const struct curl_sockaddr *address);

/* For CURLOPT_CLOSESOCKETFUNCTION. */
extern int	wh_socket_close(void *unused, curl_socket_t socket);

/*
 * Do what libcurl wants: what is CURL_POLL_IN, _OUT, _INOUT or _REMOVE.  Events
 * of the socket carry the tag.
 */
extern void wh_socket_watch(int epoll, curl_socket_t socket, int what,
							uint64_t tag);

/* Whether a request waits for a socket of the set. */
extern bool wh_socket_is_wanted(curl_socket_t socket);

/* That one which is not wanted can be written to is no event. */
extern void wh_socket_ignore_output(int epoll, curl_socket_t socket,
									uint64_t tag);

/* End the connection of one that is not wanted, as libcurl will find. */
extern void wh_socket_cut(int epoll, curl_socket_t socket);

#endif							/* WH_SOCKETS_H */
