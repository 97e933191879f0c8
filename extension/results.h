/*
 * results.h
 *		Finished attempts in hand: collected each turn, recorded together.
 *
 * Between the wire and the log they exist in this process only.
 */
#ifndef WH_RESULTS_H
#define WH_RESULTS_H

#include "datatype/timestamp.h"

/* Let the wire move, and collect what has ended. */
extern void wh_results_collect(void);

/*
 * How many wait to be recorded, and since when the oldest of them does; in the
 * future when all of them are locked and were looked at lately.
 */
extern int	wh_results_count(void);
extern int64 wh_results_since(void);

/* Whether something that could start waits for the place of one of them. */
extern bool wh_results_are_awaited(void);

/*
 * Record them all in one transaction and let go of them.  After an error they
 * are still in hand, and so are those whose rows somebody has locked, for a
 * while after that was noticed.
 */
extern void wh_results_record(void);

#endif							/* WH_RESULTS_H */
