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

#include "news.h"
#include "outbox.h"
#include "queue.h"
#include "statement.h"

/*
 * Endpoints that get events; those for nobody have no row.  Each delivery that
 * fails is an event of ours, which most organizations do not subscribe to: that
 * is found out once, and not for each.
 *
 * Only the index by organization has the order that this asks for.  With an
 * equality of organizations the primary key would have it, too, and where one
 * of them has most endpoints all would be read for each event of anybody.
 */
static Statement find_endpoints = {
	"select e.number, t.id, t.revision, t.status = 'paused'"
	" from unnest($1, $2, $3, $4, $5) with ordinality"
	"  as e(xid, created_at, event_type, organization_id, after, number)"
	" cross join lateral ("
	"  select t.id, t.revision, t.status from webhook.endpoint t"
	"  where t.organization_id = any (array[e.organization_id])"
	"   and t.status <> 'disabled'"
	"   and webhook._was_there(t.created_at, t.created_xid, e.created_at, e.xid)"
	"   and ((1::bigint << (t.id & 63)::int) & $6) <> 0"
	"   and webhook._subscribes(t.events, e.event_type)"
	"   and t.id > e.after"
	"  order by t.organization_id, t.id limit $7) t"
	" where e.event_type not like 'webhook.%'"
	"  or (e.organization_id, e.event_type) in ("
	"   select d.organization_id, d.event_type from (select distinct u.*"
	"    from unnest($4, $3) as u(organization_id, event_type)) d"
	"   where d.event_type like 'webhook.%' and exists ("
	"    select from webhook.endpoint t"
	"    where t.organization_id = d.organization_id"
	"     and d.event_type = any (t.events)))"
	" order by e.number, t.id limit $7",
	SPI_OK_SELECT, 7,
	{XID8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID, INT8OID, INT8OID}
};

/*
 * Of another organization: it was deleted, and its id is used again.  As part
 * of the join that would let all endpoints of an organization be read for each.
 */
static Statement read_due = {
	"select q.ctid, q.event_id, q.endpoint_id, q.attempts, q.next_attempt_at,"
	"  q.created_at, e.event_type, e.payload,"
	"  case when t.organization_id = e.organization_id"
	"   and t.status <> 'disabled' and q.first_attempt > 0"
	"   then t.revision end,"
	"  t.status = 'paused', q.first_attempt > 1, q.interruptions"
	" from unnest($1, $2, $3) as wish(endpoint_id, mark, places)"
	" cross join lateral ("
	"  select q.ctid, q.* from webhook.queue q"
	"  where q.endpoint_id = wish.endpoint_id"
	"   and q.next_attempt_at >= wish.mark and q.origin = $4"
	"  order by q.next_attempt_at, q.event_id limit wish.places + 1) q"
	" left join webhook.event e"
	"  on e.id = case when q.next_attempt_at <= $5 then q.event_id end"
	" left join webhook.endpoint t"
	"  on t.id = case when q.next_attempt_at <= $5 then q.endpoint_id end",
	SPI_OK_SELECT, 5,
	{INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4OID, TIMESTAMPTZOID}
};

static uint64
run_find_endpoints(const Cursor *cursor, const NewEvent *events, int count,
				   int row_limit)
{
	Datum	   *columns[5];
	Datum		values[7];

	for (int c = 0; c < 5; c++)
		columns[c] = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		bool		is_begun = events[i].xid == cursor->position_xid &&
		memcmp(&events[i].id, &cursor->position_id, UUID_LEN) == 0;

		columns[0][i] = UInt64GetDatum(events[i].xid);
		columns[1][i] = TimestampTzGetDatum(events[i].created_at);
		columns[2][i] = events[i].event_type;
		columns[3][i] = events[i].organization_id;
		columns[4][i] = Int64GetDatum(events[i].is_test ? PG_INT64_MAX :
									  is_begun ? cursor->position_endpoint_id : 0);
	}
	values[0] = wh_statement_array(columns[0], NULL, count, XID8OID);
	values[1] = wh_statement_array(columns[1], NULL, count, TIMESTAMPTZOID);
	values[2] = wh_statement_array(columns[2], NULL, count, TEXTOID);
	values[3] = wh_statement_array(columns[3], NULL, count, TEXTOID);
	values[4] = wh_statement_array(columns[4], NULL, count, INT8OID);
	values[5] = Int64GetDatum(cursor->shards);
	values[6] = Int64GetDatum(row_limit);
	return wh_statement_run(&find_endpoints, values, NULL, true);
}

static void
fill_new_row(NewRow *row, const NewEvent *event)
{
	row->xid = event->xid;
	row->event_id = event->id;
	row->created_at = event->created_at;
	row->event_type = TextDatumGetCString(event->event_type);
	row->payload = (text *) DatumGetPointer(event->payload);
	row->endpoint_id = 0;
}

/* Rows of the result for this event, from the row that is next on. */
static int
match(int number, NewRow *rows, int limit, uint64 found, uint64 *next)
{
	int			count = 0;
	bool		is_null;

	while (count < limit && *next < found &&
		   DatumGetInt64(wh_statement_column(*next, 1, &is_null)) == number)
	{
		NewRow	   *row = &rows[count++];

		*row = rows[0];
		row->endpoint_id = DatumGetInt64(wh_statement_column(*next, 2, &is_null));
		row->revision = DatumGetInt64(wh_statement_column(*next, 3, &is_null));
		row->is_paused = DatumGetBool(wh_statement_column(*next, 4, &is_null));
		(*next)++;
	}
	return count;
}

void
wh_queue_read_new(const Cursor *cursor, Piece *piece)
{
	News		news = {.limit = piece->event_limit};
	uint64		found;
	uint64		next = 0;
	int			limit = piece->row_limit;

	if (piece->is_searching)
		news.absent_count = wh_absent_find(cursor->shards, &news.absent);
	wh_news_read(cursor, &news);
	piece->has_passed = news.passed > 0;
	if (news.count == 0)
		return;
	found = run_find_endpoints(cursor, news.events, news.count, limit);
	piece->rows = SPI_palloc((found + news.count) * sizeof(NewRow));
	for (int i = 0; i < news.count && piece->count < limit; i++)
	{
		NewRow	   *rows = &piece->rows[piece->count];
		Absent		guess = {news.events[i].organization_id, news.events[i].event_type};
		int			matches;

		fill_new_row(rows, &news.events[i]);
		matches = match(i + 1, rows, limit - piece->count, found, &next);
		if (matches == 0 && piece->is_searching)
			wh_absent_guess(guess);
		piece->count += Max(matches, 1);
	}
	piece->has_more = news.has_more || piece->count == limit;
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
wh_queue_read_due(const DueWish *wishes, int count, TimestampTz now,
				  DueRow **rows)
{
	Datum	   *columns[3];
	Datum		values[5];
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
	values[4] = TimestampTzGetDatum(now);
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
