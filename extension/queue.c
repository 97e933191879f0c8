/*
 * queue.c
 *		Taking: what the worker reads of the outbox and of the queue.
 *
 * Runs in the worker's short transactions.  The statements that read come
 * first in a transaction and see the snapshot it began with, before it has an
 * xid: what makes the cursor exact.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "outbox.h"
#include "queue.h"
#include "statement.h"

/* The one before it marks events that were taken elsewhere: see adopt(). */
#define FIRST_NEW_XID 4

/*
 * New events are in two index ranges, so that an empty look is a few index
 * descents: transactions that were running when the window's low snapshot was
 * made, and those that began later.
 */
#define NEW_COLUMNS \
	" e.xid, e.id, e.created_at, e.event_type, e.organization_id," \
	" e.payload, e.is_test"

#define NEW_IN_WINDOW \
	" and ($6 < 9223372036854775807 or (e.xid, e.id) <> ($4, $5))" \
	" and ($7 is null or pg_visible_in_snapshot(e.xid, $7))" \
	" order by e.xid, e.id limit $9"

#define NEW_OF_RUNNING \
	"select e.* from unnest($3) as running(xid)" \
	" cross join lateral (" \
	"  select" NEW_COLUMNS " from webhook.event e" \
	"  where e.origin = $1 and e.xid = running.xid" \
	"   and (e.xid, e.id) >= ($4, $5)" NEW_IN_WINDOW ") e" \
	" where running.xid >= $4"

#define NEW_OF_LATER \
	"select" NEW_COLUMNS " from webhook.event e" \
	" where e.origin = $1 and (e.xid, e.id) >= ($2, $11)" NEW_IN_WINDOW

#define NEW_FOR_ENDPOINTS \
	" select p.xid, p.id, p.created_at, p.event_type, p.payload," \
	"  t.id, t.revision, t.status = 'paused'" \
	" from piece p left join lateral (" \
	"  select t.id, t.revision, t.status from webhook.endpoint t" \
	"  where t.organization_id = p.organization_id and not p.is_test" \
	"   and t.status <> 'disabled'" \
	"   and webhook._was_there(t.created_at, t.created_xid, p.created_at, p.xid)" \
	"   and ((1::bigint << (t.id & 63)::int) & $8) <> 0" \
	"   and webhook._subscribes(t.events, p.event_type)" \
	"   and ((p.xid, p.id) <> ($4, $5) or t.id > $6)" \
	"  order by t.id limit $10) t on true" \
	" order by p.xid, p.id, t.id limit $10"

static Statement read_new = {
	"with piece as materialized ("
	" select * from (" NEW_OF_RUNNING " union all (" NEW_OF_LATER ")) e"
	" order by e.xid, e.id limit $9)" NEW_FOR_ENDPOINTS,
	SPI_OK_SELECT, 11,
	{INT4OID, XID8OID, XID8ARRAYOID, XID8OID, UUIDOID, INT8OID,
	PG_SNAPSHOTOID, INT8OID, INT8OID, INT8OID, UUIDOID}
};

/* The same when none was running: half the plan to set up. */
static Statement read_new_later = {
	"with piece as materialized (" NEW_OF_LATER ")" NEW_FOR_ENDPOINTS,
	SPI_OK_SELECT, 11,
	{INT4OID, XID8OID, XID8ARRAYOID, XID8OID, UUIDOID, INT8OID,
	PG_SNAPSHOTOID, INT8OID, INT8OID, INT8OID, UUIDOID}
};

static Statement read_due = {
	"select q.ctid, q.event_id, q.endpoint_id, q.attempts, q.next_attempt_at,"
	"  q.created_at, e.event_type, e.payload,"
	"  case when t.status <> 'disabled' and q.first_attempt > 0"
	"   then t.revision end,"
	"  t.status = 'paused', q.first_attempt > 1, q.interruptions"
	" from unnest($1, $2, $3) as wish(endpoint_id, mark, places)"
	" cross join lateral ("
	"  select q.ctid, q.* from webhook.queue q"
	"  where q.endpoint_id = wish.endpoint_id"
	"   and q.next_attempt_at >= wish.mark and q.origin = $4"
	"  order by q.next_attempt_at, q.event_id limit wish.places + 1) q"
	" left join webhook.event e on e.id = q.event_id"
	" left join webhook.endpoint t on t.id = q.endpoint_id",
	SPI_OK_SELECT, 4,
	{INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4OID}
};

int
wh_queue_read_new(const Cursor *cursor, int event_limit, int row_limit,
				  NewRow **rows)
{
	static const pg_uuid_t zero;
	bool		is_beyond = cursor->position_xid >= cursor->low_xmax;
	uint64		from = is_beyond ? cursor->position_xid : cursor->low_xmax;
	Datum		values[11];
	char		nulls[12] = "           ";
	uint64		count;

	values[0] = Int32GetDatum(wh_outbox_origin());
	values[1] = UInt64GetDatum(Max(from, FIRST_NEW_XID));
	values[2] = cursor->low ? cursor->low_xip :
		wh_statement_array(NULL, NULL, 0, XID8OID);
	values[3] = UInt64GetDatum(cursor->position_xid);
	values[4] = UUIDPGetDatum(&cursor->position_id);
	values[5] = Int64GetDatum(cursor->position_endpoint_id);
	values[6] = cursor->high;
	nulls[6] = cursor->high ? ' ' : 'n';
	values[7] = Int64GetDatum(cursor->shards);
	values[8] = Int64GetDatum(event_limit);
	values[9] = Int64GetDatum(row_limit);
	values[10] = is_beyond ? values[4] : UUIDPGetDatum(&zero);
	count = wh_statement_run(cursor->low_xip_count > 0 ? &read_new :
							 &read_new_later, values, nulls, true);

	*rows = SPI_palloc(Max(count, 1) * sizeof(NewRow));
	for (uint64 i = 0; i < count; i++)
	{
		NewRow	   *row = &(*rows)[i];
		bool		is_null;

		row->xid = DatumGetUInt64(wh_statement_column(i, 1, &is_null));
		row->event_id = *DatumGetUUIDP(wh_statement_column(i, 2, &is_null));
		row->created_at = DatumGetTimestampTz(wh_statement_column(i, 3, &is_null));
		row->event_type = wh_statement_text(i, 4);
		row->payload = (text *) DatumGetPointer(wh_statement_column(i, 5, &is_null));
		row->endpoint_id = DatumGetInt64(wh_statement_column(i, 6, &is_null));
		if (is_null)
			row->endpoint_id = 0;
		row->revision = DatumGetInt64(wh_statement_column(i, 7, &is_null));
		row->is_paused = DatumGetBool(wh_statement_column(i, 8, &is_null));
	}
	return (int) count;
}

static void
read_due_row(uint64 number, DueRow *row)
{
	bool		is_null;

	row->tid = *(ItemPointer) DatumGetPointer(wh_statement_column(number, 1, &is_null));
	row->event_id = *DatumGetUUIDP(wh_statement_column(number, 2, &is_null));
	row->endpoint_id = DatumGetInt64(wh_statement_column(number, 3, &is_null));
	row->attempts = DatumGetInt32(wh_statement_column(number, 4, &is_null));
	row->next_attempt_at = DatumGetTimestampTz(wh_statement_column(number, 5, &is_null));
	row->created_at = DatumGetTimestampTz(wh_statement_column(number, 6, &is_null));
	row->event_type = wh_statement_text(number, 7);
	row->payload = (text *) DatumGetPointer(wh_statement_column(number, 8, &is_null));
	row->revision = DatumGetInt64(wh_statement_column(number, 9, &is_null));
	if (is_null)
		row->event_type = NULL; /* for nobody any more, or cancelled */
	row->is_paused = DatumGetBool(wh_statement_column(number, 10, &is_null));
	row->is_redelivery = DatumGetBool(wh_statement_column(number, 11, &is_null));
	row->interruptions = DatumGetInt32(wh_statement_column(number, 12, &is_null));
	row->is_marked = false;
}

int
wh_queue_read_due(const DueWish *wishes, int count, DueRow **rows)
{
	Datum	   *columns[3];
	Datum		values[4];
	uint64		found;

	for (int c = 0; c < 3; c++)
		columns[c] = palloc(Max(count, 1) * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = Int64GetDatum(wishes[i].endpoint_id);
		columns[1][i] = TimestampTzGetDatum(wishes[i].mark);
		columns[2][i] = Int32GetDatum(wishes[i].places);
	}
	values[0] = wh_statement_array(columns[0], NULL, count, INT8OID);
	values[1] = wh_statement_array(columns[1], NULL, count, TIMESTAMPTZOID);
	values[2] = wh_statement_array(columns[2], NULL, count, INT4OID);
	values[3] = Int32GetDatum(wh_outbox_origin());
	found = wh_statement_run(&read_due, values, NULL, true);

	*rows = SPI_palloc(Max(found, 1) * sizeof(DueRow));
	for (uint64 i = 0; i < found; i++)
		read_due_row(i, &(*rows)[i]);
	return (int) found;
}

Datum
wh_queue_snapshot(void)
{
	return DirectFunctionCall1(pg_current_snapshot, (Datum) 0);
}
