/*
 * ready.c
 *		Getting a worker ready: what must hold before it may send.
 *
 * The extension is there in our version, the database is no copy, and the
 * shards are ours.  Each in a short transaction of its own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "inspect.h"
#include "queue.h"
#include "ready.h"
#include "session.h"
#include "settings.h"
#include "slot.h"
#include "statement.h"
#include "take.h"

#define CLOCK_STEP_US 1000000	/* then somebody set the wall clock */

static Oid	extension = InvalidOid; /* the one this worker serves */
static int64 own_shards;		/* those of this worker; 0: not started */

/* For the server's log, once each.  In a transaction. */
static void
tell(WorkerState state)
{
	static const char *const reasons[] = {
		[WORKER_OFF] = "webhook.enabled is off",
		[WORKER_COPY] = "the database is a copy that was not adopted",
		[WORKER_CURSOR] = "rows of webhook.cursor are missing",
		[WORKER_VERSION] = "library and SQL objects differ",
		[WORKER_READ_ONLY] = "default_transaction_read_only is on"
	};
	static WorkerState told = WORKER_RUNNING;

	if (state == told)
		return;
	told = state;
	if (state == WORKER_RUNNING)
		ereport(LOG,
				(errmsg("webhook worker of database \"%s\" delivers again",
						get_database_name(MyDatabaseId))));
	else
		ereport(LOG,
				(errmsg("webhook worker of database \"%s\" sends nothing: %s",
						get_database_name(MyDatabaseId), reasons[state])));
}

WorkerState
wh_ready_check(void)
{
	MemoryContext caller = CurrentMemoryContext;
	uint64		wants = wh_slot_wants();
	char	   *version;
	Oid			found;
	WorkerState state = WORKER_RUNNING;

	StartTransactionCommand();
	found = get_extension_oid("webhook", true);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	if (!OidIsValid(found))
	{
		wh_slot_unwanted(wants);
		proc_exit(0);
	}

	wh_session_begin("checking the installation");
	found = wh_queue_extension(&version);
	if (!OidIsValid(found) || (extension && found != extension))
		proc_exit(0);			/* dropped, perhaps made anew: start over */
	extension = found;
	if (strcmp(version, WEBHOOK_VERSION) != 0)
		state = WORKER_VERSION;
	else if (wh_session_is_read_only())
		state = WORKER_READ_ONLY;
	else if (!wh_queue_check_identity())
		state = WORKER_COPY;
	else if (!own_shards && !wh_queue_check_cursors())
		state = WORKER_CURSOR;
	if (state == WORKER_RUNNING && !wh_enabled)
		state = WORKER_OFF;
	tell(state);
	wh_session_commit(false);
	return state;
}

/* The shards of one of several workers: every total-th, from index on. */
static int64
shards_of(int index, int total)
{
	uint64		mask = 0;

	for (int shard = index; shard < WH_SHARDS; shard += total)
		mask |= UINT64CONST(1) << shard;
	return (int64) mask;
}

/*
 * Own our shards for as long as this process lives.  The lock is on the
 * extension, where ordinary users cannot take one, and waits for the owner
 * before us to finish.  It is of the user lock method: a session lock of the
 * default one ends with any transaction that fails, and outlives a process
 * that exits between two of them.
 */
static void
lock_shards(int64 shards)
{
	for (int shard = 0; shard < WH_SHARDS; shard++)
	{
		LOCKTAG		tag;

		if ((((uint64) shards >> shard) & 1) == 0)
			continue;
		SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId,
						   extension, shard + 1);
		tag.locktag_lockmethodid = USER_LOCKMETHOD;
		(void) LockAcquire(&tag, ExclusiveLock, true, false);
	}
}

void
wh_ready_start(int index, int total)
{
	int64		ours = shards_of(index, total);

	wh_session_begin("waiting for shards");
	lock_shards(ours);
	wh_session_commit(false);
	wh_session_begin("starting");
	wh_take_start(ours);
	wh_queue_set_back(ours, 0);
	wh_session_commit(true);
	own_shards = ours;
}

void
wh_ready_notice_clock(void)
{
	static int64 last_offset;	/* of the wall clock from the monotonic one */
	int64		began = wh_clock_now();
	int64		offset = GetCurrentTimestamp() - began;

	if (wh_clock_now() - began > CLOCK_STEP_US / 2)
		return;					/* stopped in between: it tells nothing */
	if (own_shards && last_offset - offset > CLOCK_STEP_US)
	{
		wh_session_begin("following the clock");
		wh_queue_set_back(own_shards, last_offset - offset);
		wh_session_commit(false);
		wh_roster_forget_due();
	}
	last_offset = offset;
}

bool
wh_ready_maintain(void)
{
	static Statement maintain = {
		"select webhook._maintain()", SPI_OK_SELECT, 0, {0}
	};
	bool		is_null;
	bool		is_done;

	wh_inspect_clock();
	wh_session_begin("maintaining partitions");
	wh_statement_run(&maintain, NULL, NULL, false);
	is_done = DatumGetBool(wh_statement_column(0, 1, &is_null));
	wh_session_commit(false);
	return is_done;
}
