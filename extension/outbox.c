/*
 * outbox.c
 *		Recording events: the one INSERT into webhook.event.
 *
 * Rows go straight to their partition (rows.c), as the owner of the outbox,
 * whoever the caller is; EXECUTE on emit is the permission.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "catalogue.h"
#include "eventid.h"
#include "outbox.h"
#include "payload.h"
#include "rows.h"

struct OutboxWriter
{
	RowWriter  *rows;
	Names	   *names;
	MemoryContext context;		/* the writer's own */
	MemoryContext scratch;		/* reset for each event */
};

OutboxWriter *
wh_outbox_open(void)
{
	OutboxWriter *writer;

	PreventCommandIfReadOnly("webhook.emit()");
	PreventCommandIfParallelMode("webhook.emit()");

	writer = palloc0(sizeof(OutboxWriter));
	writer->context = CurrentMemoryContext;
	writer->rows = wh_rows_open("event", EVENT_COLUMNS);
	writer->names = wh_names_of_moment();
	writer->scratch = AllocSetContextCreate(CurrentMemoryContext,
											"webhook event",
											ALLOCSET_DEFAULT_SIZES);
	return writer;
}

/*
 * Make the missing partition.  Workers make them ahead, so this happens only
 * where none has run yet.  Of two sessions that try, one fails at the table's
 * name when the other commits; it then finds the partition.
 */
static void
make_partition(void)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		wh_owner_execute("select webhook._make_partition("
						 "pg_catalog.clock_timestamp())");
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_DUPLICATE_TABLE &&
			error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
			error->sqlerrcode != ERRCODE_DUPLICATE_OBJECT)
			ReThrowError(error);
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

static void
route(OutboxWriter *writer, const pg_uuid_t *id)
{
	MemoryContext old;

	if (wh_rows_route(writer->rows, id))
		return;

	/* ATTACH PARTITION refuses a parent that this session has open. */
	old = MemoryContextSwitchTo(writer->context);
	wh_rows_close(writer->rows);
	make_partition();
	writer->rows = wh_rows_open("event", EVENT_COLUMNS);
	MemoryContextSwitchTo(old);
	if (!wh_rows_route(writer->rows, id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not find a partition of table \"webhook.event\" for the current time"),
				 errhint("Run: select * from webhook.check()")));
}

void
wh_outbox_add(OutboxWriter *writer, const OutboxEvent *event,
			  const EventStamp *stamp)
{
	static const bool nulls[EVENT_COLUMNS] = {false};
	MemoryContext old = MemoryContextSwitchTo(writer->scratch);
	Datum		values[EVENT_COLUMNS];

	MemoryContextReset(writer->scratch);
	values[EVENT_ID] = UUIDPGetDatum(&stamp->id);
	values[EVENT_ORIGIN] = Int32GetDatum(wh_outbox_origin());
	values[EVENT_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[EVENT_CREATED_AT] = TimestampTzGetDatum(stamp->created_at);
	values[EVENT_IS_TEST] = BoolGetDatum(event->is_test);
	values[EVENT_TYPE] = PointerGetDatum(event->type);
	values[EVENT_ORGANIZATION] = PointerGetDatum(event->organization);
	values[EVENT_PAYLOAD] =
		PointerGetDatum(wh_payload_build(writer->names, event,
										 stamp->created_at));
	route(writer, &stamp->id);
	wh_rows_add(writer->rows, values, nulls, NULL);
	MemoryContextSwitchTo(old);
	if (!event->is_test)
		wh_commit_announce_events();
}

void
wh_outbox_close(OutboxWriter *writer)
{
	wh_rows_close(writer->rows);
	MemoryContextDelete(writer->scratch);
	pfree(writer);
}
