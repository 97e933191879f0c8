/*
 * tls.h
 *		What TLS itself is sent on a connection, counted.
 */
#ifndef WH_TLS_H
#define WH_TLS_H

#include <curl/curl.h>

/* CURLOPT_SSL_CTX_FUNCTION, whose argument is the client. */
extern CURLcode wh_tls_watch(CURL *easy, void *context, void *client);

#endif							/* WH_TLS_H */
