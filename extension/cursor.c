/*
 * cursor.c
 *		Taking: cursors, the identity of this database, and what a start finds.
 *
 * Runs in the worker's short transactions; see queue.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "outbox.h"
#include "queue.h"
#include "settings.h"
#include "statement.h"

/* Shards of which it is stored that they were taken: see note_shards. */
static int64 noted;
static int64 being_noted;		/* by this transaction */

static Statement find_extension = {
	"select oid, extversion from pg_extension where extname = 'webhook'",
	SPI_OK_SELECT, 0, {0}
};

static Statement write_identity = {
	"insert into webhook.identity (origin, instance)"
	" select $1, $2 where not exists (select from webhook.identity)"
	" on conflict do nothing",
	SPI_OK_INSERT, 2, {INT4OID, TEXTOID}
};

static Statement check_identity = {
	"select coalesce(bool_and(origin = $1 and instance = $2), false)"
	" from webhook.identity",
	SPI_OK_SELECT, 2, {INT4OID, TEXTOID}
};

static Statement note_taken = {
	"update webhook.identity set taken_shards = taken_shards | $2"
	" where origin = $1 and taken_shards | $2 <> taken_shards",
	SPI_OK_UPDATE, 2, {INT4OID, INT8OID}
};

static Statement check_cursors = {
	"select coalesce(bit_or(taken_shards), 0)"
	" & ~(select coalesce(bit_or(c.shards), 0)"
	"  from webhook.cursor c where c.origin = $1) = 0"
	" from webhook.identity where origin = $1",
	SPI_OK_SELECT, 1, {INT4OID}
};

static Statement lock_cursors = {
	"lock table webhook.cursor in share row exclusive mode",
	SPI_OK_UTILITY, 0, {0}
};

/* Keep what lies outside of our shards under the old row ... */
static Statement split_rest = {
	"insert into webhook.cursor (origin, shards, low, high, position_xid,"
	"  position_id, position_endpoint_id)"
	" select origin, shards & ~$2, low, high, position_xid, position_id,"
	"  position_endpoint_id"
	" from webhook.cursor where origin = $1 and shards & $2 <> 0"
	"  and shards & ~$2 <> 0",
	SPI_OK_INSERT, 2, {INT4OID, INT8OID}
};

/* ... and make the row ours. */
static Statement split_ours = {
	"update webhook.cursor set shards = shards & $2"
	" where origin = $1 and shards & $2 <> 0 and shards & ~$2 <> 0",
	SPI_OK_UPDATE, 2, {INT4OID, INT8OID}
};

static Statement read_cursors = {
	"select shards, low, high, position_xid, position_id,"
	"  position_endpoint_id"
	" from webhook.cursor where origin = $1 and shards & $2 <> 0"
	" order by shards",
	SPI_OK_SELECT, 2, {INT4OID, INT8OID}
};

/* Unless another row has some of its shards: see save_anew. */
static Statement save_cursor = {
	"insert into webhook.cursor (origin, shards, low, high, position_xid,"
	"  position_id, position_endpoint_id)"
	" select $1, $2, $3, $4, $5, $6, $7"
	" where not exists (select from webhook.cursor c"
	"  where c.origin = $1 and c.shards & $2 <> 0 and c.shards <> $2)"
	" on conflict (origin, shards) do update set low = excluded.low,"
	"  high = excluded.high, position_xid = excluded.position_xid,"
	"  position_id = excluded.position_id,"
	"  position_endpoint_id = excluded.position_endpoint_id"
	" returning ctid",
	SPI_OK_INSERT_RETURNING, 7,
	{INT4OID, INT8OID, PG_SNAPSHOTOID, PG_SNAPSHOTOID, XID8OID, UUIDOID, INT8OID}
};

/*
 * The same where it was written last.  Its key leads to all of its versions, and
 * an old snapshot of somebody else keeps a version for each take.
 */
static Statement save_cursor_again = {
	"update webhook.cursor set low = $3, high = $4, position_xid = $5,"
	"  position_id = $6, position_endpoint_id = $7"
	" where ctid = $8 and origin = $1 and shards = $2"
	" returning ctid",
	SPI_OK_UPDATE_RETURNING, 8,
	{INT4OID, INT8OID, PG_SNAPSHOTOID, PG_SNAPSHOTOID, XID8OID, UUIDOID, INT8OID,
	TIDOID}
};

static Statement drop_cursor = {
	"delete from webhook.cursor where origin = $1 and shards = $2",
	SPI_OK_DELETE, 2, {INT4OID, INT8OID}
};

static Statement widen_cursor = {
	"update webhook.cursor set shards = shards | $3"
	" where origin = $1 and shards = $2",
	SPI_OK_UPDATE, 3, {INT4OID, INT8OID, INT8OID}
};

static Statement interrupt_rows = {
	"select webhook._interrupt($1, $2)",
	SPI_OK_SELECT, 2, {INT4OID, INT8OID}
};

static Statement set_back = {
	"select webhook._set_back($1, $2, $3 * interval '1 microsecond')",
	SPI_OK_SELECT, 3, {INT4OID, INT8OID, INT8OID}
};

Oid
wh_queue_extension(char **version)
{
	bool		is_null;

	*version = NULL;
	if (wh_statement_run(&find_extension, NULL, NULL, true) == 0)
		return InvalidOid;
	*version = wh_statement_text(0, 2);
	return DatumGetObjectId(wh_statement_column(0, 1, &is_null));
}

bool
wh_queue_check_identity(void)
{
	Datum		values[2] = {Int32GetDatum(wh_outbox_origin()),
	CStringGetTextDatum(wh_instance)};
	bool		is_null;

	wh_statement_run(&check_identity, values, NULL, true);
	if (DatumGetBool(wh_statement_column(0, 1, &is_null)))
		return true;

	/* Another worker may write it at the same moment. */
	wh_statement_run(&write_identity, values, NULL, false);
	wh_statement_run(&check_identity, values, NULL, false);
	return DatumGetBool(wh_statement_column(0, 1, &is_null));
}

bool
wh_queue_check_cursors(void)
{
	Datum		origin = Int32GetDatum(wh_outbox_origin());
	bool		is_null;

	wh_statement_run(&check_cursors, &origin, NULL, true);
	return DatumGetBool(wh_statement_column(0, 1, &is_null));
}

/*
 * Read from the text form of a pg_snapshot, xmin:xmax:xip,xip,..., which is
 * documented: this happens at each look, and a statement would double its cost.
 */
void
wh_queue_unpack_cursor(Cursor *cursor)
{
	char	   *rest;

	cursor->low_xmax = 0;
	cursor->low_xip_count = 0;
	if (cursor->low == 0)
		return;
	rest = DatumGetCString(DirectFunctionCall1(pg_snapshot_out, cursor->low));
	cursor->low_xip = palloc((strlen(rest) / 2 + 1) * sizeof(uint64));
	(void) strtoull(rest, &rest, 10);
	cursor->low_xmax = strtoull(rest + 1, &rest, 10);
	while (rest[0] != '\0' && rest[1] != '\0')
		cursor->low_xip[cursor->low_xip_count++] = strtoull(rest + 1, &rest, 10);
}

static void
read_cursor(uint64 row, Cursor *cursor)
{
	bool		is_null;

	memset(cursor, 0, sizeof(*cursor));
	cursor->position_endpoint_id = PG_INT64_MAX;
	cursor->shards = DatumGetInt64(wh_statement_column(row, 1, &is_null));
	cursor->low = wh_statement_column(row, 2, &is_null);
	cursor->high = wh_statement_column(row, 3, &is_null);
	if (is_null)
		return;
	cursor->position_xid = DatumGetUInt64(wh_statement_column(row, 4, &is_null));
	if (!is_null)
		cursor->position_id = *DatumGetUUIDP(wh_statement_column(row, 5, &is_null));
	cursor->position_endpoint_id = DatumGetInt64(wh_statement_column(row, 6, &is_null));
	if (is_null)
		cursor->position_endpoint_id = PG_INT64_MAX;
}

/* Have rows for these shards and nothing else. */
void
wh_queue_split_cursors(int64 shards)
{
	Datum		values[2] = {Int32GetDatum(wh_outbox_origin()),
	Int64GetDatum(shards)};

	wh_statement_run(&split_rest, values, NULL, false);
	wh_statement_run(&split_ours, values, NULL, false);
}

int
wh_queue_load_cursors(int64 shards, Cursor **cursors)
{
	Datum		values[2] = {Int32GetDatum(wh_outbox_origin()),
	Int64GetDatum(shards)};
	int64		missing = shards;
	uint64		count;

	wh_statement_run(&lock_cursors, NULL, NULL, false);
	wh_queue_split_cursors(shards);
	count = wh_statement_run(&read_cursors, values, NULL, false);
	*cursors = SPI_palloc((count + 1) * sizeof(Cursor));
	for (uint64 i = 0; i < count; i++)
	{
		read_cursor(i, &(*cursors)[i]);
		missing &= ~(*cursors)[i].shards;
	}
	if (missing != 0)
	{
		/* A missing cursor: everything of this origin is new to it. */
		Cursor	   *fresh = &(*cursors)[count++];

		memset(fresh, 0, sizeof(*fresh));
		fresh->shards = missing;
		fresh->position_endpoint_id = PG_INT64_MAX;
	}
	for (uint64 i = 0; i < count; i++)
		wh_queue_unpack_cursor(&(*cursors)[i]);
	return (int) count;
}

/* What the transaction has noted counts when it commits. */
static void
end_note(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
		noted |= being_noted;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		being_noted = 0;
}

/* From now on a missing cursor of these shards is one that was lost. */
static void
note_shards(int64 shards)
{
	static bool is_registered;
	Datum		values[2] = {Int32GetDatum(wh_outbox_origin()),
	Int64GetDatum(shards)};

	if ((shards & ~(noted | being_noted)) == 0)
		return;
	if (!is_registered)
		RegisterXactCallback(end_note, NULL);
	is_registered = true;
	wh_statement_run(&note_taken, values, NULL, false);
	being_noted |= shards;
}

/*
 * Somebody deleted rows, and adopt() made another one of ours: that is where to
 * read on, once, and not where this process is.
 */
static void
save_anew(Datum *values, const char *nulls)
{
	if (wh_statement_run(&save_cursor, values, nulls, false) > 0)
		return;
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of webhook.cursor were deleted and made anew"),
			 errdetail("The worker starts again, from what is stored there.")));
}

void
wh_queue_save_cursor(Cursor *cursor)
{
	Datum		values[8];
	char		nulls[9] = "        ";
	bool		is_null;

	values[0] = Int32GetDatum(wh_outbox_origin());
	values[1] = Int64GetDatum(cursor->shards);
	values[2] = cursor->low;
	nulls[2] = cursor->low ? ' ' : 'n';
	values[3] = cursor->high;
	values[4] = UInt64GetDatum(cursor->position_xid);
	values[5] = UUIDPGetDatum(&cursor->position_id);
	values[6] = Int64GetDatum(cursor->position_endpoint_id);
	if (cursor->high == 0)
		nulls[3] = nulls[4] = nulls[5] = nulls[6] = 'n';
	if (cursor->position_endpoint_id == PG_INT64_MAX)
		nulls[6] = 'n';
	values[7] = PointerGetDatum(&cursor->tid);
	if (!ItemPointerIsValid(&cursor->tid) ||
		wh_statement_run(&save_cursor_again, values, nulls, false) == 0)
		save_anew(values, nulls);
	cursor->tid = *(ItemPointer) DatumGetPointer(wh_statement_column(0, 1, &is_null));
	note_shards(cursor->shards);
}

void
wh_queue_merge_cursors(const Cursor *kept, const Cursor *gone)
{
	Datum		values[3] = {Int32GetDatum(wh_outbox_origin()),
		Int64GetDatum(gone->shards),
	0};

	wh_statement_run(&drop_cursor, values, NULL, false);
	values[1] = Int64GetDatum(kept->shards);
	values[2] = Int64GetDatum(gone->shards);
	wh_statement_run(&widen_cursor, values, NULL, false);
}

int
wh_queue_interrupt(int64 shards)
{
	Datum		values[2] = {Int32GetDatum(wh_outbox_origin()),
	Int64GetDatum(shards)};
	bool		is_null;

	wh_statement_run(&interrupt_rows, values, NULL, false);
	return (int) DatumGetInt64(wh_statement_column(0, 1, &is_null));
}

void
wh_queue_set_back(int64 shards, int64 step)
{
	Datum		values[3] = {Int32GetDatum(wh_outbox_origin()),
	Int64GetDatum(shards), Int64GetDatum(step)};

	wh_statement_run(&set_back, values, NULL, false);
}
