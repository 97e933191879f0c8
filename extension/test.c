/*
 * test.c
 *		webhook.test: one request from the calling session.
 *
 * The same signing, guard and HTTP code as the worker's, inside the caller's
 * transaction: the user waits for this one, and can cancel it.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "delivery.h"
#include "logtext.h"
#include "lone.h"
#include "send.h"
#include "statement.h"

PG_FUNCTION_INFO_V1(webhook_send_test);

#define WAIT_MS 1000

static Statement read_event = {
	"select event_type, payload from webhook.event where id = $1",
	SPI_OK_SELECT, 1, {UUIDOID}
};

static Body *
load_body(const pg_uuid_t *event_id, char **event_type)
{
	Datum		value = UUIDPGetDatum(event_id);

	if (wh_statement_run(&read_event, &value, NULL, true) != 1)
		elog(ERROR, "the event of a test does not exist");
	*event_type = wh_statement_text(0, 1);
	return wh_lone_body(wh_statement_text(0, 2));
}

static void
wait_for_result(Delivery *delivery)
{
	wh_send(delivery);
	while (wh_send_next_finished() == NULL)
	{
		long		timeout = wh_send_timeout();

		(void) WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT |
								 WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE,
								 wh_send_descriptor(),
								 timeout < 0 ? WAIT_MS : Min(timeout, WAIT_MS),
								 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		wh_send_run();
	}
}

static Datum
make_row(FunctionCallInfo fcinfo, const Delivery *delivery)
{
	const HttpResult *result = delivery->result;
	const char *error_class = wh_log_error_class(result->error_class);
	Interval   *duration = palloc0(sizeof(Interval));
	Datum		values[10] = {0};
	bool		nulls[10] = {false};
	TupleDesc	descriptor;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	duration->time = result->duration_us;
	values[0] = Int32GetDatum(result->status);
	nulls[0] = nulls[2] = nulls[3] = result->status == 0;
	values[1] = IntervalPGetDatum(duration);
	values[2] = wh_log_text(result->headers, result->headers_length, true);
	values[3] = wh_log_text(result->body, result->body_length,
							result->is_truncated);
	values[4] = BoolGetDatum(result->is_truncated);
	values[5] = wh_log_text(result->error, strlen(result->error), true);
	values[6] = error_class ? CStringGetTextDatum(error_class) : 0;
	nulls[5] = nulls[6] = error_class == NULL;
	values[7] = TimestampTzGetDatum(delivery->started_at);
	values[8] = CStringGetTextDatum(delivery->url);
	values[9] = delivery->headers ? CStringGetTextDatum(delivery->headers) : 0;
	nulls[9] = delivery->headers == NULL;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
											 values, nulls));
}

Datum
webhook_send_test(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller = CurrentMemoryContext;
	Delivery	delivery = {0};
	char	   *event_type;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	delivery.context = CurrentMemoryContext;
	delivery.event_id = *PG_GETARG_UUID_P(0);
	delivery.body = load_body(&delivery.event_id, &event_type);
	delivery.event_type = event_type;
	delivery.endpoint = wh_lone_endpoint(PG_GETARG_INT64(1));
	delivery.url = delivery.endpoint->url;
	delivery.attempt = 1;
	PG_TRY();
	{
		Datum		row;
		HeapTupleData tuple;

		if (!wh_send_configure())
			elog(ERROR, "could not start the HTTP client");
		wait_for_result(&delivery);
		row = make_row(fcinfo, &delivery);
		tuple.t_len = HeapTupleHeaderGetDatumLength(DatumGetHeapTupleHeader(row));
		tuple.t_data = DatumGetHeapTupleHeader(row);
		tuplestore_puttuple(rows->setResult, &tuple);
	}
	PG_FINALLY();
	{
		wh_send_reset();
		wh_roster_unload(delivery.endpoint);
	}
	PG_END_TRY();
	SPI_finish();
	MemoryContextSwitchTo(caller);
	return (Datum) 0;
}
