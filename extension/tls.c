/*
 * tls.c
 *		What TLS itself is sent on a connection, counted.
 *
 * OpenSSL reads on while messages come that are no data, such as requests for a
 * new handshake, tickets and new keys.  Who sends them as fast as they are read
 * would have the process to himself: no timeout is looked at meanwhile.  Runs
 * inside libcurl, also while that closes connections.
 */
#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "tls.h"
#include "transfer.h"

#define MAX_MESSAGES 1000		/* an honest connection has a dozen */

/* Where the count of a connection is: in place of a pointer. */
static int
count_index(void)
{
	static int	index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

/* Whose attempt it is; none while there is a handshake, or no request. */
static void
tell_flooded(HttpClient *client, const SSL *connection)
{
	for (Transfer *transfer = client->all; transfer; transfer = transfer->newer)
	{
		if (transfer->connection == connection)
			transfer->is_flooded = true;
	}
}

/* OpenSSL has read or written a message, or a piece of a record. */
static void
count_message(int is_written, int version, int type, const void *bytes,
			  size_t length, SSL *connection, void *client)
{
	uintptr_t	count;

	if (is_written || (type != SSL3_RT_HANDSHAKE && type != SSL3_RT_ALERT &&
					   type != SSL3_RT_CHANGE_CIPHER_SPEC))
		return;
	count = (uintptr_t) SSL_get_ex_data(connection, count_index()) + 1;
	(void) SSL_set_ex_data(connection, count_index(), (void *) count);
	if (count <= MAX_MESSAGES)
		return;
	/* Then OpenSSL reads no more. */
	SSL_set_shutdown(connection,
					 SSL_get_shutdown(connection) | SSL_RECEIVED_SHUTDOWN);
	tell_flooded(client, connection);
}

CURLcode
wh_tls_watch(CURL *easy, void *context, void *client)
{
	SSL_CTX_set_msg_callback(context, count_message);
	SSL_CTX_set_msg_callback_arg(context, client);
	return CURLE_OK;
}
