/*
 * send.h
 *		Sending: deliveries become requests, requests become results.
 *
 * Runs outside any transaction.
 */
#ifndef WH_SEND_H
#define WH_SEND_H

#include "delivery.h"

/*
 * Start the HTTP client, or after a reload replace its settings.  False: out
 * of resources.
 */
extern bool wh_send_configure(void);

/*
 * Sign each delivery of a list and hand it to libcurl.  Where that raises an
 * error, the next call goes on with the same.
 */
extern void wh_send(Delivery *list);

extern void wh_send_run(void);

/* The next delivery with a result, or NULL. */
extern Delivery *wh_send_next_finished(void);

/* Give the result's memory back. */
extern void wh_send_release(Delivery *delivery);

/* How many have no result yet. */
extern int	wh_send_in_flight(void);
extern int	wh_send_descriptor(void);
extern long wh_send_timeout(void);

/* End everything without a result and forget the client. */
extern void wh_send_reset(void);

/* Those, in memory of the caller's context. */
extern int	wh_send_list(Delivery ***deliveries);

#endif							/* WH_SEND_H */
