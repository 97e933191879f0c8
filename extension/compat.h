/*
 * compat.h
 *		The differences between PostgreSQL 15, 16, 17 and 18 that concern us.
 *
 * The only file with conditions on PG_VERSION_NUM; everything else is
 * written against one spelling.  Include it after the server's headers.
 */
#ifndef WH_COMPAT_H
#define WH_COMPAT_H

#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

/* Out of postgres.h since 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 150000
#error "webhook needs PostgreSQL 15 or later"
#endif

/* A PGPROC is found by its number; 17 renamed number and field. */
#if PG_VERSION_NUM >= 170000
#define WH_MY_PROC_NUMBER MyProcNumber
#else
#define WH_MY_PROC_NUMBER (MyProc->pgprocno)
#endif

/* Wait events of our own exist from 17 on. */
#if PG_VERSION_NUM >= 170000
#define WH_WAIT_EVENT(name) WaitEventExtensionNew(name)
#else
#define WH_WAIT_EVENT(name) PG_WAIT_EXTENSION
#endif

/* A wait event set belongs to a resource owner from 17 on. */
#if PG_VERSION_NUM >= 170000
#define WH_CREATE_WAIT_EVENT_SET(context, size) \
	CreateWaitEventSet(NULL, size)
#else
#define WH_CREATE_WAIT_EVENT_SET(context, size) \
	CreateWaitEventSet(context, size)
#endif

/* Primary keys may be deferrable, if asked for, from 18 on. */
#if PG_VERSION_NUM >= 180000
#define WH_PRIMARY_KEY_INDEX(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define WH_PRIMARY_KEY_INDEX(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* Base64 is made of unsigned bytes from 18 on. */
#if PG_VERSION_NUM >= 180000
#define WH_BASE64_SOURCE(bytes) (bytes)
#else
#define WH_BASE64_SOURCE(bytes) ((const char *) (bytes))
#endif

/* A scan of an index may be instrumented from 18 on. */
#if PG_VERSION_NUM >= 180000
#define WH_INDEX_BEGINSCAN(table, index, snapshot, keys) \
	index_beginscan(table, index, snapshot, NULL, keys, 0)
#else
#define WH_INDEX_BEGINSCAN(table, index, snapshot, keys) \
	index_beginscan(table, index, snapshot, keys, 0)
#endif

/* Ownership checks became one function in 16. */
static inline bool
wh_compat_owns_database(Oid database)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, GetUserId());
#else
	return pg_database_ownercheck(database, GetUserId());
#endif
}

static inline bool
wh_compat_owns_extension(Oid extension)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ExtensionRelationId, extension, GetUserId());
#else
	return pg_extension_ownercheck(extension, GetUserId());
#endif
}

/* Permissions left the range table entry in 16; 18 wants unpruned entries. */
static inline void
wh_compat_init_range_table(EState *estate, RangeTblEntry *entry)
{
#if PG_VERSION_NUM >= 180000
	ExecInitRangeTable(estate, list_make1(entry), NIL,
					   bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
	ExecInitRangeTable(estate, list_make1(entry), NIL);
#else
	ExecInitRangeTable(estate, list_make1(entry));
#endif
}

/* Columns that no tuple holds came with 18: what computes one, or NULL. */
static inline Node *
wh_compat_virtual_column(Relation rel, int number)
{
#if PG_VERSION_NUM >= 180000
	if (TupleDescAttr(RelationGetDescr(rel), number - 1)->attgenerated ==
		ATTRIBUTE_GENERATED_VIRTUAL)
		return build_generation_expression(rel, number);
#endif
	return NULL;
}

/* 16 learned to leave out indexes that do not summarize. */
static inline List *
wh_compat_insert_index_tuples(ResultRelInfo *result, TupleTableSlot *slot,
							  EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL,
								 NIL, false);
#else
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL,
								 NIL);
#endif
}

#endif							/* WH_COMPAT_H */
