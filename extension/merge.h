/*
 * merge.h
 *		Taking: fronts that have caught up become one.
 *
 * They are at different snapshots.  So they read on up to one that is chosen
 * then, where they meet, and their rows in webhook.cursor become one.
 */
#ifndef WH_MERGE_H
#define WH_MERGE_H

#include "front.h"

/*
 * Begin, when two or more have caught up, or end, when those have met; in
 * transactions of its own.  Returns how many fronts there are now.
 */
extern int	wh_merge_go_on(Front *fronts, int count);

/* Whether it would do something. */
extern bool wh_merge_is_due(const Front *fronts, int count);

extern bool wh_merge_is_going_on(void);

/* Have the window of a copy that is to be read end where they meet. */
extern void wh_merge_aim(Front *copy);

/* Whether a front is there. */
extern bool wh_merge_has_arrived(const Front *front);

/* They go on as they are. */
extern void wh_merge_give_up(Front *fronts, int count);

#endif							/* WH_MERGE_H */
