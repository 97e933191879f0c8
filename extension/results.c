/*
 * results.c
 *		Finished attempts in hand: collected each turn, recorded together.
 */
#include "postgres.h"

#include "clock.h"
#include "front.h"
#include "health.h"
#include "record.h"
#include "results.h"
#include "send.h"
#include "session.h"
#include "slot.h"
#include "stats.h"
#include "take.h"

#define LOCKED_MS 1000			/* between looks at rows that are locked */

static Delivery *finished;
static int	finished_count;
static int64 finished_since;	/* of the oldest, or when to look at locked
								 * ones again; see clock.h */
static bool is_awaited;			/* somebody needs the place of one */

static bool
needs_place(const Delivery *delivery)
{
	return delivery->endpoint->next_due <= delivery->ended_at ||
		wh_roster_places(delivery->endpoint) == 0;
}

void
wh_results_collect(void)
{
	Delivery   *delivery;

	wh_send_run();
	while ((delivery = wh_send_next_finished()) != NULL)
	{
		if (finished == NULL || wh_clock_until(finished_since) > 0)
			finished_since = wh_clock_now();
		delivery->next = finished;
		finished = delivery;
		finished_count++;
		is_awaited |= wh_front_is_waiting() || needs_place(delivery);
	}
}

int
wh_results_count(void)
{
	return finished_count;
}

int64
wh_results_since(void)
{
	return finished_since;
}

bool
wh_results_are_awaited(void)
{
	return is_awaited;
}

/* Let go of a delivery and free its place, as its result makes it. */
static void
release(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;
	bool		is_success = delivery->result->error_class == HTTP_OK;

	wh_health_note(delivery);
	wh_stats_note(&wh_slot_database()->stats, delivery);
	wh_send_release(delivery);
	wh_take_release(delivery);
	wh_roster_note_result(endpoint, is_success);
}

/* What could not be recorded stays in hand. */
static void
keep(Delivery **deliveries, int count)
{
	finished = NULL;
	finished_count = count;
	finished_since = wh_clock_in(LOCKED_MS);
	for (int i = 0; i < count; i++)
	{
		deliveries[i]->next = finished;
		finished = deliveries[i];
	}
}

void
wh_results_record(void)
{
	Delivery  **deliveries = palloc(finished_count * sizeof(Delivery *));
	int			count = 0;
	int			free_count;

	for (Delivery *d = finished; d; d = d->next)
		deliveries[count++] = d;
	wh_session_begin("recording attempts");
	free_count = wh_session_meets_locks() ?
		wh_record_free_first(deliveries, count) : count;
	wh_record_attempts(deliveries, free_count);
	wh_session_commit(false);
	for (int i = 0; i < free_count; i++)
		release(deliveries[i]);
	keep(deliveries + free_count, count - free_count);
	is_awaited = false;
	wh_health_judge();
}
