/*
 * rows.c
 *		Inserting rows into a table of ours through the executor, without SQL.
 *
 * Runs in the caller's transaction: of who emits, or of the worker.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/snapmgr.h"

#include "catalogue.h"
#include "compat.h"
#include "rows.h"

#define MAX_GATHERED 64			/* rows */
#define MAX_GATHERED_SIZE 65536 /* bytes */

struct RowWriter
{
	MemoryContext context;
	Relation	parent;
	Relation	table;			/* the parent or a partition; NULL: none yet */
	EState	   *estate;			/* for the table */
	ResultRelInfo *result;
	bool		has_triggers;	/* for rows */
	int			columns;
	int			count;			/* rows gathered */
	Size		size;			/* of these */
	TupleTableSlot *slots[MAX_GATHERED];	/* made when first needed */
	ItemPointer tids[MAX_GATHERED];
};

static void
open_table(RowWriter *writer, Relation table)
{
	/* These outlive a row: they live where the writer does. */
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	TriggerDesc *triggers = table->trigdesc;
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	wh_catalogue_check_columns(table, writer->columns);
	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(table);
	entry->relkind = RELKIND_RELATION;
	entry->rellockmode = AccessShareLock;

	writer->table = table;
	writer->estate = CreateExecutorState();
	wh_compat_init_range_table(writer->estate, entry);
	writer->result = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result, table, 1, NULL, 0);
	ExecOpenIndices(writer->result, false);
	writer->has_triggers = triggers && (triggers->trig_insert_before_row ||
										triggers->trig_insert_after_row);
	if (writer->has_triggers)
		AfterTriggerBeginQuery();
	MemoryContextSwitchTo(old);
}

/* They are the owner's, and run as he does. */
static void
fire_triggers(RowWriter *writer)
{
	Oid			user;
	int			security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(writer->parent->rd_rel->relowner,
						   security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	AfterTriggerEndQuery(writer->estate);
	/* What that has opened. */
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	ExecCloseResultRelations(writer->estate);
	SetUserIdAndSecContext(user, security);
}

static void
close_table(RowWriter *writer)
{
	if (writer->table == NULL)
		return;
	if (writer->has_triggers)
		fire_triggers(writer);
	for (int i = 0; i < MAX_GATHERED && writer->slots[i]; i++)
	{
		ExecDropSingleTupleTableSlot(writer->slots[i]);
		writer->slots[i] = NULL;
	}
	ExecCloseIndices(writer->result);
	if (writer->table != writer->parent)
		table_close(writer->table, NoLock);
	FreeExecutorState(writer->estate);
	writer->table = NULL;
}

RowWriter *
wh_rows_open(const char *table, int columns)
{
	RowWriter  *writer = palloc0(sizeof(RowWriter));

	writer->context = CurrentMemoryContext;
	writer->columns = columns;
	writer->parent = wh_catalogue_open(table, RowExclusiveLock);
	if (writer->parent->rd_rel->relkind == RELKIND_RELATION)
		open_table(writer, writer->parent);
	return writer;
}

static void
insert_with_triggers(RowWriter *writer)
{
	for (int i = 0; i < writer->count; i++)
		ExecSimpleRelationInsert(writer->result, writer->estate,
								 writer->slots[i]);
}

static void
insert_many(RowWriter *writer)
{
	CommandId	command = GetCurrentCommandId(true);

	if (writer->count == 1)
		table_tuple_insert(writer->table, writer->slots[0], command, 0, NULL);
	else
		table_multi_insert(writer->table, writer->slots, writer->count,
						   command, 0, NULL);
	for (int i = 0; i < writer->count; i++)
	{
		if (writer->result->ri_NumIndices > 0)
			list_free(wh_compat_insert_index_tuples(writer->result,
													writer->slots[i],
													writer->estate));
		ResetPerTupleExprContext(writer->estate);
	}
}

static void
insert_gathered(RowWriter *writer)
{
	MemoryContext old;
	Oid			user;
	int			security;

	if (writer->count == 0)
		return;
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(writer->parent->rd_rel->relowner,
						   security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (writer->has_triggers)
		insert_with_triggers(writer);
	else
		insert_many(writer);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	SetUserIdAndSecContext(user, security);
	for (int i = 0; i < writer->count; i++)
	{
		if (writer->tids[i])
			*writer->tids[i] = writer->slots[i]->tts_tid;
		ExecClearTuple(writer->slots[i]);
	}
	writer->count = 0;
	writer->size = 0;
}

/* The partition for a key, or InvalidOid. */
static Oid
find_partition(Relation parent, const pg_uuid_t *key)
{
	PartitionKey by = RelationGetPartitionKey(parent);
	PartitionDesc parts = RelationGetPartitionDesc(parent, true);
	Datum		value = UUIDPGetDatum(key);
	bool		is_equal;
	int			index;

	if (parts->nparts == 0)
		return InvalidOid;
	index = partition_range_datum_bsearch(by->partsupfunc, by->partcollation,
										  parts->boundinfo, 1, &value,
										  &is_equal);
	index = parts->boundinfo->indexes[index + 1];
	return index < 0 ? InvalidOid : parts->oids[index];
}

bool
wh_rows_route(RowWriter *writer, const pg_uuid_t *key)
{
	Oid			partition = find_partition(writer->parent, key);

	if (writer->table && RelationGetRelid(writer->table) == partition)
		return true;
	insert_gathered(writer);
	close_table(writer);
	if (!OidIsValid(partition))
		return false;
	open_table(writer, table_open(partition, RowExclusiveLock));
	return true;
}

static TupleTableSlot *
next_slot(RowWriter *writer)
{
	TupleTableSlot **slot = &writer->slots[writer->count];

	if (*slot == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);

		*slot = table_slot_create(writer->table, NULL);
		MemoryContextSwitchTo(old);
	}
	return *slot;
}

void
wh_rows_add(RowWriter *writer, const Datum *values, const bool *nulls,
			ItemPointer tid)
{
	TupleTableSlot *slot = next_slot(writer);
	bool		is_copy;
	HeapTuple	tuple;

	memcpy(slot->tts_values, values, writer->columns * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, writer->columns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	tuple = ExecFetchSlotHeapTuple(slot, true, &is_copy);
	writer->tids[writer->count++] = tid;
	writer->size += tuple->t_len;
	if (is_copy)
		heap_freetuple(tuple);
	if (writer->count == MAX_GATHERED || writer->size >= MAX_GATHERED_SIZE)
		insert_gathered(writer);
}

void
wh_rows_close(RowWriter *writer)
{
	insert_gathered(writer);
	close_table(writer);
	table_close(writer->parent, NoLock);
	pfree(writer);
}
