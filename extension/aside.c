/*
 * aside.c
 *		Stepping aside: statements that need a database without sessions.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE ... TEMPLATE fail
 * while somebody is connected.  Our workers leave for the statement, and come
 * back unless the database is gone.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "aside.h"
#include "compat.h"
#include "outbox.h"
#include "shared.h"

#define LEAVE_TIMEOUT_MS 5000
#define LEAVE_CHECK_MS 10

static ProcessUtility_hook_type previous_hook = NULL;

/* The database a CREATE DATABASE copies. */
static const char *
template_of(const CreatedbStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return defGetString(option);
	}
	return "template1";
}

static bool
moves_database(const AlterDatabaseStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/* The database that must have no sessions for this statement, or NULL. */
static const char *
database_of(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) statement);
		case T_AlterDatabaseStmt:
			if (moves_database((AlterDatabaseStmt *) statement))
				return ((AlterDatabaseStmt *) statement)->dbname;
			return NULL;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		default:
			return NULL;
	}
}

static bool
drops_extension(Node *statement)
{
	ListCell   *cell;

	if (!IsA(statement, DropStmt) ||
		((DropStmt *) statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) statement)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "webhook") == 0)
			return true;
	}
	return false;
}

/*
 * DROP EXTENSION locks our tables in an order of its own, and would meet a
 * session that emits in a deadlock: emit locks the outbox before all others.
 * So does the statement, if it may run at all.
 */
static void
lock_outbox(void)
{
	Oid			extension = get_extension_oid("webhook", true);

	if (OidIsValid(extension) && wh_compat_owns_extension(extension))
		(void) RangeVarGetRelid(makeRangeVar("webhook", "event", -1),
								AccessExclusiveLock, true);
}

/* Statements after whose commit our workers should look around. */
static bool
concerns_workers(Node *statement)
{
	if (IsA(statement, DropStmt))
		return ((DropStmt *) statement)->removeType == OBJECT_EXTENSION ||
			((DropStmt *) statement)->removeType == OBJECT_SCHEMA;
	return IsA(statement, AlterExtensionStmt);
}

static int
count_workers(DatabaseSlot *slot, bool should_end)
{
	int			count = 0;

	LWLockAcquire(wh_shared->lock, LW_SHARED);
	for (int i = 0; i < WH_MAX_WORKERS; i++)
	{
		if (slot->workers[i].pid == 0)
			continue;
		count++;
		if (should_end)
			kill(slot->workers[i].pid, SIGTERM);
	}
	LWLockRelease(wh_shared->lock);
	return count;
}

static void
change_holds(DatabaseSlot *slot, int difference)
{
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	slot->holds += difference;
	LWLockRelease(wh_shared->lock);
	wh_shared_wake_launcher();
}

/* After an error, or in a session that is terminated. */
static void
let_workers_in(int code, Datum slot)
{
	change_holds((DatabaseSlot *) DatumGetPointer(slot), -1);
}

static void
wait_for_leave(DatabaseSlot *slot)
{
	int			waited = 0;

	if (count_workers(slot, true) == 0)
		return;
	while (count_workers(slot, false) > 0 && waited < LEAVE_TIMEOUT_MS)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LEAVE_CHECK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		waited += LEAVE_CHECK_MS;
	}
}

/* The database is gone: nobody is to start workers in vain. */
static void
give_up(DatabaseSlot *slot)
{
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	slot->is_wanted = false;
	LWLockRelease(wh_shared->lock);
}

static bool
is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		result;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Who may not do it anyway must not make our workers leave.  A template may be
 * copied by others than its owner.
 */
static bool
may_have_it_alone(Node *statement, Oid database)
{
	if (!IsA(statement, CreatedbStmt))
		return wh_compat_owns_database(database);
	return may_create_databases() &&
		(is_template(database) || wh_compat_owns_database(database));
}

static DatabaseSlot *
find_slot(Node *statement)
{
	const char *name = database_of(statement);
	Oid			database = name ? get_database_oid(name, true) : InvalidOid;
	DatabaseSlot *slot = NULL;

	if (!OidIsValid(database) || !may_have_it_alone(statement, database))
		return NULL;
	LWLockAcquire(wh_shared->lock, LW_SHARED);
	slot = wh_shared_find(database);
	LWLockRelease(wh_shared->lock);
	return slot;
}

static void
run_utility(PlannedStmt *pstmt, const char *query, bool is_read_only,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *environment, DestReceiver *receiver,
			QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(pstmt, query, is_read_only, context, params,
					  environment, receiver, completion);
	else
		standard_ProcessUtility(pstmt, query, is_read_only, context, params,
								environment, receiver, completion);
}

static bool
commits_prepared(Node *statement)
{
	return IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;
}

/*
 * What was prepared may have been CREATE EXTENSION, and is visible now.  Where
 * workers are wanted already nobody has to look.
 */
static void
announce_what_was_prepared(void)
{
	wh_commit_announce_prepared();
	if (wh_shared_is_wanted(MyDatabaseId))
		return;
	AcceptInvalidationMessages();
	if (OidIsValid(get_extension_oid("webhook", true)))
		wh_commit_announce_installation();
}

static void
step_aside(PlannedStmt *pstmt, const char *query, bool is_read_only,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	Node	   *statement = pstmt->utilityStmt;
	DatabaseSlot *volatile slot = NULL;

	/* Asked now: once it has run, the statement may be gone. */
	bool		is_commit = commits_prepared(statement);
	volatile bool is_drop = IsA(statement, DropdbStmt);

	if (IsTransactionState() && !is_commit)
	{
		slot = find_slot(statement);
		if (drops_extension(statement))
			lock_outbox();
		if (concerns_workers(statement))
			wh_commit_announce_config();
		if (IsA(statement, CreatedbStmt))
			wh_commit_announce_database();
	}
	if (slot == NULL)
	{
		run_utility(pstmt, query, is_read_only, context, params, environment,
					receiver, completion);
		if (is_commit)
			announce_what_was_prepared();
		return;
	}
	change_holds(slot, 1);
	PG_ENSURE_ERROR_CLEANUP(let_workers_in, PointerGetDatum(slot));
	{
		wait_for_leave(slot);
		run_utility(pstmt, query, is_read_only, context, params, environment,
					receiver, completion);
		if (is_drop)
			give_up(slot);
	}
	PG_END_ENSURE_ERROR_CLEANUP(let_workers_in, PointerGetDatum(slot));
	change_holds(slot, -1);
}

void
wh_aside_install(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = step_aside;
}
