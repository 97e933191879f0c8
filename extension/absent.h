/*
 * absent.h
 *		Taking: organizations that have no endpoint of the shards that are read.
 *
 * Their events can be passed without being looked at one by one, as those of a
 * bulk change while others' events behind it are searched for.  Kept are only
 * guesses: which of them hold is asked with each snapshot that is read with.
 */
#ifndef WH_ABSENT_H
#define WH_ABSENT_H

#include "postgres.h"

/* This one (text) had an event for nobody: it may be absent. */
extern void wh_absent_guess(Datum organization_id);

/*
 * Those that are absent, by the snapshot with which the transaction began;
 * other guesses are forgotten.  The array lives until the next call.
 */
extern int	wh_absent_find(int64 shards, const Datum **organization_ids);

#endif							/* WH_ABSENT_H */
