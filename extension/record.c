/*
 * record.c
 *		Recording: finished attempts become rows of the delivery log.
 *
 * Three statements for a whole turn: schedule the retries of what failed, end
 * what is done, log everything.  The commit is asynchronous: a crash repeats
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
#include "record.h"
#include "retry_after.h"
#include "session.h"
#include "settings.h"
#include "statement.h"

#define STATUS_GONE 410
#define STATUS_TOO_MANY 429
#define STATUS_UNAVAILABLE 503

static Statement schedule_retries = {
	"select event_id, endpoint_id, next_attempt_at"
	" from webhook._schedule_retries($1, $2, $3, $4, $5)",
	SPI_OK_SELECT, 5,
	{UUIDARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID,
	TIMESTAMPTZARRAYOID}
};

/* By TID as a hint and by key: VACUUM FULL moves rows. */
static Statement end_deliveries = {
	"delete from webhook.queue q"
	" using unnest($1, $2, $3) as d(tid, event_id, endpoint_id)"
	" where q.ctid = d.tid and q.event_id = d.event_id"
	"  and q.endpoint_id = d.endpoint_id",
	SPI_OK_DELETE, 3,
	{TIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID}
};

static Statement end_moved_deliveries = {
	"delete from webhook.queue q"
	" using unnest($1, $2) as d(event_id, endpoint_id)"
	" where q.event_id = d.event_id and q.endpoint_id = d.endpoint_id"
	"  and q.next_attempt_at is null",
	SPI_OK_DELETE, 2,
	{UUIDARRAYOID, INT8ARRAYOID}
};

static Statement log_attempts = {
	"insert into webhook.attempt (event_id, endpoint_id, started_at,"
	"  delivery_created_at, duration, attempt, response_status,"
	"  response_truncated, is_redelivery, organization_id, outcome, url,"
	"  response_body, error, error_class, request_headers, response_headers)"
	" select a, b, c, d, e * interval '1 microsecond', f, g, h, i, j, k, l, m,"
	"  n, o, p, q"
	" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	"  $14, $15, $16, $17)"
	"  as x(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q)",
	SPI_OK_INSERT, 17,
	{UUIDARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
		INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, BOOLARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

static Statement disable_gone = {
	"select webhook._disable_gone($1)", SPI_OK_SELECT, 1, {INT8ARRAYOID}
};

/* What is for nobody any more stays: the next worker ends it as interrupted. */
static Statement give_back = {
	"update webhook.queue q set attempts = q.attempts - 1,"
	"  next_attempt_at = clock_timestamp()"
	" from unnest($1, $2) as d(event_id, endpoint_id)"
	" where q.event_id = d.event_id and q.endpoint_id = d.endpoint_id"
	"  and q.next_attempt_at is null"
	"  and exists (select from webhook.endpoint t"
	"   where t.id = q.endpoint_id and t.status <> 'disabled')",
	SPI_OK_UPDATE, 2,
	{UUIDARRAYOID, INT8ARRAYOID}
};

/* Columns of log_attempts, in the order of its parameters. */
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

static void
end_finished(Delivery **deliveries, int count)
{
	Datum	   *tids = palloc(Max(count, 1) * sizeof(Datum));
	Datum		values[3];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		tids[i] = PointerGetDatum(&deliveries[i]->tid);
	make_keys(deliveries, count, &values[1]);
	values[0] = wh_statement_array(tids, NULL, count, TIDOID);
	if (wh_statement_run(&end_deliveries, values, NULL, false) < count)
		wh_statement_run(&end_moved_deliveries, &values[1], NULL, false);
}

static bool
is_retried(const Delivery *delivery, uint64 retries)
{
	for (uint64 i = 0; i < retries; i++)
	{
		bool		is_null;
		Datum		id = wh_statement_column(i, 1, &is_null);

		if (memcmp(DatumGetUUIDP(id), &delivery->event_id, UUID_LEN) == 0 &&
			DatumGetInt64(wh_statement_column(i, 2, &is_null)) ==
			delivery->endpoint->id)
		{
			TimestampTz due = DatumGetTimestampTz(wh_statement_column(i, 3, &is_null));

			wh_roster_set_due(delivery->endpoint,
							  Min(delivery->endpoint->next_due, due));
			return true;
		}
	}
	return false;
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

/*
 * Schedule retries of the failed deliveries; outcomes[i] becomes NULL where
 * there is one.
 */
static void
schedule(Delivery **deliveries, int count, const char **outcomes)
{
	Delivery  **failed = palloc(count * sizeof(Delivery *));
	Datum	   *ended = palloc(count * sizeof(Datum));
	Datum	   *gone = palloc(count * sizeof(Datum));
	Datum	   *not_before = palloc0(count * sizeof(Datum));
	bool	   *at_any_time = palloc(count * sizeof(bool));
	int			number = 0;
	uint64		retries;
	Datum		values[5];

	for (int i = 0; i < count; i++)
	{
		const HttpResult *result = deliveries[i]->result;

		outcomes[i] = "succeeded";
		if (!has_failed(deliveries[i]))
			continue;
		outcomes[i] = "failed";
		ended[number] = TimestampTzGetDatum(deliveries[i]->ended_at);
		gone[number] = BoolGetDatum(result->status == STATUS_GONE);
		at_any_time[number] = !get_retry_after(deliveries[i],
											   &not_before[number]);
		failed[number++] = deliveries[i];
	}
	if (number == 0)
		return;
	make_keys(failed, number, values);
	values[2] = wh_statement_array(ended, NULL, number, TIMESTAMPTZOID);
	values[3] = wh_statement_array(gone, NULL, number, BOOLOID);
	values[4] = wh_statement_array(not_before, at_any_time, number,
								   TIMESTAMPTZOID);
	retries = wh_statement_run(&schedule_retries, values, NULL, false);
	for (int i = 0; i < count; i++)
	{
		if (has_failed(deliveries[i]) && is_retried(deliveries[i], retries))
			outcomes[i] = NULL;
	}
}

static void
fill_row(const Delivery *delivery, const char *outcome, Datum **columns,
		 bool **nulls, int i)
{
	const HttpResult *result = delivery->result;
	bool		is_failed = has_failed(delivery);
	bool		has_headers = delivery->headers != NULL &&
	(is_failed || wh_log_headers == LOG_HEADERS_ALL);

	columns[LOG_EVENT_ID][i] = UUIDPGetDatum(&delivery->event_id);
	columns[LOG_ENDPOINT_ID][i] = Int64GetDatum(delivery->endpoint->id);
	columns[LOG_STARTED_AT][i] = TimestampTzGetDatum(delivery->started_at);
	columns[LOG_CREATED_AT][i] = TimestampTzGetDatum(delivery->created_at);
	columns[LOG_DURATION][i] = Int64GetDatum(result->duration_us);
	columns[LOG_ATTEMPT][i] = Int32GetDatum(delivery->attempt);
	columns[LOG_STATUS][i] = Int32GetDatum(result->status);
	nulls[LOG_STATUS][i] = result->status == 0;
	columns[LOG_TRUNCATED][i] = BoolGetDatum(result->is_truncated);
	columns[LOG_REDELIVERY][i] = BoolGetDatum(delivery->is_redelivery);
	columns[LOG_ORGANIZATION][i] = CStringGetTextDatum(delivery->organization_id);
	columns[LOG_OUTCOME][i] = outcome ? CStringGetTextDatum(outcome) : 0;
	nulls[LOG_OUTCOME][i] = outcome == NULL;
	columns[LOG_URL][i] = CStringGetTextDatum(delivery->url);
	nulls[LOG_BODY][i] = result->status == 0;
	columns[LOG_BODY][i] = wh_log_text(result->body, result->body_length,
									   result->is_truncated);
	nulls[LOG_ERROR][i] = nulls[LOG_ERROR_CLASS][i] = !is_failed;
	columns[LOG_ERROR][i] = is_failed ?
		wh_log_text(result->error, strlen(result->error), true) : 0;
	columns[LOG_ERROR_CLASS][i] = is_failed ?
		CStringGetTextDatum(wh_log_error_class(result->error_class)) : 0;
	nulls[LOG_REQUEST_HEADERS][i] = !has_headers;
	columns[LOG_REQUEST_HEADERS][i] = has_headers ?
		CStringGetTextDatum(delivery->headers) : 0;
	nulls[LOG_RESPONSE_HEADERS][i] = !has_headers || result->headers_length == 0;
	columns[LOG_RESPONSE_HEADERS][i] = nulls[LOG_RESPONSE_HEADERS][i] ? 0 :
		wh_log_text(result->headers, result->headers_length, true);
}

static void
log_rows(Delivery **deliveries, int count, const char **outcomes)
{
	static const Oid types[LOG_COLUMNS] = {
		UUIDOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID,
		INT4OID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID
	};
	Datum	   *columns[LOG_COLUMNS];
	bool	   *nulls[LOG_COLUMNS];
	Datum		values[LOG_COLUMNS];

	for (int c = 0; c < LOG_COLUMNS; c++)
	{
		columns[c] = palloc(count * sizeof(Datum));
		nulls[c] = palloc0(count * sizeof(bool));
	}
	for (int i = 0; i < count; i++)
		fill_row(deliveries[i], outcomes[i], columns, nulls, i);
	for (int c = 0; c < LOG_COLUMNS; c++)
		values[c] = wh_statement_array(columns[c], nulls[c], count, types[c]);
	wh_statement_run(&log_attempts, values, NULL, false);
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

void
wh_record_attempts(Delivery **deliveries, int count)
{
	const char **outcomes = palloc(count * sizeof(char *));
	Delivery  **ended = palloc(count * sizeof(Delivery *));
	int			number = 0;

	schedule(deliveries, count, outcomes);
	for (int i = 0; i < count; i++)
	{
		deliveries[i]->is_ended = outcomes[i] != NULL;
		if (outcomes[i])
			ended[number++] = deliveries[i];
	}
	end_finished(ended, number);
	log_rows(deliveries, count, outcomes);
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
