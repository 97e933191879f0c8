/*
 * launcher.c
 *		Which databases have workers, and stepping aside for who needs them.
 *
 * The launcher is static and has no database; it starts workers, which never
 * restart by themselves.  Which databases have our objects only a process
 * inside some database can read: the scout.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "session.h"
#include "settings.h"
#include "shared.h"
#include "worker.h"

#define RETRY_MS 1000
#define IDLE_MS 60000
#define START_TIMEOUT_MS 10000	/* then a start is taken for lost */
#define COMPLAINT_MS 60000

/* The last scout: its handle, when, where and for which wishes it was sent. */
static BackgroundWorkerHandle *scout;
static int64 scouted_at;
static Oid	scouting_ground;
static uint64 scouted_for;

static bool is_crowded;			/* the server has no place for a worker */

static bool
start_process(const char *function, const char *type,
			  const WorkerArguments *arguments,
			  BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "webhook", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function,
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, type, sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "%s for database %u",
			 type, arguments->database);
	memcpy(worker.bgw_extra, arguments, sizeof(*arguments));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/*
 * Start one worker if its slot asks for it.  The caller holds the lock;
 * returns false when the server has no place for another process.
 */
static bool
start_worker(DatabaseSlot *database, int index)
{
	WorkerSlot *slot = &database->workers[index];
	WorkerArguments arguments = {database->database, index, wh_workers};

	if (slot->pid != 0 || wh_clock_until(slot->next_start) > 0)
		return true;
	if (slot->state == WORKER_STARTING &&
		wh_clock_until(slot->asked_at + START_TIMEOUT_MS * 1000) > 0)
		return true;
	if (!start_process("webhook_worker_main", "webhook worker", &arguments,
					   NULL))
	{
		slot->next_start = wh_clock_in(RETRY_MS);
		strlcpy(slot->last_error, WH_NO_PROCESS, sizeof(slot->last_error));
		slot->last_error_at = GetCurrentTimestamp();
		is_crowded = true;
		return false;
	}
	slot->state = WORKER_STARTING;
	slot->since = GetCurrentTimestamp();
	slot->asked_at = wh_clock_now();
	return true;
}

/* Workers of another layout finish what is on the wire and leave. */
static bool
drain_other_layout(DatabaseSlot *database)
{
	bool		has_others = false;

	for (int i = 0; i < WH_MAX_WORKERS; i++)
	{
		WorkerSlot *slot = &database->workers[i];

		if (slot->pid == 0 || slot->total == wh_workers)
			continue;
		has_others = true;
		if (pg_atomic_exchange_u32(&slot->should_drain, 1) == 0)
			SetLatch(&ProcGlobal->allProcs[slot->procno].procLatch);
	}
	return has_others;
}

/* Returns whether some worker should be there and is not. */
static bool
look_after_database(DatabaseSlot *database)
{
	bool		is_complete = true;

	if (!OidIsValid(database->database) || !database->is_wanted)
		return false;
	if (database->holds > 0 || database->is_barred ||
		drain_other_layout(database))
		return true;
	for (int i = 0; i < wh_workers; i++)
	{
		if (database->workers[i].failures == 3)
		{
			/* Perhaps the database is gone: the scout knows. */
			database->workers[i].failures++;
			pg_atomic_fetch_add_u64(&wh_shared->scout_wishes, 1);
		}
		if (database->workers[i].pid == 0)
			is_complete = false;
		if (!start_worker(database, i))
			break;
	}
	return !is_complete;
}

static void
visit_databases(void (*visit) (Form_pg_database database, void *arg), void *arg)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
		visit((Form_pg_database) GETSTRUCT(tuple), arg);
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/* ALLOW_CONNECTIONS, and not left behind by a DROP DATABASE cut short. */
static bool
lets_connect(Form_pg_database database)
{
	return database->datallowconn && database->datconnlimit != -2;
}

typedef struct Ground
{
	Oid			after;			/* where a scout failed, or InvalidOid */
	Oid			choice;
	uint32		distance;		/* from there, in a circle */
} Ground;

static void
consider_ground(Form_pg_database database, void *arg)
{
	Ground	   *ground = arg;
	uint32		distance = database->oid - ground->after;

	if (!lets_connect(database))
		return;
	if (distance == 0)
		distance = PG_UINT32_MAX;
	else if (!OidIsValid(ground->after) &&
			 strcmp(NameStr(database->datname), "postgres") == 0)
		distance = 0;
	if (!OidIsValid(ground->choice) || distance < ground->distance)
	{
		ground->choice = database->oid;
		ground->distance = distance;
	}
}

/*
 * A database that the scout can connect to: "postgres", or the next one after
 * that in which the last scout failed.
 */
static Oid
choose_scouting_ground(void)
{
	Ground		ground = {InvalidOid, InvalidOid, 0};

	if (pg_atomic_read_u64(&wh_shared->scouted_wishes) < scouted_for)
		ground.after = scouting_ground;
	visit_databases(consider_ground, &ground);
	return ground.choice;
}

static bool
lacks_worker(const DatabaseSlot *slot)
{
	if (!OidIsValid(slot->database) || !slot->is_wanted)
		return false;
	for (int i = 0; i < wh_workers; i++)
	{
		if (slot->workers[i].pid == 0)
			return true;
	}
	return false;
}

/* Notes whether it lets us connect; arg: which slots' databases exist. */
static void
judge_database(Form_pg_database database, void *arg)
{
	bool	   *exists = arg;
	bool		is_barred = !lets_connect(database);
	DatabaseSlot *slot;
	bool		has_changed = false;

	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	slot = wh_shared_find(database->oid);
	if (slot)
		exists[slot - wh_shared->databases] = true;
	if (slot && slot->holds == 0)
	{
		has_changed = slot->is_wanted && slot->is_barred != is_barred;
		slot->is_barred = is_barred;
	}
	LWLockRelease(wh_shared->lock);
	if (has_changed)
		ereport(LOG,
				(is_barred ?
				 errmsg("webhook delivers nothing from database \"%s\": it does not accept connections",
						NameStr(database->datname)) :
				 errmsg("webhook can connect to database \"%s\" again",
						NameStr(database->datname))));
}

/*
 * Before workers are started in vain, which the server would log each time:
 * which databases are there and let us connect.
 */
static void
judge_databases(void)
{
	bool		lacks[WH_MAX_DATABASES];
	bool		exists[WH_MAX_DATABASES] = {false};
	bool		has_any = false;

	LWLockAcquire(wh_shared->lock, LW_SHARED);
	for (int i = 0; i < WH_MAX_DATABASES; i++)
		has_any |= lacks[i] = lacks_worker(&wh_shared->databases[i]);
	LWLockRelease(wh_shared->lock);
	if (!has_any)
		return;
	visit_databases(judge_database, exists);
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WH_MAX_DATABASES; i++)
	{
		if (lacks[i] && !exists[i])
			wh_shared->databases[i].is_wanted = false;
	}
	LWLockRelease(wh_shared->lock);
}

static void
complain_of_crowd(void)
{
	static int64 complaint_at = 0;

	if (!is_crowded || wh_clock_until(complaint_at) > 0)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("webhook could not start a worker: no free background worker slot"),
			 errhint("Raise max_worker_processes and restart the server.")));
	complaint_at = wh_clock_in(COMPLAINT_MS);
	is_crowded = false;
}

static bool
is_scout_wanted(void)
{
	return pg_atomic_read_u64(&wh_shared->scouted_wishes) !=
		pg_atomic_read_u64(&wh_shared->scout_wishes);
}

/* Too soon, or the last one is still looking. */
static bool
must_wait_for_scout(void)
{
	pid_t		pid;

	if (wh_clock_until(scouted_at + RETRY_MS * 1000) > 0)
		return true;
	return scout && GetBackgroundWorkerPid(scout, &pid) != BGWH_STOPPED &&
		wh_clock_until(scouted_at + START_TIMEOUT_MS * 1000) > 0;
}

static void
start_scout(void)
{
	WorkerArguments arguments = {choose_scouting_ground(), 0, 0};

	scouted_at = wh_clock_now();
	if (scout)
		pfree(scout);
	scout = NULL;
	MemoryContextSwitchTo(TopMemoryContext);
	if (!OidIsValid(arguments.database))
		return;
	wh_shared->lacks_scout = !start_process("webhook_scout_main",
											"webhook scout", &arguments,
											&scout);
	if (wh_shared->lacks_scout)
	{
		is_crowded = true;
		return;
	}
	scouting_ground = arguments.database;
	scouted_for = pg_atomic_read_u64(&wh_shared->scout_wishes);
}

static void
forget_launcher(int code, Datum arg)
{
	wh_shared->launcher_procno = -1;
}

void
webhook_launcher_main(Datum arg)
{
	wh_session_heed_reloads();
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);	/* there is no query to cancel */
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	wh_shared->launcher_procno = WH_MY_PROC_NUMBER;
	pg_atomic_fetch_add_u64(&wh_shared->scout_wishes, 1);
	on_shmem_exit(forget_launcher, 0);

	for (;;)
	{
		bool		is_busy = is_scout_wanted();

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (is_scout_wanted() && !must_wait_for_scout())
			start_scout();
		judge_databases();
		LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
		for (int i = 0; i < WH_MAX_DATABASES; i++)
			is_busy |= look_after_database(&wh_shared->databases[i]);
		LWLockRelease(wh_shared->lock);
		complain_of_crowd();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 is_busy ? RETRY_MS : IDLE_MS,
						 WH_WAIT_EVENT("WebhookLauncher"));
	}
}
