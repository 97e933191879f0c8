/*
 * transfer.h
 *		One request inside the HTTP client: private to http.c and transfer.c.
 */
#ifndef WH_TRANSFER_H
#define WH_TRANSFER_H

#include <curl/curl.h>

#include "http.h"

typedef struct Transfer
{
	HttpResult	result;			/* first: a result is its transfer */
	struct Transfer *next;		/* in the list of idle or of done ones */
	struct Transfer *newer;		/* in the list of all */
	HttpClient *client;
	CURL	   *easy;
	struct curl_slist *headers;
	char		curl_error[CURL_ERROR_SIZE];
	bool		is_blocked;		/* an address was refused */
	bool		is_dialled;		/* an address was accepted */
	int64_t		started_us;
	char		header_bytes[WH_HTTP_HEADERS_SIZE];
	unsigned char *body_bytes;	/* body_limit bytes */
} Transfer;

struct HttpClient
{
	HttpOptions options;
	CURLM	   *multi;
	int			epoll;			/* options.descriptor */
	int64_t		timer_us;		/* -1: none */
	int			in_flight;
	Transfer   *idle;
	Transfer   *done;
	Transfer   *all;
};

/* A transfer with the options that are the same for all; NULL: no memory. */
extern Transfer *wh_transfer_create(HttpClient *client);
extern void wh_transfer_destroy(Transfer *transfer);

/* Set what differs from request to request; false: no memory. */
extern bool wh_transfer_prepare(Transfer *transfer,
								const HttpRequest *request);

/* Put down in the result how the transfer ended. */
extern void wh_transfer_finish(Transfer *transfer, CURLcode code);

/* Forget the request. */
extern void wh_transfer_clear(Transfer *transfer);

extern int64_t wh_transfer_clock(void); /* monotonic, us */

#endif							/* WH_TRANSFER_H */
