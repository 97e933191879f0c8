/*
 * pace.c
 *		How long the worker's work waits for company, so as to share a flush.
 *
 * A take costs as much as a few deliveries, and its flush meets those of the
 * sessions that commit.  Where somebody waits, for a free place or for what is
 * due, work waits for as much again or for a millisecond.  Commits that come one
 * by one are taken at once, but when they go on coming, some milliseconds' worth
 * at a time.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "front.h"
#include "pace.h"
#include "results.h"
#include "roster.h"
#include "send.h"
#include "take.h"

#define BATCH_US 1000			/* where somebody waits */
#define PACE_MS 20				/* where nobody does */
#define BURST 4					/* takes that need not keep the pace */
#define MANY_RESULTS 32

static int64 taken_at;			/* this one and the next: see clock.h */
static int64 next_at;			/* when single commits may be taken again */
static bool was_empty;			/* the last take was */

/* Wait until half of what is out has come back, or 1 ms. */
static bool
is_worth_while(int count, int64 since)
{
	return count >= wh_send_in_flight() ||
		wh_clock_now() - since >= BATCH_US;
}

long
wh_pace_time_to_take(void)
{
	bool		is_backlog = wh_front_has_more();
	bool		has_freed = is_backlog && wh_take_freed() > 0 && !was_empty;

	if (!is_backlog && wh_roster_earliest_due() > GetCurrentTimestamp())
		return wh_clock_until(next_at);
	return is_worth_while(has_freed ? wh_take_freed() : -1, taken_at) ? 0 : 1;
}

bool
wh_pace_note_take(bool has_found)
{
	taken_at = wh_clock_now();
	was_empty = !has_found;

	/* Of takes that came sooner, as where somebody waits, one counts. */
	next_at = Max(next_at, wh_clock_in(-BURST * PACE_MS)) + PACE_MS * 1000;
	next_at = Min(next_at, wh_clock_in(PACE_MS));
	return has_found && wh_clock_until(next_at) > 0;
}

long
wh_pace_time_to_record(void)
{
	int			count = wh_results_count();
	int64		since = wh_results_since();

	if (wh_clock_until(since) > 0)
		return wh_clock_until(since);	/* all that is there is locked */
	if (!wh_results_are_awaited() && count < MANY_RESULTS)
		return wh_clock_until(since + PACE_MS * 1000);
	return is_worth_while(count, since) ? 0 : 1;
}
