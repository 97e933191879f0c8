/*
 * record.c
 *		Recording: finished attempts become rows of the delivery log.
 *
 * Three steps for a whole turn: schedule the retries of what failed, end what
 * is done, log everything.  The commit is asynchronous: a crash repeats
 * the last moments' requests and loses none.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "catalogue.h"
#include "logtext.h"
#include "queue.h"
#include "record.h"
#include "retry_after.h"
#include "rows.h"
#include "session.h"
#include "settings.h"
#include "statement.h"

#define STATUS_GONE 410
#define STATUS_TOO_MANY 429
#define STATUS_UNAVAILABLE 503

static Statement schedule_retries = {
	"select place, next_attempt_at"
	" from webhook._schedule_retries($1, $2, $3, $4, $5)",
	SPI_OK_SELECT, 5,
	{UUIDARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID,
	TIMESTAMPTZARRAYOID}
};

static Statement tell_failed = {
	"select webhook._tell_failed($1, $2)",
	SPI_OK_SELECT, 2, {UUIDARRAYOID, INT8ARRAYOID}
};

static Statement disable_gone = {
	"select webhook._disable_endpoints($1, 'the receiver answered 410 Gone')",
	SPI_OK_SELECT, 1, {INT8ARRAYOID}
};

/* Those whose row somebody has locked, by their places from 1 on. */
static Statement find_locked = {
	"with free as materialized ("
	" select d.place"
	" from unnest($1, $2) with ordinality as d(event_id, endpoint_id, place)"
	" join webhook.queue q on q.event_id = d.event_id"
	"  and q.endpoint_id = d.endpoint_id"
	" for update of q skip locked)"
	" select d.place"
	" from unnest($1, $2) with ordinality as d(event_id, endpoint_id, place)"
	" join webhook.queue q on q.event_id = d.event_id"
	"  and q.endpoint_id = d.endpoint_id"
	" where d.place not in (select f.place from free f)"
	" order by d.place desc",
	SPI_OK_SELECT, 2, {UUIDARRAYOID, INT8ARRAYOID}
};

/* What is for nobody any more stays: the next worker ends it as interrupted. */
static Statement give_back = {
	"update webhook.queue q set attempts = q.attempts - 1,"
	"  next_attempt_at = clock_timestamp()"
	" from unnest($1, $2) as d(event_id, endpoint_id)"
	" where q.event_id = d.event_id and q.endpoint_id = d.endpoint_id"
	"  and q.next_attempt_at is null and q.first_attempt > 0"
	"  and exists (select from webhook.endpoint t"
	"   where t.id = q.endpoint_id and t.status <> 'disabled')",
	SPI_OK_UPDATE, 2,
	{UUIDARRAYOID, INT8ARRAYOID}
};

/* Columns of webhook.attempt, in the order of schema.sql. */
enum LogColumn
{
	LOG_EVENT_ID, LOG_ENDPOINT_ID, LOG_STARTED_AT, LOG_CREATED_AT,
	LOG_DURATION, LOG_ATTEMPT, LOG_STATUS, LOG_TRUNCATED, LOG_REDELIVERY,
	LOG_ORGANIZATION, LOG_OUTCOME, LOG_URL, LOG_BODY, LOG_ERROR,
	LOG_ERROR_CLASS, LOG_REQUEST_HEADERS, LOG_RESPONSE_HEADERS, LOG_COLUMNS
};

static bool
has_failed(const Delivery *delivery)
{
	return delivery->result->error_class != HTTP_OK;
}

/* Keys of some deliveries as arrays: event ids, endpoint ids. */
static void
make_keys(Delivery **deliveries, int count, Datum *values)
{
	Datum	   *ids = palloc(Max(count, 1) * sizeof(Datum));
	Datum	   *endpoints = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
	{
		ids[i] = UUIDPGetDatum(&deliveries[i]->event_id);
		endpoints[i] = Int64GetDatum(deliveries[i]->endpoint->id);
	}
	values[0] = wh_statement_array(ids, NULL, count, UUIDOID);
	values[1] = wh_statement_array(endpoints, NULL, count, INT8OID);
}

/* Before when the receiver does not want to be asked again; false: any time. */
static bool
get_retry_after(const Delivery *delivery, Datum *not_before)
{
	const HttpResult *result = delivery->result;
	int			seconds;

	if (result->status != STATUS_TOO_MANY &&
		result->status != STATUS_UNAVAILABLE)
		return false;
	seconds = wh_retry_after_seconds(result->headers, result->headers_length,
									 timestamptz_to_time_t(delivery->ended_at));
	*not_before =
		TimestampTzGetDatum(delivery->ended_at + seconds * USECS_PER_SEC);
	return seconds >= 0;
}

/* One of the failed deliveries goes on, or was cancelled meanwhile. */
static void
note_retry(uint64 row, Delivery **failed, const char ***outcomes)
{
	bool		is_null;
	int64		place = DatumGetInt64(wh_statement_column(row, 1, &is_null)) - 1;
	TimestampTz due = DatumGetTimestampTz(wh_statement_column(row, 2, &is_null));
	Endpoint   *endpoint = failed[place]->endpoint;

	*outcomes[place] = is_null ? "cancelled" : NULL;
	if (!is_null)
		wh_roster_set_due(endpoint, Min(endpoint->next_due, due));
}

/* Schedule retries; what outcomes[i] points to becomes NULL where there is one. */
static void
schedule(Delivery **failed, int count, const char ***outcomes)
{
	Datum	   *ended = palloc(count * sizeof(Datum));
	Datum	   *gone = palloc(count * sizeof(Datum));
	Datum	   *not_before = palloc0(count * sizeof(Datum));
	bool	   *at_any_time = palloc(count * sizeof(bool));
	uint64		retries;
	Datum		values[5];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		ended[i] = TimestampTzGetDatum(failed[i]->ended_at);
		gone[i] = BoolGetDatum(failed[i]->result->status == STATUS_GONE);
		at_any_time[i] = !get_retry_after(failed[i], &not_before[i]);
	}
	make_keys(failed, count, values);
	values[2] = wh_statement_array(ended, NULL, count, TIMESTAMPTZOID);
	values[3] = wh_statement_array(gone, NULL, count, BOOLOID);
	values[4] = wh_statement_array(not_before, at_any_time, count,
								   TIMESTAMPTZOID);
	retries = wh_statement_run(&schedule_retries, values, NULL, false);
	for (uint64 i = 0; i < retries; i++)
		note_retry(i, failed, outcomes);
}

/* How each delivery ends; NULL: it goes on. */
static void
decide(Delivery **deliveries, int count, const char **outcomes)
{
	Delivery  **failed = palloc(count * sizeof(Delivery *));
	const char ***outcomes_of_failed = palloc(count * sizeof(char **));
	int			number = 0;

	for (int i = 0; i < count; i++)
	{
		outcomes[i] = has_failed(deliveries[i]) ? "failed" : "succeeded";
		if (!has_failed(deliveries[i]))
			continue;
		outcomes_of_failed[number] = &outcomes[i];
		failed[number++] = deliveries[i];
	}
	schedule(failed, number, outcomes_of_failed);
}

static void
set_text(Datum *values, bool *nulls, int column, const char *value)
{
	nulls[column] = value == NULL;
	if (value)
		values[column] = CStringGetTextDatum(value);
}

static void
fill_row(const Delivery *delivery, const char *outcome, Datum *values,
		 bool *nulls)
{
	const HttpResult *result = delivery->result;
	Interval   *duration = palloc0(sizeof(Interval));

	duration->time = result->duration_us;
	memset(nulls, false, LOG_COLUMNS * sizeof(bool));
	values[LOG_EVENT_ID] = UUIDPGetDatum(&delivery->event_id);
	values[LOG_ENDPOINT_ID] = Int64GetDatum(delivery->endpoint->id);
	values[LOG_STARTED_AT] = TimestampTzGetDatum(delivery->started_at);
	values[LOG_CREATED_AT] = TimestampTzGetDatum(delivery->created_at);
	values[LOG_DURATION] = IntervalPGetDatum(duration);
	values[LOG_ATTEMPT] = Int32GetDatum(delivery->attempt);
	values[LOG_STATUS] = Int32GetDatum(result->status);
	nulls[LOG_STATUS] = nulls[LOG_BODY] = result->status == 0;
	values[LOG_TRUNCATED] = BoolGetDatum(result->is_truncated);
	values[LOG_REDELIVERY] = BoolGetDatum(delivery->is_redelivery);
	set_text(values, nulls, LOG_ORGANIZATION, delivery->organization_id);
	set_text(values, nulls, LOG_OUTCOME, outcome);
	set_text(values, nulls, LOG_URL, delivery->url);
	values[LOG_BODY] = wh_log_text(result->body, result->body_length,
								   result->is_truncated);
	nulls[LOG_ERROR] = !has_failed(delivery);
	values[LOG_ERROR] = wh_log_text(result->error, strlen(result->error),
									true);
	set_text(values, nulls, LOG_ERROR_CLASS,
			 wh_log_error_class(result->error_class));
}

static void
fill_headers(const Delivery *delivery, Datum *values, bool *nulls)
{
	const HttpResult *result = delivery->result;
	bool		is_logged = delivery->headers != NULL &&
	(has_failed(delivery) || wh_log_headers == LOG_HEADERS_ALL);

	set_text(values, nulls, LOG_REQUEST_HEADERS,
			 is_logged ? delivery->headers : NULL);
	nulls[LOG_RESPONSE_HEADERS] = !is_logged || result->headers_length == 0;
	if (!nulls[LOG_RESPONSE_HEADERS])
		values[LOG_RESPONSE_HEADERS] = wh_log_text(result->headers,
												   result->headers_length,
												   true);
}

static void
log_attempt(RowWriter *writer, const Delivery *delivery, const char *outcome)
{
	Datum		values[LOG_COLUMNS];
	bool		nulls[LOG_COLUMNS];

	if (!wh_rows_route(writer, &delivery->event_id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not find a partition of table \"webhook.attempt\" for an event"),
				 errhint("Run: select * from webhook.check()")));
	fill_row(delivery, outcome, values, nulls);
	fill_headers(delivery, values, nulls);
	wh_rows_add(writer, values, nulls, NULL);
}

static void
log_attempts(Delivery **deliveries, int count, const char **outcomes)
{
	RowWriter  *writer = wh_rows_open("attempt", LOG_COLUMNS);
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext,
											  "webhook attempt",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row);

	for (int i = 0; i < count; i++)
	{
		MemoryContextReset(row);
		log_attempt(writer, deliveries[i], outcomes[i]);
	}
	MemoryContextSwitchTo(old);
	wh_rows_close(writer);
}

/* What failed for good is an event of its own. */
static void
tell_of_failures(Delivery **ended, int count)
{
	Delivery  **failed = palloc(Max(count, 1) * sizeof(Delivery *));
	int			number = 0;
	Datum		values[2];

	for (int i = 0; i < count; i++)
	{
		if (has_failed(ended[i]))
			failed[number++] = ended[i];
	}
	if (number == 0)
		return;
	make_keys(failed, number, values);
	wh_statement_run(&tell_failed, values, NULL, false);
}

static void
disable_gone_endpoints(Delivery **deliveries, int count)
{
	Datum	   *ids = palloc(count * sizeof(Datum));
	int			number = 0;
	Datum		value;

	for (int i = 0; i < count; i++)
	{
		if (deliveries[i]->result->status == STATUS_GONE)
			ids[number++] = Int64GetDatum(deliveries[i]->endpoint->id);
	}
	if (number == 0)
		return;
	value = wh_statement_array(ids, NULL, number, INT8OID);
	wh_statement_run(&disable_gone, &value, NULL, false);
}

int
wh_record_free_first(Delivery **deliveries, int count)
{
	int			free_count = count;
	Datum		values[2];
	uint64		locked;

	make_keys(deliveries, count, values);
	locked = wh_statement_run(&find_locked, values, NULL, false);
	for (uint64 i = 0; i < locked; i++)
	{
		bool		is_null;
		int64		place = DatumGetInt64(wh_statement_column(i, 1, &is_null));
		Delivery   *delivery = deliveries[place - 1];

		/* The last places come first, so it is among the free ones. */
		deliveries[place - 1] = deliveries[--free_count];
		deliveries[free_count] = delivery;
	}
	if (free_count < count)
		wh_session_note_lock();
	return free_count;
}

void
wh_record_attempts(Delivery **deliveries, int count)
{
	const char **outcomes = palloc(count * sizeof(char *));
	Delivery  **ended = palloc(count * sizeof(Delivery *));
	int			number = 0;

	decide(deliveries, count, outcomes);
	for (int i = 0; i < count; i++)
	{
		deliveries[i]->is_ended = outcomes[i] != NULL;
		if (outcomes[i])
			ended[number++] = deliveries[i];
	}
	wh_queue_end(ended, number);
	log_attempts(deliveries, count, outcomes);
	tell_of_failures(ended, number);
	disable_gone_endpoints(deliveries, count);
}

void
wh_record_give_back(Delivery **deliveries, int count)
{
	Datum		values[2];

	wh_session_begin("giving back deliveries");
	if (ConditionalLockRelationOid(wh_catalogue_table("queue"),
								   RowExclusiveLock))
	{
		make_keys(deliveries, count, values);
		wh_statement_run(&give_back, values, NULL, false);
	}
	wh_session_commit(false);
}
