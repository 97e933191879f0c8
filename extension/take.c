/*
 * take.c
 *		Taking: which deliveries may start now, durable before they do.
 *
 * One transaction per take: it reads the outbox past the cursor and the queue
 * past the due marks, writes queue rows and cursor, and commits with a flush
 * before the first byte leaves.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "plan.h"
#include "session.h"
#include "settings.h"
#include "take.h"

#define PIECE_EVENTS 512		/* read at once, at most */
#define MAX_ROWS_PER_WANTED 16	/* how many rows are passed for one */
#define PIECE_ROWS 2000			/* events times endpoints */

/*
 * Looking ahead, past the events of full endpoints, gets one part in five of
 * the time, and less and less when it finds nothing that can start: what it
 * passes must be written to the queue and read again.
 */
#define LOOK_AHEAD_SHARE 5
#define LOOK_AHEAD_SHARE_LEAST 500
#define STALLED_US 200000

static Cursor cursors[64];
static int	cursor_count;
static int64 own_shards;
static bool has_taken;			/* a cursor of ours is stored */
static Datum target;			/* where several cursors meet; 0: none */
static bool has_window;			/* the window goes on behind the piece */
static bool was_full;			/* the last piece had to spill */
static int	freed;				/* requests ended since the last piece */
static int	rows_per_wanted = 1;	/* in the last piece with any */
static int	fan_out = 1;		/* rows per event in the last piece */
static int64 look_ahead_at;		/* not before */
static int	look_ahead_share = LOOK_AHEAD_SHARE;
static int64 ended_at;			/* the last request that did */
static bool is_looking_ahead;	/* this take does */

/* A copy of a cursor that outlives the transaction. */
static Cursor
copy_cursor(const Cursor *from)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "webhook cursor",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Cursor		copy = *from;

	copy.context = context;
	if (from->low)
	{
		copy.low = datumCopy(from->low, false, -1);
		copy.low_xip = palloc((from->low_xip_count + 1) * sizeof(uint64));
		memcpy(copy.low_xip, from->low_xip,
			   from->low_xip_count * sizeof(uint64));
	}
	if (from->high)
		copy.high = datumCopy(from->high, false, -1);
	MemoryContextSwitchTo(old);
	return copy;
}

static void
be_cautious(Endpoint *endpoint, void *arg)
{
	endpoint->is_cautious = true;
	wh_roster_set_due(endpoint, DT_NOBEGIN);
}

void
wh_take_start(int64 shards)
{
	Cursor	   *found;

	wh_roster_create();
	cursor_count = wh_queue_load_cursors(shards, &found);
	for (int i = 0; i < cursor_count; i++)
	{
		cursors[i] = copy_cursor(&found[i]);
		has_taken |= found[i].low != 0 || found[i].high != 0;
	}
	wh_queue_interrupt(shards);
	own_shards = shards;
	wh_queue_learn_queued(own_shards);	/* and which of them are no more */
	wh_queue_learn_endpoints(own_shards);
	wh_roster_visit(be_cautious, NULL);
	has_window = true;
}

void
wh_take_learn_endpoints(void)
{
	wh_session_begin("looking for new endpoints");
	wh_queue_learn_endpoints(own_shards);
	wh_session_commit(false);
}

/*
 * A full endpoint that nothing comes back from loses nothing when its events
 * are passed; one that is being served should not wait for that.
 */
static bool
may_look_ahead(void)
{
	int64		now = wh_clock_now();

	return now >= look_ahead_at || now - ended_at > STALLED_US;
}

/* How many events the next piece may have; 0: not now. */
static int
piece_limit(const TakePlan *plan)
{
	int			limit = plan->places;

	if (was_full)
		limit = Min(limit, wh_plan_served_places() * rows_per_wanted);
	is_looking_ahead = was_full && limit == 0 && may_look_ahead();
	if (is_looking_ahead)
		limit = PIECE_EVENTS;
	limit = Min(limit, PIECE_EVENTS);
	return limit > 0 ? Max(limit / fan_out, 1) : 0;
}

/* When to look ahead again: it took that long, and found something or not. */
static void
plan_look_ahead(int64 began, bool has_found_idle)
{
	int64		now = wh_clock_now();

	look_ahead_share = has_found_idle ? LOOK_AHEAD_SHARE :
		Min(look_ahead_share * 2, LOOK_AHEAD_SHARE_LEAST);
	look_ahead_at = now + (now - began) * (look_ahead_share - 1);
	is_looking_ahead = false;
}

/* Move a copy of the cursor over the rows of a piece; true: past some. */
static bool
advance(Cursor *cursor, const NewRow *rows, int count, int event_count,
		int event_limit)
{
	const NewRow *last = count > 0 ? &rows[count - 1] : NULL;

	has_window = count > 0 &&
		(count == PIECE_ROWS || event_count == event_limit);
	if (!has_window)
	{
		cursor->low = cursor->high;
		cursor->high = 0;
		wh_queue_unpack_cursor(cursor);
		cursor->position_xid = 0;
		memset(&cursor->position_id, 0, sizeof(cursor->position_id));
		cursor->position_endpoint_id = PG_INT64_MAX;
		return count > 0;
	}
	cursor->position_xid = last->xid;
	cursor->position_id = last->event_id;
	cursor->position_endpoint_id =
		count == PIECE_ROWS && last->endpoint_id ? last->endpoint_id : PG_INT64_MAX;
	return true;
}

/* Read one piece behind the cursor and plan its rows; true: there were some. */
static bool
take_news(TakePlan *plan, Cursor *cursor)
{
	int			limit;
	NewRow	   *rows;
	int			count;
	int			events;
	bool		is_full;
	bool		has_moved;

	limit = piece_limit(plan);
	if (limit == 0)
		return false;
	if (cursor->position_xid != 0 &&
		cursor->position_endpoint_id < PG_INT64_MAX)
		limit++;				/* the event at the position is read again */
	count = wh_queue_read_new(cursor, limit, PIECE_ROWS, &rows);
	events = wh_plan_new_rows(plan, rows, count);
	if (plan->wanted_count > 0)
		rows_per_wanted = Min(plan->row_count / plan->wanted_count,
							  MAX_ROWS_PER_WANTED);
	if (events > 0)
		fan_out = Max(plan->row_count / events, 1);
	is_full = plan->is_full;
	freed = 0;
	if (cursor->high == 0)
		cursor->high = wh_queue_snapshot(); /* the one that was read with */
	has_moved = advance(cursor, rows, count, events, limit);

	/* Once full, pieces stay small until the backlog has been read. */
	was_full = has_window && (is_full || was_full);
	return has_moved;
}

void
wh_take_release(Delivery *delivery)
{
	wh_roster_note_end(delivery->endpoint, delivery->is_unproven);
	freed++;
	ended_at = wh_clock_now();
	if (delivery->is_suspect)
		wh_plan_clear_suspect();
	if (delivery->body && wh_body_release(delivery->body))
		wh_plan_let_go();
	MemoryContextDelete(delivery->context);
}

/*
 * Several cursors, after a change of webhook.workers, are driven up to one
 * target snapshot and then become one.
 */
static void
choose_target(void)
{
	MemoryContext old;
	Datum		snapshot;

	if (cursor_count < 2 || target)
		return;
	wh_session_begin("taking events");
	snapshot = wh_queue_snapshot(); /* leaves us in SPI's memory context */
	old = MemoryContextSwitchTo(TopMemoryContext);
	target = datumCopy(snapshot, false, -1);
	MemoryContextSwitchTo(old);
	wh_session_commit(false);
}

static bool
is_at_target(const Cursor *cursor)
{
	return cursor->high == 0 && cursor->low &&
		datumIsEqual(cursor->low, target, false, -1);
}

/* The cursor to read next. */
static int
choose_cursor(void)
{
	int			number = 0;

	while (target && number < cursor_count - 1 && is_at_target(&cursors[number]))
		number++;
	return number;
}

static void
merge_cursors(void)
{
	Cursor		merged = cursors[0];

	for (int i = 0; i < cursor_count; i++)
	{
		if (!is_at_target(&cursors[i]))
			return;
	}
	wh_session_begin("merging cursors");
	for (int i = 0; i < cursor_count; i++)
		wh_queue_save_cursor(&cursors[i]);
	for (int i = 1; i < cursor_count; i++)
	{
		wh_queue_merge_cursors(&merged, &cursors[i]);
		merged.shards |= cursors[i].shards;
	}
	wh_session_commit(true);

	/* Only now: after an error all of them are there as before. */
	cursors[0].shards = merged.shards;
	cursors[0].is_unsaved = false;
	for (int i = 1; i < cursor_count; i++)
		MemoryContextDelete(cursors[i].context);
	cursor_count = 1;
	pfree(DatumGetPointer(target));
	target = 0;
}

Delivery *
wh_take(int places, bool may_have_news)
{
	TakePlan	plan;
	Delivery   *volatile list = NULL;
	volatile int64 began = wh_clock_now();
	Cursor		cursor;
	volatile Cursor advanced = {0};
	volatile int number;

	if (target)
		merge_cursors();
	choose_target();
	number = choose_cursor();
	cursor = cursors[number];
	if (target && cursor.high == 0)
		cursor.high = target;
	wh_plan_begin(&plan, places);
	PG_TRY();
	{
		bool		has_rows;

		wh_session_begin("taking events");
		wh_plan_due(&plan);
		if (may_have_news || has_window || target)
			cursor.is_unsaved |= take_news(&plan, &cursor);
		has_rows = wh_plan_has_rows(&plan);
		list = wh_plan_carry_out(&plan);
		has_taken |= cursor.is_unsaved;
		if (has_rows && cursor.is_unsaved)
		{
			wh_queue_save_cursor(&cursor);
			cursor.is_unsaved = false;
		}
		*(Cursor *) &advanced = copy_cursor(&cursor);
		wh_session_commit(list != NULL);	/* durable before it is sent */
	}
	PG_CATCH();
	{
		wh_plan_forget(&plan);
		has_window = true;
		if (advanced.context)
			MemoryContextDelete(advanced.context);
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* Only now: a cursor ahead of a commit that failed would lose events. */
	MemoryContextDelete(cursors[number].context);
	cursors[number] = *(Cursor *) &advanced;
	if (plan.wish_count > 0)
		wh_roster_refresh_earliest();
	if (is_looking_ahead)
		plan_look_ahead(began, plan.has_found_idle);
	return list;
}

bool
wh_take_is_unsaved(void)
{
	for (int i = 0; i < cursor_count; i++)
	{
		if (cursors[i].is_unsaved)
			return true;
	}
	return false;
}

void
wh_take_save(void)
{
	wh_session_begin("saving cursors");
	for (int i = 0; i < cursor_count; i++)
	{
		if (cursors[i].is_unsaved)
			wh_queue_save_cursor(&cursors[i]);
	}
	wh_session_commit(false);
	for (int i = 0; i < cursor_count; i++)
		cursors[i].is_unsaved = false;
}

bool
wh_take_has_taken(void)
{
	return has_taken;
}

bool
wh_take_is_waiting(void)
{
	return has_window;
}

int
wh_take_freed(void)
{
	return freed;
}

bool
wh_take_has_more(void)
{
	if (!has_window)
		return target != 0;
	return !was_full || wh_plan_served_places() > 0 || may_look_ahead();
}
