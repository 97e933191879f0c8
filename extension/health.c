/*
 * health.c
 *		Which endpoints have failed for so long that they are to be disabled.
 *
 * Called when attempts have been recorded.  Only the worker that owns an
 * endpoint judges it, so its memory is right and the table is for the worker
 * that comes after it.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "health.h"
#include "session.h"
#include "settings.h"
#include "statement.h"

/*
 * An endpoint that fails and succeeds in turns is written down once a minute.
 * The price: of a failure in between a restart knows nothing.
 */
#define STORE_US (60 * USECS_PER_SEC)

static Statement judge = {
	"select j.id from webhook._judge_endpoints($1, $2, $3, $4) as j(id)",
	SPI_OK_SELECT, 4,
	{INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID}
};

typedef struct Verdicts
{
	TimestampTz now;
	Datum	   *recovered;
	int			recovered_count;
	Datum	   *failing;
	Datum	   *since;
	int			failing_count;
	Datum	   *hopeless;
	int			hopeless_count;
} Verdicts;

static bool is_pending = false;

static bool
has_recovered(const Endpoint *endpoint)
{
	return endpoint->failing_stored != 0 && endpoint->failing_since == 0;
}

static bool
must_be_stored(const Endpoint *endpoint, TimestampTz now)
{
	return endpoint->failing_since != 0 &&
		endpoint->failing_stored != endpoint->failing_since &&
		now - endpoint->stored_at >= STORE_US;
}

/* As of a failure of its own: that time passes is no failure. */
static bool
has_failed_for_long(const Endpoint *endpoint, TimestampTz now)
{
	return endpoint->failing_since != 0 && wh_disable_after > 0 &&
		now - endpoint->failing_since >= wh_disable_after * USECS_PER_SEC;
}

void
wh_health_note(const Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;
	TimestampTz now = delivery->ended_at;

	switch (delivery->result->error_class)
	{
		case HTTP_OK:
			endpoint->succeeded_at = Max(endpoint->succeeded_at, now);
			if (endpoint->failing_since <= now)
				endpoint->failing_since = 0;
			endpoint->is_hopeless = false;
			break;
		case HTTP_INTERNAL:
			return;				/* our own trouble */
		default:
			endpoint->is_silent = delivery->result->status == 0;
			if (endpoint->failing_since == 0 && now > endpoint->succeeded_at)
				endpoint->failing_since = now;
			endpoint->is_hopeless = has_failed_for_long(endpoint, now);
	}
	is_pending |= has_recovered(endpoint) || must_be_stored(endpoint, now) ||
		endpoint->is_hopeless;
}

static void
count_endpoint(Endpoint *endpoint, void *arg)
{
	(*(int *) arg)++;
}

static void
add_verdict(Endpoint *endpoint, void *arg)
{
	Verdicts   *verdicts = arg;
	Datum		id = Int64GetDatum(endpoint->id);

	if (has_recovered(endpoint))
		verdicts->recovered[verdicts->recovered_count++] = id;
	if (must_be_stored(endpoint, verdicts->now))
	{
		verdicts->failing[verdicts->failing_count] = id;
		verdicts->since[verdicts->failing_count++] =
			TimestampTzGetDatum(endpoint->failing_since);
	}
	if (endpoint->is_hopeless)
		verdicts->hopeless[verdicts->hopeless_count++] = id;
}

/* It has been committed. */
static void
note_stored(Endpoint *endpoint, void *arg)
{
	const Verdicts *verdicts = arg;

	if (endpoint->is_being_changed)
	{
		endpoint->is_being_changed = false;
		is_pending = true;
		return;
	}
	endpoint->is_hopeless = false;
	if (!has_recovered(endpoint) && !must_be_stored(endpoint, verdicts->now))
		return;
	endpoint->failing_stored = endpoint->failing_since;
	endpoint->stored_at = verdicts->now;
}

/* They are judged later. */
static void
note_being_changed(uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Datum		id = wh_statement_column(i, 1, &is_null);

		wh_roster_get(DatumGetInt64(id))->is_being_changed = true;
	}
}

void
wh_health_judge(void)
{
	Verdicts	verdicts = {0};
	Datum		values[4];
	int			count = 0;

	if (!is_pending)
		return;
	wh_roster_visit(count_endpoint, &count);
	verdicts.now = GetCurrentTimestamp();
	verdicts.recovered = palloc(count * sizeof(Datum));
	verdicts.failing = palloc(count * sizeof(Datum));
	verdicts.since = palloc(count * sizeof(Datum));
	verdicts.hopeless = palloc(count * sizeof(Datum));
	wh_roster_visit(add_verdict, &verdicts);

	wh_session_begin("judging endpoints");
	values[0] = wh_statement_array(verdicts.recovered, NULL,
								   verdicts.recovered_count, INT8OID);
	values[1] = wh_statement_array(verdicts.failing, NULL,
								   verdicts.failing_count, INT8OID);
	values[2] = wh_statement_array(verdicts.since, NULL,
								   verdicts.failing_count, TIMESTAMPTZOID);
	values[3] = wh_statement_array(verdicts.hopeless, NULL,
								   verdicts.hopeless_count, INT8OID);
	note_being_changed(wh_statement_run(&judge, values, NULL, false));
	wh_session_commit(false);
	is_pending = false;
	wh_roster_visit(note_stored, &verdicts);
}
