/*
 * merge.c
 *		Taking: fronts that have caught up become one.
 *
 * See merge.h.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#include "merge.h"
#include "session.h"

static Datum target;			/* snapshot where several meet; 0: none do */

bool
wh_merge_is_going_on(void)
{
	return target != 0;
}

bool
wh_merge_has_arrived(const Front *front)
{
	return front->cursor.high == 0 && front->cursor.low &&
		datumIsEqual(front->cursor.low, target, false, -1);
}

void
wh_merge_aim(Front *copy)
{
	if (copy->is_merging && copy->cursor.high == 0)
		copy->cursor.high = target;
}

static bool
may_begin(const Front *fronts, int count)
{
	int			caught_up = 0;

	for (int i = 0; i < count; i++)
		caught_up += !fronts[i].has_window;
	return caught_up >= 2 && !target;
}

static void
begin(Front *fronts, int count)
{
	MemoryContext old;
	Datum		snapshot;

	wh_session_begin("taking events");
	snapshot = wh_queue_snapshot(); /* leaves us in SPI's memory context */
	old = MemoryContextSwitchTo(TopMemoryContext);
	target = datumCopy(snapshot, false, -1);
	MemoryContextSwitchTo(old);
	wh_session_commit(false);
	for (int i = 0; i < count; i++)
		fronts[i].is_merging = !fronts[i].has_window;
}

void
wh_merge_give_up(Front *fronts, int count)
{
	pfree(DatumGetPointer(target));
	target = 0;
	for (int i = 0; i < count; i++)
		fronts[i].is_merging = false;
}

static bool
have_met(const Front *fronts, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (fronts[i].is_merging && !wh_merge_has_arrived(&fronts[i]))
			return false;
	}
	return target != 0;
}

/* The rows of all that have met become that of the first. */
static int64
merge_rows(Front *fronts, int count)
{
	Cursor		merged = {0};

	wh_session_begin("merging cursors");
	for (int i = 0; i < count; i++)
	{
		if (!fronts[i].is_merging)
			continue;
		wh_queue_save_cursor(&fronts[i].cursor);
		if (merged.shards != 0)
			wh_queue_merge_cursors(&merged, &fronts[i].cursor);
		merged.shards |= fronts[i].cursor.shards;
	}
	wh_session_commit(true);
	return merged.shards;
}

/* Only when that has committed: after an error all are there as before. */
static int
merge(Front *fronts, int count)
{
	int64		shards = merge_rows(fronts, count);
	Front	   *first = NULL;
	int			kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (fronts[i].is_merging && first)
		{
			first->has_news |= fronts[i].has_news;
			wh_front_free(&fronts[i]);
			continue;
		}
		fronts[kept] = fronts[i];
		if (fronts[i].is_merging)
		{
			first = &fronts[kept];
			first->cursor.shards = shards;
			first->cursor.is_unsaved = false;
		}
		kept++;
	}
	wh_merge_give_up(fronts, kept);
	return kept;
}

bool
wh_merge_is_due(const Front *fronts, int count)
{
	return may_begin(fronts, count) || have_met(fronts, count);
}

int
wh_merge_go_on(Front *fronts, int count)
{
	if (have_met(fronts, count))
		count = merge(fronts, count);
	if (may_begin(fronts, count))
		begin(fronts, count);
	return count;
}
