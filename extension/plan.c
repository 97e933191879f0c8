/*
 * plan.c
 *		Taking: which rows may start, as far as the endpoints have places.
 *
 * Runs in the worker's taking transaction; see plan.h.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "plan.h"
#include "take.h"
#include "wish.h"

#define SUSPICIOUS 2			/* interruptions in a row */
#define SERVED_ENDPOINTS 64
#define CONTEXT_SIZE 2048		/* of a delivery: most need no more */

static Endpoint *served[SERVED_ENDPOINTS];	/* a ring */
static int	served_next;
static uint64 piece;			/* pieces planned so far */
static bool is_suspect_out;		/* a suspect is on the wire */

void
wh_plan_begin(TakePlan *plan, int places)
{
	memset(plan, 0, sizeof(*plan));
	plan->places = places;
	plan->load = palloc((places + 1) * sizeof(int64));
	plan->wishes = palloc(WH_MAX_WISHES * sizeof(DueWish)); /* outlives the commit */
}

static Delivery *
plan_delivery(TakePlan *plan, Endpoint *endpoint, const char *event_type,
			  int64 revision)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "webhook delivery",
												  0, CONTEXT_SIZE,
												  ALLOCSET_DEFAULT_INITSIZE);
	Delivery   *delivery = MemoryContextAllocZero(context, sizeof(Delivery));

	delivery->context = context;
	delivery->endpoint = endpoint;
	delivery->event_type = MemoryContextStrdup(context, event_type);
	delivery->is_unproven = wh_roster_note_start(endpoint);
	plan->places--;
	if (endpoint->revision != revision)
	{
		endpoint->revision = revision;	/* ask for it once */
		plan->load[plan->load_count++] = endpoint->id;
	}
	return delivery;
}

static void
set_body(Delivery *delivery, text *payload, Body **shared)
{
	if (*shared == NULL)
		*shared = wh_body_create(payload);
	delivery->body = *shared;
	delivery->body->references++;
}

/* Its endpoint has places; with too many bytes in hand it has none. */
static bool
can_start(const TakePlan *plan, Endpoint *endpoint, text *payload,
		  const Body *shared)
{
	if (plan->places <= 0 || wh_roster_places(endpoint) <= 0)
		return false;
	endpoint->is_held = shared == NULL && !wh_body_has_room(payload);
	return !endpoint->is_held;
}

/* As a bit. */
static int64
shard_of(const Endpoint *endpoint)
{
	return (int64) (UINT64CONST(1) << (endpoint->id & 63));
}

static void
note_served(Endpoint *endpoint)
{
	if (endpoint->is_served)
		return;
	if (served[served_next])
		served[served_next]->is_served = false;
	served[served_next] = endpoint;
	endpoint->is_served = true;
	served_next = (served_next + 1) % SERVED_ENDPOINTS;
}

int
wh_plan_served_places(int64 shards)
{
	int			places = 0;

	for (int i = 0; i < SERVED_ENDPOINTS && served[i]; i++)
	{
		if (shard_of(served[i]) & shards)
			places += wh_roster_places(served[i]);
	}
	return places;
}

/* One row of a piece: on the wire from birth, or spilled. */
static void
plan_new_row(TakePlan *plan, const NewRow *row, Body **shared)
{
	Endpoint   *endpoint = wh_roster_get(row->endpoint_id);
	QueueRow   *queued = &plan->rows[plan->row_count];

	endpoint->is_paused = row->is_paused;
	if (endpoint->piece != piece)
		endpoint->had_places = wh_roster_places(endpoint) > 0;
	endpoint->piece = piece;
	plan->wanted_count += endpoint->had_places;
	plan->met |= shard_of(endpoint);
	queued->event_id = row->event_id;
	queued->endpoint_id = row->endpoint_id;
	queued->created_at = GetCurrentTimestamp();
	queued->is_sending = can_start(plan, endpoint, row->payload, *shared);
	plan->row_delivery[plan->row_count++] = NULL;
	if (!queued->is_sending)
	{
		plan->is_full |= !row->is_paused;
		wh_roster_set_due(endpoint, Min(endpoint->next_due,
										queued->created_at));
		return;
	}
	plan->has_found_idle |= endpoint->in_flight == 0;
	note_served(endpoint);
	plan->row_delivery[plan->row_count - 1] =
		plan_delivery(plan, endpoint, row->event_type, row->revision);
	set_body(plan->row_delivery[plan->row_count - 1], row->payload, shared);
}

int
wh_plan_new_rows(TakePlan *plan, const NewRow *rows, int count)
{
	Body	   *shared = NULL;
	int			events = 0;

	piece++;
	plan->rows = palloc(Max(count, 1) * sizeof(QueueRow));
	plan->row_delivery = palloc(Max(count, 1) * sizeof(Delivery *));
	for (int i = 0; i < count; i++)
	{
		if (i == 0 || memcmp(&rows[i].event_id, &rows[i - 1].event_id,
							 UUID_LEN) != 0)
		{
			shared = NULL;
			events++;
		}
		if (rows[i].endpoint_id)
			plan_new_row(plan, &rows[i], &shared);
	}
	return events;
}

/*
 * A row whose last two attempts were cut off by crashes may be what crashes
 * the worker, or was on the wire beside it.  Such rows go one after the other,
 * so that the bad one takes no others with it until its attempts are used up.
 */
static bool
must_wait_for_suspect(const DueRow *row)
{
	return row->interruptions >= SUSPICIOUS && is_suspect_out;
}

static void
let_go(Endpoint *endpoint, void *arg)
{
	endpoint->is_held = false;
}

void
wh_plan_let_go(void)
{
	wh_roster_visit(let_go, NULL);
	wh_roster_refresh_earliest();
}

void
wh_plan_clear_suspect(void)
{
	is_suspect_out = false;
	wh_plan_let_go();
}

/* It keeps the mark: the next look finds it again. */
static void
leave_row(Endpoint *endpoint, const DueRow *row)
{
	wh_roster_set_due(endpoint, Min(endpoint->next_due,
									row->next_attempt_at));
}

static void
plan_due_row(TakePlan *plan, const DueRow *row)
{
	Endpoint   *endpoint = wh_roster_get(row->endpoint_id);
	Body	   *shared = NULL;
	Delivery   *delivery;

	if (row->next_attempt_at > plan->now)
	{
		leave_row(endpoint, row);
		return;
	}
	if (row->event_type == NULL)
	{
		plan->gone[plan->gone_count++] = *row;
		leave_row(endpoint, row);
		return;
	}
	endpoint->is_paused = row->is_paused;
	endpoint->is_held |= must_wait_for_suspect(row);
	if (endpoint->due_places <= 0 ||
		!can_start(plan, endpoint, row->payload, NULL))
	{
		leave_row(endpoint, row);
		return;
	}
	endpoint->due_places--;
	delivery = plan_delivery(plan, endpoint, row->event_type, row->revision);
	plan->sending[plan->sending_count] = *row;
	plan->sending_delivery[plan->sending_count++] = delivery;
	delivery->event_id = row->event_id;
	delivery->attempt = row->attempts + 1;
	delivery->is_redelivery = row->is_redelivery;
	delivery->is_suspect = row->interruptions >= SUSPICIOUS;
	is_suspect_out |= delivery->is_suspect;
	delivery->created_at = row->created_at;
	set_body(delivery, row->payload, &shared);
}

/* Where places or memory run out, who has waited longest is not passed over. */
static int
compare_due(const void *a, const void *b)
{
	TimestampTz left = ((const DueRow *) a)->next_attempt_at;
	TimestampTz right = ((const DueRow *) b)->next_attempt_at;

	return left < right ? -1 : left > right;
}

void
wh_plan_due(TakePlan *plan)
{
	DueRow	   *rows;
	int			count;

	plan->now = GetCurrentTimestamp();
	if (wh_roster_earliest_due() > plan->now || plan->places <= 0)
		return;
	plan->wish_count = wh_wish_choose(plan->wishes, plan->places, plan->now);
	if (plan->wish_count == 0)
		wh_roster_refresh_earliest();	/* a rate limit put it off */
	count = wh_queue_read_due(plan->wishes, plan->wish_count, plan->now,
							  &rows);
	qsort(rows, count, sizeof(DueRow), compare_due);
	plan->sending = palloc(Max(count, 1) * sizeof(DueRow));
	plan->gone = palloc(Max(count, 1) * sizeof(DueRow));
	plan->sending_delivery = palloc(Max(count, 1) * sizeof(Delivery *));
	for (int i = 0; i < plan->wish_count; i++)
	{
		Endpoint   *endpoint = wh_roster_get(plan->wishes[i].endpoint_id);

		endpoint->next_due = DT_NOEND;
		endpoint->due_places = plan->wishes[i].places;
	}
	for (int i = 0; i < count; i++)
		plan_due_row(plan, &rows[i]);
}

/* Whatever fails, a delivery is in its place or in the list. */
static void
add_to_list(TakePlan *plan, Delivery **place, bool is_ours)
{
	Delivery   *delivery = *place;
	Endpoint   *endpoint = delivery->endpoint;

	if (!is_ours)
	{
		*place = NULL;
		wh_take_release(delivery);
		return;
	}
	delivery->url = MemoryContextStrdup(delivery->context, endpoint->url);
	delivery->organization_id = MemoryContextStrdup(delivery->context,
													endpoint->organization_id);
	delivery->next = plan->list;
	plan->list = delivery;
	*place = NULL;
}

bool
wh_plan_has_rows(const TakePlan *plan)
{
	return plan->row_count > 0 || plan->sending_count > 0 ||
		plan->gone_count > 0;
}

Delivery *
wh_plan_carry_out(TakePlan *plan)
{
	wh_queue_load_endpoints(plan->load, plan->load_count);
	wh_queue_insert(plan->rows, plan->row_count);
	wh_queue_mark_sending(plan->sending, plan->sending_count);
	wh_queue_cancel(plan->gone, plan->gone_count);
	for (int i = 0; i < plan->row_count; i++)
	{
		Delivery   *delivery = plan->row_delivery[i];
		QueueRow   *row = &plan->rows[i];

		if (delivery == NULL)
			continue;
		delivery->event_id = row->event_id;
		delivery->attempt = 1;
		delivery->created_at = row->created_at;
		delivery->tid = row->tid;
		add_to_list(plan, &plan->row_delivery[i], row->is_new);
	}
	for (int i = 0; i < plan->sending_count; i++)
	{
		plan->sending_delivery[i]->tid = plan->sending[i].tid;
		add_to_list(plan, &plan->sending_delivery[i],
					plan->sending[i].is_marked);
	}
	plan->row_count = plan->sending_count = 0;
	return plan->list;
}

static void
release_list(Delivery *list)
{
	while (list)
	{
		Delivery   *next = list->next;

		wh_take_release(list);
		list = next;
	}
}

void
wh_plan_forget(TakePlan *plan)
{
	for (int i = 0; i < plan->wish_count; i++)
		wh_roster_set_due(wh_roster_get(plan->wishes[i].endpoint_id),
						  plan->wishes[i].mark);
	for (int i = 0; i < plan->row_count; i++)
	{
		if (plan->row_delivery[i])
			wh_take_release(plan->row_delivery[i]);
	}
	for (int i = 0; i < plan->sending_count; i++)
	{
		if (plan->sending_delivery[i])
			wh_take_release(plan->sending_delivery[i]);
	}
	for (int i = 0; i < plan->load_count; i++)
		wh_roster_get(plan->load[i])->revision = 0;
	release_list(plan->list);
}
