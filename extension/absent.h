/*
 * absent.h
 *		Taking: events that no endpoint of the shards that are read subscribes to.
 *
 * They can be passed without being looked at one by one, as those of a bulk
 * change while others' events behind it are searched for.  Kept are guesses, of
 * an organization and an event type: which of them hold is asked with each
 * snapshot that is read with.
 */
#ifndef WH_ABSENT_H
#define WH_ABSENT_H

#include "postgres.h"

typedef struct Absent
{
	Datum		organization_id;	/* text, both */
	Datum		event_type;
} Absent;

/* One of these was for nobody: it may be that all are. */
extern void wh_absent_guess(Absent guess);

/*
 * Those of which all are for nobody, by the snapshot with which the transaction
 * began; other guesses are forgotten.  The array lives until the next guess.
 */
extern int	wh_absent_find(int64 shards, const Absent **absent);

extern bool wh_absent_is_equal(const Absent *one, const Absent *other);

#endif							/* WH_ABSENT_H */
