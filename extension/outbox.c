/*
 * outbox.c
 *		Recording events: the one INSERT into webhook.event.
 *
 * The row goes straight to its partition through the executor's insertion
 * primitive, as logical replication does it: no planner, no SQL text, hence
 * nothing that a search_path could divert.  It is inserted as the owner of
 * the outbox, whoever the caller is; EXECUTE on emit is the permission.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "catalogue.h"
#include "compat.h"
#include "eventid.h"
#include "outbox.h"
#include "payload.h"

/* Columns of webhook.event, in the order of schema.sql. */
enum EventColumn
{
	EVENT_ID, EVENT_ORIGIN, EVENT_XID, EVENT_CREATED_AT, EVENT_IS_TEST,
	EVENT_TYPE, EVENT_ORGANIZATION, EVENT_PAYLOAD, EVENT_COLUMNS
};

struct OutboxWriter
{
	Relation	parent;
	Relation	partition;		/* NULL until the first event */
	EState	   *estate;
	ResultRelInfo *result;
	TupleTableSlot *slot;
	MemoryContext scratch;		/* reset for each event */
};

OutboxWriter *
wh_outbox_open(void)
{
	OutboxWriter *writer;

	PreventCommandIfReadOnly("webhook.emit()");
	PreventCommandIfParallelMode("webhook.emit()");

	writer = palloc0(sizeof(OutboxWriter));
	writer->parent = wh_catalogue_open("event", RowExclusiveLock);
	writer->scratch = AllocSetContextCreate(CurrentMemoryContext,
											"webhook event",
											ALLOCSET_DEFAULT_SIZES);
	return writer;
}

/* The partition of an event id, or InvalidOid. */
static Oid
find_partition(Relation parent, const pg_uuid_t *id)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc parts = RelationGetPartitionDesc(parent, true);
	Datum		value = UUIDPGetDatum(id);
	bool		is_equal;
	int			index;

	if (parts->nparts == 0)
		return InvalidOid;
	index = partition_range_datum_bsearch(key->partsupfunc,
										  key->partcollation,
										  parts->boundinfo, 1, &value,
										  &is_equal);
	index = parts->boundinfo->indexes[index + 1];
	return index < 0 ? InvalidOid : parts->oids[index];
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
close_partition(OutboxWriter *writer)
{
	if (writer->partition == NULL)
		return;
	AfterTriggerEndQuery(writer->estate);
	ExecCloseIndices(writer->result);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	table_close(writer->partition, NoLock);
	FreeExecutorState(writer->estate);
	writer->partition = NULL;
}

static void
open_partition(OutboxWriter *writer, Oid relid)
{
	/* These outlive the event: they live where the writer does. */
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(writer));
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	EState	   *estate = CreateExecutorState();

	writer->partition = table_open(relid, RowExclusiveLock);
	entry->rtekind = RTE_RELATION;
	entry->relid = relid;
	entry->relkind = RELKIND_RELATION;
	entry->rellockmode = AccessShareLock;
	wh_compat_init_range_table(estate, entry);

	writer->estate = estate;
	writer->result = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result, writer->partition, 1, NULL, 0);
	ExecOpenIndices(writer->result, false);
	writer->slot = ExecInitExtraTupleSlot(estate,
										  RelationGetDescr(writer->partition),
										  &TTSOpsVirtual);
	AfterTriggerBeginQuery();
	MemoryContextSwitchTo(old);
}

static void
route(OutboxWriter *writer, const pg_uuid_t *id)
{
	Oid			relid = find_partition(writer->parent, id);

	if (writer->partition && RelationGetRelid(writer->partition) == relid)
		return;
	close_partition(writer);
	if (!OidIsValid(relid))
	{
		/* ATTACH PARTITION refuses a parent that this session has open. */
		Oid			parent = RelationGetRelid(writer->parent);

		table_close(writer->parent, NoLock);
		make_partition();
		writer->parent = table_open(parent, RowExclusiveLock);
		relid = find_partition(writer->parent, id);
	}
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not find a partition of table \"webhook.event\" for the current time"),
				 errhint("Run: select * from webhook.check()")));
	open_partition(writer, relid);
}

static void
fill_slot(TupleTableSlot *slot, const OutboxEvent *event, text *payload,
		  const EventStamp *stamp)
{
	Datum	   *values = slot->tts_values;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, sizeof(bool) * EVENT_COLUMNS);
	values[EVENT_ID] = UUIDPGetDatum(&stamp->id);
	values[EVENT_ORIGIN] = Int32GetDatum(wh_outbox_origin());
	values[EVENT_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[EVENT_CREATED_AT] = TimestampTzGetDatum(stamp->created_at);
	values[EVENT_IS_TEST] = BoolGetDatum(event->is_test);
	values[EVENT_TYPE] = PointerGetDatum(event->type);
	values[EVENT_ORGANIZATION] = PointerGetDatum(event->organization);
	values[EVENT_PAYLOAD] = PointerGetDatum(payload);
	ExecStoreVirtualTuple(slot);
}

void
wh_outbox_add(OutboxWriter *writer, const OutboxEvent *event,
			  const EventStamp *stamp)
{
	MemoryContext old = MemoryContextSwitchTo(writer->scratch);
	text	   *payload;
	Oid			user;
	int			security;

	MemoryContextReset(writer->scratch);
	payload = wh_payload_build(event, stamp->created_at);

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(writer->parent->rd_rel->relowner,
						   security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	route(writer, &stamp->id);
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	PushActiveSnapshot(GetTransactionSnapshot());
	fill_slot(writer->slot, event, payload, stamp);
	ExecSimpleRelationInsert(writer->result, writer->estate, writer->slot);
	PopActiveSnapshot();
	ResetPerTupleExprContext(writer->estate);
	SetUserIdAndSecContext(user, security);

	MemoryContextSwitchTo(old);
	if (!event->is_test)
		wh_commit_announce_events();
}

void
wh_outbox_close(OutboxWriter *writer)
{
	close_partition(writer);
	table_close(writer->parent, NoLock);
	MemoryContextDelete(writer->scratch);
	pfree(writer);
}

/* The partitions of a table that the active snapshot sees. */
static int
count_visible_partitions(Oid parent)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	int			count = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(parent));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true,
							  GetActiveSnapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (!((Form_pg_inherits) GETSTRUCT(tuple))->inhdetachpending)
			count++;
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return count;
}

bool
wh_outbox_is_current(void)
{
	Relation	parent = wh_catalogue_open("event", AccessShareLock);
	int			known = RelationGetPartitionDesc(parent, true)->nparts;
	bool		is_current;

	is_current = count_visible_partitions(RelationGetRelid(parent)) <= known;
	table_close(parent, AccessShareLock);
	return is_current;
}
