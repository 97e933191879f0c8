/*
 * record.h
 *		Recording: finished attempts become rows of the delivery log.
 *
 * Runs inside a transaction begun by wh_session_begin, unless it says so.
 */
#ifndef WH_RECORD_H
#define WH_RECORD_H

#include "delivery.h"

/*
 * Put those whose row in the queue somebody has locked behind the others, and
 * lock the rows of these; how many are free.
 */
extern int	wh_record_free_first(Delivery **deliveries, int count);

/*
 * Write one attempt row per delivery, all of which have results; end the
 * deliveries that are done and schedule the retries of the others.  Endpoints
 * get their next due times.
 */
extern void wh_record_attempts(Delivery **deliveries, int count);

/*
 * An orderly stop, while the process exits: these requests were cut off and do
 * not count.  In a transaction of its own, and only when that waits for
 * nobody; otherwise the next worker records them as interrupted.
 */
extern void wh_record_give_back(Delivery **deliveries, int count);

#endif							/* WH_RECORD_H */
