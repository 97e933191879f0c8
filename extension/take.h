/*
 * take.h
 *		Taking: which deliveries may start now, durable before they do.
 */
#ifndef WH_TAKE_H
#define WH_TAKE_H

#include "delivery.h"

/*
 * Start with these shards of endpoints: cursors, endpoints, and what a crash
 * left on the wire.  Inside a transaction begun by wh_session_begin.
 */
extern void wh_take_start(int64 shards);

/*
 * Learn of endpoints that were made since: what is redelivered to one that
 * never had an event is looked for like any due delivery.
 */
extern void wh_take_learn_endpoints(void);

/*
 * Take new events (when may_have_news) and due retries for at most places
 * requests, in one transaction of its own, and return a list of deliveries
 * that are recorded as being on the wire.  After an error nothing was taken.
 */
extern Delivery *wh_take(int places, bool may_have_news);

/* Whether this database has ever taken an event of its own. */
extern bool wh_take_has_taken(void);

/* Requests that ended since the last piece was read. */
extern int	wh_take_freed(void);

/* Release a delivery that is over. */
extern void wh_take_release(Delivery *delivery);

#endif							/* WH_TAKE_H */
