/*
 * gone.h
 *		What waits for endpoints that are disabled or deleted is cancelled.
 */
#ifndef WH_GONE_H
#define WH_GONE_H

/*
 * Cancel some of it, in a transaction of its own; call it each turn.  However
 * much there is, others do not wait for long.
 */
extern void wh_gone_cancel_some(void);

#endif							/* WH_GONE_H */
