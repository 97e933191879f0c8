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
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "front.h"
#include "plan.h"
#include "session.h"
#include "settings.h"
#include "take.h"

#define PIECE_EVENTS 512		/* read at once, at most */
#define MAX_ROWS_PER_WANTED 16	/* how many rows are passed for one */
#define PIECE_ROWS 2000			/* events times endpoints */
#define LOOK_AHEAD_SHARE_LEAST 500

static int64 own_shards;
static bool has_taken;			/* a cursor of ours is stored */
static int	freed;				/* requests ended since the last piece */

static void
be_cautious(Endpoint *endpoint, void *arg)
{
	endpoint->is_cautious = true;
	wh_roster_set_due(endpoint, DT_NOBEGIN);
}

void
wh_take_start(int64 shards)
{
	wh_roster_create();
	has_taken |= wh_front_load(shards);
	wh_queue_interrupt(shards);
	own_shards = shards;
	wh_queue_learn_queued(own_shards);	/* and which of them are no more */
	wh_queue_learn_endpoints(own_shards);
	wh_roster_visit(be_cautious, NULL);
}

void
wh_take_learn_endpoints(void)
{
	wh_session_begin("looking for new endpoints");
	wh_queue_learn_endpoints(own_shards);
	wh_session_commit(false);
}

/*
 * How many events the next piece may have; 0: not now.  A full endpoint that
 * nothing comes back from loses nothing when its events are passed; one that is
 * being served should not wait for that.  Where the last piece was for nobody,
 * the next one will hardly need the places that there are.
 */
static int
piece_limit(const TakePlan *plan, Front *front)
{
	int			limit = plan->places;

	if (front->was_full)
		limit = Min(limit, wh_plan_served_places(front->cursor.shards) *
					front->rows_per_wanted);
	front->is_looking_ahead = front->was_full && limit == 0 &&
		wh_front_may_look_ahead(front);
	if (front->is_looking_ahead || front->searched > 0)
		limit = PIECE_EVENTS;
	limit = Min(limit, PIECE_EVENTS);
	return limit > 0 ? Max(limit / front->fan_out, 1) : 0;
}

/* When to look ahead again: it took that long, and found something or not. */
static void
plan_look_ahead(Front *front, int64 took, bool has_found_idle)
{
	front->look_ahead_share = has_found_idle ? WH_LOOK_AHEAD_SHARE :
		Min(front->look_ahead_share * 2, LOOK_AHEAD_SHARE_LEAST);
	front->look_ahead_at = wh_clock_now() + took * (front->look_ahead_share - 1);
}

/* Move a copy of a front over a piece; true: past some events. */
static bool
advance(Front *front, const Piece *piece)
{
	Cursor	   *cursor = &front->cursor;
	const NewRow *last;

	front->has_window = piece->has_more;
	if (!front->has_window)
	{
		cursor->low = cursor->high;
		cursor->high = 0;
		wh_queue_unpack_cursor(cursor);
		cursor->position_xid = 0;
		memset(&cursor->position_id, 0, sizeof(cursor->position_id));
		cursor->position_endpoint_id = PG_INT64_MAX;
		return piece->count > 0 || piece->has_passed;
	}
	last = &piece->rows[piece->count - 1];
	cursor->position_xid = last->xid;
	cursor->position_id = last->event_id;
	cursor->position_endpoint_id =
		piece->count == PIECE_ROWS && last->endpoint_id ?
		last->endpoint_id : PG_INT64_MAX;
	return true;
}

/* Read a piece of so many events behind a front, and plan its rows. */
static void
take_news(TakePlan *plan, Front *front, int limit)
{
	Cursor	   *cursor = &front->cursor;
	Piece		piece = {.event_limit = limit, .row_limit = PIECE_ROWS};
	int			events;

	if (cursor->position_xid != 0 &&
		cursor->position_endpoint_id < PG_INT64_MAX)
		piece.event_limit++;	/* the event at the position is read again */
	piece.is_searching = front->searched > 0;
	wh_queue_read_new(cursor, &piece);
	events = wh_plan_new_rows(plan, piece.rows, piece.count);
	if (plan->wanted_count > 0)
		front->rows_per_wanted = Min(plan->row_count / plan->wanted_count,
									 MAX_ROWS_PER_WANTED);
	if (events > 0)
		front->fan_out = Max(plan->row_count / events, 1);
	freed = 0;
	if (cursor->high == 0)
		cursor->high = wh_queue_snapshot(); /* the one that was read with */
	cursor->is_unsaved |= advance(front, &piece);

	/* Once full, pieces stay small until the backlog has been read. */
	front->was_full = front->has_window && (plan->is_full || front->was_full);
}

void
wh_take_release(Delivery *delivery)
{
	wh_roster_note_end(delivery->endpoint, delivery->is_unproven);
	freed++;
	wh_front_note_end();
	if (delivery->is_suspect)
		wh_plan_clear_suspect();
	if (delivery->body && wh_body_release(delivery->body))
		wh_plan_let_go();
	MemoryContextDelete(delivery->context);
}

/* One transaction: what is due, and a piece behind a front, or NULL. */
static Delivery *
take_from(Front *front, Front *copy, int places)
{
	TakePlan	plan;
	volatile Front after = {0};
	Delivery   *volatile list = NULL;
	int64		began = wh_clock_now();

	wh_plan_begin(&plan, places);
	PG_TRY();
	{
		bool		has_rows;
		int			limit;

		wh_session_begin("taking events");
		wh_plan_due(&plan);
		limit = front ? piece_limit(&plan, copy) : 0;
		if (limit > 0)
			take_news(&plan, copy, limit);
		has_rows = wh_plan_has_rows(&plan);
		list = wh_plan_carry_out(&plan);
		if (limit > 0)
		{
			has_taken |= copy->cursor.is_unsaved;
			if (has_rows && copy->cursor.is_unsaved)
			{
				wh_queue_save_cursor(&copy->cursor);
				copy->cursor.is_unsaved = false;
			}
			*(Front *) &after = wh_front_copy(copy);
		}
		wh_session_commit(list != NULL);	/* durable before it is sent */
	}
	PG_CATCH();
	{
		wh_plan_forget(&plan);
		wh_front_note_news();
		if (after.cursor.context)
			wh_front_free((Front *) &after);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (plan.wish_count > 0)
		wh_roster_refresh_earliest();
	if (after.cursor.context)
	{
		int64		took = wh_clock_now() - began;

		wh_front_note_piece(front, (Front *) &after, took, plan.met);
		if (front->is_looking_ahead)
			plan_look_ahead(front, took, plan.has_found_idle);
	}
	return list;
}

Delivery *
wh_take(int places, bool may_have_news)
{
	Front		copy;
	Front	   *front;
	Delivery   *list = NULL;

	wh_front_arrange();
	if (may_have_news)
		wh_front_note_news();

	/* Where one finds nothing the next one need not wait for its turn. */
	for (int i = 0; i < wh_front_count() && list == NULL; i++)
	{
		front = wh_front_choose(&copy);
		list = take_from(front, &copy, places);
		if (front == NULL)
			break;
	}
	return list;
}

bool
wh_take_has_taken(void)
{
	return has_taken;
}

int
wh_take_freed(void)
{
	return freed;
}
