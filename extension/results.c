/*
 * results.c
 *		Finished attempts in hand: collected each turn, recorded together.
 */
#include "postgres.h"

#include "clock.h"
#include "health.h"
#include "record.h"
#include "results.h"
#include "send.h"
#include "session.h"
#include "slot.h"
#include "stats.h"
#include "take.h"

static Delivery *finished;
static int	finished_count;
static int64 finished_since;	/* of the oldest; see clock.h */
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
		if (finished == NULL)
			finished_since = wh_clock_now();
		delivery->next = finished;
		finished = delivery;
		finished_count++;
		is_awaited |= wh_take_is_waiting() || needs_place(delivery);
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

void
wh_results_record(void)
{
	Delivery  **deliveries = palloc(finished_count * sizeof(Delivery *));
	int			count = 0;

	for (Delivery *d = finished; d; d = d->next)
		deliveries[count++] = d;
	wh_session_begin("recording attempts");
	wh_record_attempts(deliveries, count);
	wh_session_commit(false);
	for (int i = 0; i < count; i++)
		release(deliveries[i]);
	finished = NULL;
	finished_count = 0;
	is_awaited = false;
	wh_health_judge();
}
