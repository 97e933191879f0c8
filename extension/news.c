/*
 * news.c
 *		Reading the outbox past a cursor, by index and without SQL.
 *
 * Runs in the worker's taking transaction, with the snapshot it began with.  It
 * happens at every take and mostly finds a handful of events: a statement would
 * spend more on being started for each partition than on all of them.
 *
 * The partitions are those that the snapshot sees, whatever this process has
 * heard of: a commit is visible a moment before others hear of what it attached.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_inherits.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "catalogue.h"
#include "compat.h"
#include "news.h"
#include "outbox.h"

/* The one before it marks events that were taken elsewhere: see adopt(). */
#define FIRST_NEW_XID 4

#define MOST_PASSED 5000		/* at once */
#define KEYS 3					/* columns of the index: origin, xid, id */

/* One partition, and the row at which its scan stands. */
typedef struct Source
{
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	bool		has_row;
	uint64		xid;
	pg_uuid_t	id;
	bool		was_read;		/* events of it are in hand */
} Source;

/* Events of one transaction from an id on, or of all from a transaction on. */
typedef struct Range
{
	StrategyNumber strategy;	/* of the index, for the xid */
	RegProcedure operator;		/* the same */
	uint64		xid;
	pg_uuid_t	id;
} Range;

typedef struct Reader
{
	const Cursor *cursor;
	uint64		end;			/* no xid from here on is in the window */
	Source	   *sources;
	int			source_count;
	News	   *news;
} Reader;

static const pg_uuid_t first_id;

static List *
find_partitions(Oid parent)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(parent));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true,
							  GetActiveSnapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits row = (Form_pg_inherits) GETSTRUCT(tuple);

		if (!row->inhdetachpending)
			found = lappend_oid(found, row->inhrelid);
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return found;
}

/* All rows, in the order of a cursor? */
static bool
is_in_order(Relation index)
{
	Form_pg_index form = index->rd_index;

	return form->indisvalid && index->rd_rel->relam == BTREE_AM_OID &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) &&
		form->indnkeyatts == KEYS &&
		form->indkey.values[0] == EVENT_ORIGIN + 1 &&
		form->indkey.values[1] == EVENT_XID + 1 &&
		form->indkey.values[2] == EVENT_ID + 1 &&
		index->rd_indoption[1] == 0 && index->rd_indoption[2] == 0;
}

static Relation
open_index(Relation table)
{
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(table))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_in_order(index))
			return index;
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has no valid index on (origin, xid, id)",
					RelationGetRelationName(table)),
			 errhint("Run: select * from webhook.check()")));
}

static void
open_source(Source *source, Relation table)
{
	wh_catalogue_check_columns(table, EVENT_COLUMNS);
	source->table = table;
	source->index = open_index(table);
	source->slot = table_slot_create(table, NULL);
	source->scan = WH_INDEX_BEGINSCAN(table, source->index,
									  GetActiveSnapshot(), KEYS);
}

static void
open_sources(Reader *reader)
{
	List	   *partitions = find_partitions(wh_catalogue_table("event"));
	ListCell   *cell;

	reader->sources = palloc0(Max(list_length(partitions), 1) * sizeof(Source));
	foreach(cell, partitions)
	{
		/* Retention may have dropped it since: then nothing in it was new. */
		Relation	table = try_table_open(lfirst_oid(cell), AccessShareLock);

		if (table)
			open_source(&reader->sources[reader->source_count++], table);
	}
}

/* The lock stays where values in hand may point into a partition's TOAST. */
static void
close_sources(Reader *reader)
{
	for (int i = 0; i < reader->source_count; i++)
	{
		Source	   *source = &reader->sources[i];
		LOCKMODE	mode = source->was_read ? NoLock : AccessShareLock;

		index_endscan(source->scan);
		ExecDropSingleTupleTableSlot(source->slot);
		index_close(source->index, mode);
		table_close(source->table, mode);
	}
}

static int
compare(uint64 xid, const pg_uuid_t *id, const Source *source)
{
	if (xid != source->xid)
		return xid < source->xid ? -1 : 1;
	return memcmp(id, &source->id, UUID_LEN);
}

/* Was it read before, or did it commit after the window was opened? */
static bool
is_outside(const Cursor *cursor, const Source *source)
{
	if (cursor->position_endpoint_id == PG_INT64_MAX &&
		compare(cursor->position_xid, &cursor->position_id, source) == 0)
		return true;
	return cursor->high &&
		!DatumGetBool(DirectFunctionCall2(pg_visible_in_snapshot,
										  UInt64GetDatum(source->xid),
										  cursor->high));
}

static void
go_to_next(Reader *reader, Source *source)
{
	bool		is_null;

	do
	{
		source->has_row = index_getnext_slot(source->scan, ForwardScanDirection,
											 source->slot);
		if (!source->has_row)
			return;
		source->xid = DatumGetUInt64(slot_getattr(source->slot, EVENT_XID + 1,
												  &is_null));
		source->id = *DatumGetUUIDP(slot_getattr(source->slot, EVENT_ID + 1,
												 &is_null));
		source->has_row = source->xid < reader->end;
	} while (source->has_row && is_outside(reader->cursor, source));
}

static void
start(Reader *reader, Source *source, const Range *range)
{
	ScanKeyData keys[KEYS];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(wh_outbox_origin()));
	ScanKeyInit(&keys[1], 2, range->strategy, range->operator,
				UInt64GetDatum(range->xid));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_UUID_GE,
				UUIDPGetDatum(&range->id));
	index_rescan(source->scan, keys, KEYS, NULL, 0);
	go_to_next(reader, source);
}

/* The source with the first row in order, or NULL. */
static Source *
choose(const Reader *reader)
{
	Source	   *first = NULL;

	for (int i = 0; i < reader->source_count; i++)
	{
		Source	   *source = &reader->sources[i];

		if (source->has_row &&
			(!first || compare(source->xid, &source->id, first) < 0))
			first = source;
	}
	return first;
}

static void
take_row(Reader *reader, Source *source)
{
	NewEvent   *event = &reader->news->events[reader->news->count++];
	const Datum *values = source->slot->tts_values;

	slot_getallattrs(source->slot);
	source->was_read = true;
	event->xid = source->xid;
	event->id = source->id;
	event->created_at = DatumGetTimestampTz(values[EVENT_CREATED_AT]);
	event->is_test = DatumGetBool(values[EVENT_IS_TEST]);
	event->event_type = datumCopy(values[EVENT_TYPE], false, -1);
	event->organization_id = datumCopy(values[EVENT_ORGANIZATION], false, -1);
	event->payload = datumCopy(values[EVENT_PAYLOAD], false, -1);
}

static bool
is_absent(const News *news, Source *source)
{
	bool		is_null;
	Absent		event;

	if (news->absent_count == 0)
		return false;
	event.organization_id = slot_getattr(source->slot, EVENT_ORGANIZATION + 1,
										 &is_null);
	event.event_type = slot_getattr(source->slot, EVENT_TYPE + 1, &is_null);
	for (int i = 0; i < news->absent_count; i++)
	{
		if (wh_absent_is_equal(&news->absent[i], &event))
			return true;
	}
	return false;
}

/* True: that is all for now. */
static bool
pass_or_take(Reader *reader, Source *source)
{
	News	   *news = reader->news;

	if (news->passed < MOST_PASSED && is_absent(news, source))
	{
		news->passed++;
		return false;
	}
	take_row(reader, source);
	news->has_more = news->count == news->limit || news->passed == MOST_PASSED;
	return news->has_more;
}

static void
read_range(Reader *reader, StrategyNumber strategy, RegProcedure operator,
		   uint64 xid, const pg_uuid_t *id)
{
	Range		range = {strategy, operator, xid, *id};
	Source	   *source;

	if (reader->news->has_more)
		return;
	for (int i = 0; i < reader->source_count; i++)
		start(reader, &reader->sources[i], &range);
	while ((source = choose(reader)) != NULL && !pass_or_take(reader, source))
		go_to_next(reader, source);
}

static void
read_one_transaction(Reader *reader, uint64 xid)
{
	const Cursor *cursor = reader->cursor;

	read_range(reader, BTEqualStrategyNumber, F_XID8EQ, xid,
			   xid == cursor->position_xid ? &cursor->position_id : &first_id);
}

/* Of transactions that were running when the window's low snapshot was made. */
static void
read_running(Reader *reader)
{
	const Cursor *cursor = reader->cursor;

	for (int i = 0; i < cursor->low_xip_count; i++)
	{
		if (cursor->low_xip[i] >= cursor->position_xid)
			read_one_transaction(reader, cursor->low_xip[i]);
	}
}

/* Of transactions that began later. */
static void
read_later(Reader *reader)
{
	const Cursor *cursor = reader->cursor;
	uint64		from = Max(cursor->low_xmax, FIRST_NEW_XID);

	if (cursor->position_xid < from)
		read_range(reader, BTGreaterEqualStrategyNumber, F_XID8GE, from,
				   &first_id);
	else
	{
		read_one_transaction(reader, cursor->position_xid);
		read_range(reader, BTGreaterStrategyNumber, F_XID8GT,
				   cursor->position_xid, &first_id);
	}
}

void
wh_news_read(const Cursor *cursor, News *news)
{
	Reader		reader = {0};

	reader.cursor = cursor;
	reader.news = news;
	reader.end = PG_UINT64_MAX;
	if (cursor->high)
		reader.end = DatumGetUInt64(DirectFunctionCall1(pg_snapshot_xmax,
														cursor->high));
	news->events = palloc(news->limit * sizeof(NewEvent));
	open_sources(&reader);
	read_running(&reader);
	read_later(&reader);
	close_sources(&reader);
}
