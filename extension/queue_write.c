/*
 * queue_write.c
 *		What the worker writes to the queue: rows that begin, go on and end.
 *
 * Runs in the worker's short transactions; see queue.h.  What each delivery
 * needs, its row's birth and end, goes through the executor; the rest is SQL.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "catalogue.h"
#include "clock.h"
#include "outbox.h"
#include "queue.h"
#include "rows.h"
#include "session.h"
#include "statement.h"

#define CAREFUL_MS 10000		/* after an insert that failed */

static Statement insert_rows = {
	"insert into webhook.queue"
	" (event_id, endpoint_id, created_at, next_attempt_at, origin, attempts)"
	" select n.event_id, n.endpoint_id, n.created_at,"
	"  case when n.is_sending then null else n.created_at end, $5,"
	"  case when n.is_sending then 1 else 0 end"
	" from unnest($1, $2, $3, $4) with ordinality"
	"  as n(event_id, endpoint_id, created_at, is_sending, number)"
	" order by n.number"
	" on conflict do nothing"
	" returning event_id, endpoint_id, ctid",
	SPI_OK_INSERT_RETURNING, 5,
	{UUIDARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID, INT4OID}
};

static Statement mark_sending = {
	"update webhook.queue q"
	" set next_attempt_at = null, attempts = q.attempts + 1"
	" from unnest($1, $2, $3) with ordinality"
	"  as d(tid, event_id, endpoint_id, number)"
	" where q.ctid = d.tid and q.event_id = d.event_id"
	"  and q.endpoint_id = d.endpoint_id"
	" returning d.number, q.ctid",
	SPI_OK_UPDATE_RETURNING, 3,
	{TIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID}
};

/*
 * The same without rows that somebody has locked, say by disabling their
 * endpoint in a transaction that is still open: others are not to wait.
 */
static Statement mark_free = {
	"with free as materialized ("
	" select d.*"
	" from unnest($1, $2, $3) with ordinality"
	"  as d(tid, event_id, endpoint_id, number)"
	" join webhook.queue q on q.ctid = d.tid and q.event_id = d.event_id"
	"  and q.endpoint_id = d.endpoint_id"
	" for update of q skip locked)"
	" update webhook.queue q"
	" set next_attempt_at = null, attempts = q.attempts + 1"
	" from free d"
	" where q.ctid = d.tid and q.event_id = d.event_id"
	"  and q.endpoint_id = d.endpoint_id"
	" returning d.number, q.ctid",
	SPI_OK_UPDATE_RETURNING, 3,
	{TIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID}
};

static Statement cancel_rows = {
	"select webhook._cancel_rows($1, $2, $3)", SPI_OK_SELECT, 3,
	{TIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID}
};

/* By key, where the TID does not help: VACUUM FULL moves rows. */
static Statement end_moved = {
	"delete from webhook.queue q"
	" using unnest($1, $2) as d(event_id, endpoint_id)"
	" where q.event_id = d.event_id and q.endpoint_id = d.endpoint_id"
	"  and q.next_attempt_at is null",
	SPI_OK_DELETE, 2,
	{UUIDARRAYOID, INT8ARRAYOID}
};

/* Columns of webhook.queue, in the order of schema.sql. */
enum QueueColumn
{
	QUEUE_EVENT_ID, QUEUE_ENDPOINT_ID, QUEUE_CREATED_AT,
	QUEUE_NEXT_ATTEMPT_AT, QUEUE_ORIGIN, QUEUE_ATTEMPTS,
	QUEUE_FIRST_ATTEMPT, QUEUE_INTERRUPTIONS, QUEUE_COLUMNS
};

static int64 careful_until;		/* see clock.h; 0: rows have not collided */

/* Does row i of the result carry this key?  Columns 1 and 2. */
static bool
is_same_delivery(uint64 row, const pg_uuid_t *event_id, int64 endpoint_id)
{
	bool		is_null;

	return memcmp(DatumGetUUIDP(wh_statement_column(row, 1, &is_null)),
				  event_id, sizeof(*event_id)) == 0 &&
		DatumGetInt64(wh_statement_column(row, 2, &is_null)) == endpoint_id;
}

/* The same by SQL, for when some may be there already. */
static void
insert_missing(QueueRow *rows, int count)
{
	Datum	   *columns[4];
	Datum		values[5];
	uint64		inserted;
	uint64		at = 0;

	for (int c = 0; c < 4; c++)
		columns[c] = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = UUIDPGetDatum(&rows[i].event_id);
		columns[1][i] = Int64GetDatum(rows[i].endpoint_id);
		columns[2][i] = TimestampTzGetDatum(rows[i].created_at);
		columns[3][i] = BoolGetDatum(rows[i].is_sending);
	}
	values[0] = wh_statement_array(columns[0], NULL, count, UUIDOID);
	values[1] = wh_statement_array(columns[1], NULL, count, INT8OID);
	values[2] = wh_statement_array(columns[2], NULL, count, TIMESTAMPTZOID);
	values[3] = wh_statement_array(columns[3], NULL, count, BOOLOID);
	values[4] = Int32GetDatum(wh_outbox_origin());
	inserted = wh_statement_run(&insert_rows, values, NULL, false);

	/* Rows come back in the order given; some may have been there. */
	for (int i = 0; i < count; i++)
	{
		bool		is_null;

		rows[i].is_new = at < inserted &&
			is_same_delivery(at, &rows[i].event_id, rows[i].endpoint_id);
		if (rows[i].is_new)
			rows[i].tid = *(ItemPointer) DatumGetPointer(wh_statement_column(at++, 3, &is_null));
	}
}

static void
insert_all(QueueRow *rows, int count)
{
	RowWriter  *writer = wh_rows_open("queue", QUEUE_COLUMNS);
	bool		nulls[QUEUE_COLUMNS] = {false};
	Datum		values[QUEUE_COLUMNS];

	values[QUEUE_ORIGIN] = Int32GetDatum(wh_outbox_origin());
	values[QUEUE_FIRST_ATTEMPT] = Int32GetDatum(1);
	values[QUEUE_INTERRUPTIONS] = Int32GetDatum(0);
	for (int i = 0; i < count; i++)
	{
		values[QUEUE_EVENT_ID] = UUIDPGetDatum(&rows[i].event_id);
		values[QUEUE_ENDPOINT_ID] = Int64GetDatum(rows[i].endpoint_id);
		values[QUEUE_CREATED_AT] = TimestampTzGetDatum(rows[i].created_at);
		values[QUEUE_NEXT_ATTEMPT_AT] = values[QUEUE_CREATED_AT];
		nulls[QUEUE_NEXT_ATTEMPT_AT] = rows[i].is_sending;
		values[QUEUE_ATTEMPTS] = Int32GetDatum(rows[i].is_sending ? 1 : 0);
		wh_rows_add(writer, values, nulls, &rows[i].tid);
		rows[i].is_new = true;
	}
	wh_rows_close(writer);
}

/*
 * Who cancels may have queued what is about to be taken.  That is rare and
 * looking is not cheap, so the first try takes it for impossible; when it
 * fails, whatever the reason, the next ones look.
 */
void
wh_queue_insert(QueueRow *rows, int count)
{
	int64		before = careful_until;

	if (count == 0)
		return;
	careful_until = wh_clock_in(CAREFUL_MS);	/* unless we get to the end */
	if (before != 0 && wh_clock_until(before) > 0)
		insert_missing(rows, count);
	else
		insert_all(rows, count);
	careful_until = before;
}

static void
make_keys(const DueRow *rows, int count, Datum *values)
{
	Datum	   *columns[3];

	for (int c = 0; c < 3; c++)
		columns[c] = palloc(Max(count, 1) * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = PointerGetDatum(&rows[i].tid);
		columns[1][i] = UUIDPGetDatum(&rows[i].event_id);
		columns[2][i] = Int64GetDatum(rows[i].endpoint_id);
	}
	values[0] = wh_statement_array(columns[0], NULL, count, TIDOID);
	values[1] = wh_statement_array(columns[1], NULL, count, UUIDOID);
	values[2] = wh_statement_array(columns[2], NULL, count, INT8OID);
}

void
wh_queue_mark_sending(DueRow *rows, int count)
{
	bool		is_wary = wh_session_meets_locks();
	Datum		values[3];
	uint64		marked;

	if (count == 0)
		return;
	make_keys(rows, count, values);
	marked = wh_statement_run(is_wary ? &mark_free : &mark_sending, values, NULL,
							  false);
	if (is_wary && marked < count)
		wh_session_note_lock();

	/* A row that is not among them was changed meanwhile: not ours to send. */
	for (uint64 i = 0; i < marked; i++)
	{
		bool		is_null;
		int64		number = DatumGetInt64(wh_statement_column(i, 1, &is_null));

		rows[number - 1].tid = *(ItemPointer) DatumGetPointer(wh_statement_column(i, 2, &is_null));
		rows[number - 1].is_marked = true;
	}
}

void
wh_queue_cancel(const DueRow *rows, int count)
{
	Datum		values[3];
	uint64		locked;

	if (count == 0)
		return;
	make_keys(rows, count, values);
	locked = wh_statement_run(&cancel_rows, values, NULL, false);
	for (uint64 i = 0; i < locked; i++)
	{
		bool		is_null;
		Datum		id = wh_statement_column(i, 1, &is_null);

		wh_roster_set_due(wh_roster_get(DatumGetInt64(id)), DT_NOEND);
	}
	if (locked > 0)
		wh_session_note_lock();
}

static bool
is_row_of(TupleTableSlot *slot, const Delivery *delivery)
{
	bool		is_null;
	Datum		event_id = slot_getattr(slot, QUEUE_EVENT_ID + 1, &is_null);
	Datum		endpoint = slot_getattr(slot, QUEUE_ENDPOINT_ID + 1, &is_null);

	return memcmp(DatumGetUUIDP(event_id), &delivery->event_id,
				  UUID_LEN) == 0 &&
		DatumGetInt64(endpoint) == delivery->endpoint->id;
}

/*
 * Delete the row where the TID says; false: it is not there.  The table may
 * have been truncated or rewritten, and end before that.
 */
static bool
delete_row(Relation queue, BlockNumber blocks, const Delivery *delivery,
		   TupleTableSlot *slot)
{
	ItemPointerData tid = delivery->tid;
	TM_FailureData failure;

	return ItemPointerGetBlockNumber(&tid) < blocks &&
		table_tuple_fetch_row_version(queue, &tid, GetActiveSnapshot(),
									  slot) &&
		is_row_of(slot, delivery) &&
		table_tuple_delete(queue, &tid, GetCurrentCommandId(true),
						   GetActiveSnapshot(), InvalidSnapshot, true,
						   &failure, false) == TM_Ok;
}

static void
delete_moved_rows(Delivery **deliveries, int count)
{
	Datum	   *ids = palloc(count * sizeof(Datum));
	Datum	   *endpoints = palloc(count * sizeof(Datum));
	Datum		values[2];

	for (int i = 0; i < count; i++)
	{
		ids[i] = UUIDPGetDatum(&deliveries[i]->event_id);
		endpoints[i] = Int64GetDatum(deliveries[i]->endpoint->id);
	}
	values[0] = wh_statement_array(ids, NULL, count, UUIDOID);
	values[1] = wh_statement_array(endpoints, NULL, count, INT8OID);
	wh_statement_run(&end_moved, values, NULL, false);
}

void
wh_queue_end(Delivery **deliveries, int count)
{
	Delivery  **moved = palloc((count + 1) * sizeof(Delivery *));
	Relation	queue;
	BlockNumber blocks;
	TupleTableSlot *slot;
	int			number = 0;

	if (count == 0)
		return;
	queue = wh_catalogue_open("queue", RowExclusiveLock);
	blocks = RelationGetNumberOfBlocks(queue);
	slot = table_slot_create(queue, NULL);
	for (int i = 0; i < count; i++)
	{
		if (!delete_row(queue, blocks, deliveries[i], slot))
			moved[number++] = deliveries[i];
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(queue, NoLock);
	if (number > 0)
		delete_moved_rows(moved, number);
}
