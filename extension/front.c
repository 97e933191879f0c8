/*
 * front.c
 *		Taking: up to where the outbox has been read, for which endpoints.
 *
 * See front.h.  A front's row in webhook.cursor changes in the transaction that
 * writes what was read; what is kept here follows only when that has committed:
 * a cursor ahead of a commit that failed would lose events.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "clock.h"
#include "front.h"
#include "merge.h"
#include "plan.h"
#include "session.h"

#define SHARDS 64				/* as many fronts, at most */
#define MAX_SPLIT 4				/* fronts up to which one is split */
#define BEHIND_US 100000		/* before it is */
#define STALLED_US 200000		/* no request has ended: places do not free */

/*
 * Searching for rows that can start, past those of others: half of the time at
 * first, later one part in ten.
 */
#define SEARCH_US 250000
#define SEARCH_SHARE 10
#define CAUGHT_UP_US 5000		/* between looks that find nothing */

static Front fronts[SHARDS];
static int	front_count;
static int	turn;				/* the front that was read last */
static int64 ended_at;			/* the last request that did */

Front
wh_front_copy(const Front *from)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "webhook cursor",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const Cursor *cursor = &from->cursor;
	Front		copy = *from;

	copy.cursor.context = context;
	if (cursor->low)
	{
		copy.cursor.low = datumCopy(cursor->low, false, -1);
		copy.cursor.low_xip = palloc((cursor->low_xip_count + 1) * sizeof(uint64));
		memcpy(copy.cursor.low_xip, cursor->low_xip,
			   cursor->low_xip_count * sizeof(uint64));
	}
	if (cursor->high)
		copy.cursor.high = datumCopy(cursor->high, false, -1);
	MemoryContextSwitchTo(old);
	return copy;
}

void
wh_front_free(Front *front)
{
	MemoryContextDelete(front->cursor.context);
}

static Front
make_front(const Cursor *cursor)
{
	Front		front = {.cursor = *cursor};

	front.has_window = true;
	front.rows_per_wanted = front.fan_out = 1;
	front.look_ahead_share = WH_LOOK_AHEAD_SHARE;
	return wh_front_copy(&front);
}

bool
wh_front_load(int64 shards)
{
	Cursor	   *found;
	bool		is_stored = false;
	int			count;

	while (front_count > 0)		/* of a start that failed */
		wh_front_free(&fronts[--front_count]);
	count = wh_queue_load_cursors(shards, &found);
	for (int i = 0; i < count; i++)
	{
		fronts[front_count++] = make_front(&found[i]);
		is_stored |= found[i].low != 0 || found[i].high != 0;
	}
	return is_stored;
}

int
wh_front_count(void)
{
	return front_count;
}

/*
 * Events of the shards that were met for so long keep their place, and wait
 * there for their endpoints; the other shards' go on.  Where most are met,
 * there is nothing to be had from it.
 */
static void
split(Front *front)
{
	int64		behind = front->met & front->cursor.shards;
	int64		ahead = front->cursor.shards & ~behind;
	Front		made;

	front->behind_since = wh_clock_now();
	front->met = 0;
	if (behind == 0 || pg_popcount64(behind) > pg_popcount64(ahead))
		return;
	wh_session_begin("splitting a cursor");
	wh_queue_save_cursor(&front->cursor);
	wh_queue_split_cursors(behind);
	made = make_front(&front->cursor);
	wh_session_commit(false);

	made.has_news = front->has_news;
	made.cursor.is_unsaved = front->cursor.is_unsaved = false;
	made.cursor.shards = ahead;
	front->cursor.shards = behind;
	ItemPointerSetInvalid(&made.cursor.tid);
	ItemPointerSetInvalid(&front->cursor.tid);
	fronts[front_count++] = made;
}

void
wh_front_arrange(void)
{
	front_count = wh_merge_go_on(fronts, front_count);
	for (int i = 0; i < front_count && !wh_merge_is_going_on(); i++)
	{
		if (front_count < MAX_SPLIT && fronts[i].behind_since != 0 &&
			wh_clock_now() - fronts[i].behind_since > BEHIND_US)
			split(&fronts[i]);
	}
}

void
wh_front_note_news(void)
{
	for (int i = 0; i < front_count; i++)
		fronts[i].has_news = true;
}

bool
wh_front_may_look_ahead(const Front *front)
{
	int64		now = wh_clock_now();

	return now >= front->look_ahead_at || now - ended_at > STALLED_US;
}

void
wh_front_note_end(void)
{
	ended_at = wh_clock_now();
}

static bool
has_something(const Front *front)
{
	if (front->is_merging)
		return !wh_merge_has_arrived(front);
	return front->has_news || front->has_window;
}

/* Is there a front that finds rows, and needs the time in which another searches? */
static bool
must_share(void)
{
	if (wh_clock_now() - ended_at > STALLED_US)
		return false;
	for (int i = 0; i < front_count; i++)
	{
		if (has_something(&fronts[i]) && fronts[i].read_at == 0)
			return true;
	}
	return false;
}

static bool
may_be_read(const Front *front)
{
	if (!has_something(front))
		return false;
	if (!front->is_merging && wh_clock_until(front->read_at) > 0 && must_share())
		return false;
	return !front->was_full || wh_front_may_look_ahead(front) ||
		wh_plan_served_places(front->cursor.shards) > 0;
}

Front *
wh_front_choose(Front *copy)
{
	for (int i = 1; i <= front_count; i++)
	{
		int			next = (turn + i) % front_count;
		Front	   *front = &fronts[next];

		if (!may_be_read(front))
			continue;
		turn = next;
		*copy = *front;
		wh_merge_aim(copy);
		return front;
	}
	return NULL;
}

static void
note_search(Front *front, int64 took, int64 met)
{
	int64		pause;

	front->searched = met == 0 && front->has_window ? front->searched + took : 0;
	if (met != 0)
	{
		front->read_at = 0;
		return;
	}
	if (!front->has_window)
		pause = CAUGHT_UP_US;
	else
		pause = took * (front->searched < SEARCH_US ? 1 : SEARCH_SHARE - 1);
	front->read_at = wh_clock_now() + pause;
}

void
wh_front_note_piece(Front *front, const Front *copy, int64 took, int64 met)
{
	bool		is_fresh = front->cursor.high == 0 && !front->is_merging;
	bool		was_searching = front->searched > 0;

	wh_front_free(front);
	*front = *copy;
	if (is_fresh)				/* else it ends before what is new */
		front->has_news = false;
	note_search(front, took, met);

	/* Behind is who meets rows all the time, not who searches for some. */
	front->met |= met;
	if (!front->has_window || (met == 0 && was_searching))
		front->behind_since = front->met = 0;
	else if (front->behind_since == 0)
		front->behind_since = wh_clock_now();
	if (front->is_merging && front->has_window)
		wh_merge_give_up(fronts, front_count);	/* it has not caught up */
}

bool
wh_front_has_more(void)
{
	if (wh_merge_is_due(fronts, front_count))
		return true;
	for (int i = 0; i < front_count; i++)
	{
		if (may_be_read(&fronts[i]))
			return true;
	}
	return false;
}

bool
wh_front_is_waiting(void)
{
	for (int i = 0; i < front_count; i++)
	{
		if (has_something(&fronts[i]))
			return true;
	}
	return false;
}

bool
wh_front_is_unsaved(void)
{
	for (int i = 0; i < front_count; i++)
	{
		if (fronts[i].cursor.is_unsaved)
			return true;
	}
	return false;
}

void
wh_front_save(void)
{
	wh_session_begin("saving cursors");
	for (int i = 0; i < front_count; i++)
	{
		if (fronts[i].cursor.is_unsaved)
			wh_queue_save_cursor(&fronts[i].cursor);
	}
	wh_session_commit(false);
	for (int i = 0; i < front_count; i++)
		fronts[i].cursor.is_unsaved = false;
}
