/*
 * transfer.h
 *		One request inside the HTTP client: private to http.c and transfer.c.
 */
#ifndef WH_TRANSFER_H
#define WH_TRANSFER_H

#include <curl/curl.h>

#include "answer.h"
#include "http.h"
#include "lookup.h"

typedef struct Transfer
{
	HttpResult	result;			/* first: a result is its transfer */
	struct Transfer *next;		/* in the list of idle, waiting or done ones */
	struct Transfer *newer;		/* in the list of all */
	HttpClient *client;
	CURL	   *easy;
	struct curl_slist *headers; /* with the text that they point to */
	size_t		headers_size;
	struct curl_slist *secrets; /* where those begin that are masked; NULL */
	char		curl_error[CURL_ERROR_SIZE];
	bool		is_blocked;		/* an address was refused */
	bool		is_dialled;		/* an address was accepted */
	int			socket_error;	/* errno, where no socket could be opened */
	bool		is_begun;		/* libcurl began its request */
	bool		is_flooded;		/* bytes came that are no part of an answer */
	bool		is_deferred;	/* libcurl let go of it before its look-up */
	bool		is_called;		/* and may do it now */
	uint64_t	name;			/* looked up, as a hash; 0: none was */
	LookupClass lookup_class;
	unsigned	group;
	bool		is_failing;		/* its name is not new, for all we know */
	bool		is_looking_up;
	int64_t		queued_us;
	int64_t		started_us;
	int64_t		timeout_us;
	const void *connection;		/* OpenSSL's, of its request; only compared */
	curl_socket_t socket;		/* the last one that libcurl waited for */
	int			progress_calls;
	uint64_t	bytes_before;	/* of that socket, at the first count */
	Answer		answer;
} Transfer;

struct HttpClient
{
	HttpOptions options;
	HttpClient *older;			/* ends what began before a reload, or NULL */
	bool		is_outdated;	/* its connections are from before its policy */
	int			number;			/* tells its events from the older one's */
	CURLM	   *multi;
	int			epoll;			/* options.descriptor */
	int64_t		timer_us;		/* -1: none */
	int			busy_count;		/* transfers that are not idle */
	Lookups		lookups;
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

/* Start the clock anew, after a wait. */
extern void wh_transfer_restart(Transfer *transfer);

/*
 * Whether some of its request has left.  It has not where a connection that was
 * open turns out to be broken at the first byte.
 */
extern bool wh_transfer_is_sent(const Transfer *transfer);

/* Put down in the result how the transfer ended. */
extern void wh_transfer_finish(Transfer *transfer, CURLcode code);

/* The same for one that waited in vain for its look-up. */
extern void wh_transfer_give_up(Transfer *transfer);

/* Class of an outcome, and words for it; see http_error.c. */
extern HttpErrorClass wh_http_classify(const Transfer *transfer, CURLcode code);
extern const char *wh_http_describe(const Transfer *transfer, CURLcode code);

/* Forget the request. */
extern void wh_transfer_clear(Transfer *transfer);

#endif							/* WH_TRANSFER_H */
