/*
 * session.c
 *		The worker's database session: short transactions as the owner role.
 *
 * The role is set after each transaction start and inside a security-
 * restricted operation: a plain SET ROLE could be undone by a hostile trigger.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalogue.h"
#include "clock.h"
#include "session.h"

#define WARY_MS 20000
#define LARGE_PAGES 1000
#define LARGE_TUPLES (50.0 * LARGE_PAGES)

static Oid	session_user_id;
static int64 meets_locks_until; /* 0: it never did */
static volatile bool is_committing; /* read by the handler of SIGINT */
static get_relation_info_hook_type next_relation_info;
static MemoryContext caller_context;	/* the server leaves us in another */

static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"statement_timeout", "0"},
		{"lock_timeout", "250ms"},	/* below deadlock_timeout: we yield */
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"default_tablespace", ""},
		{"default_table_access_method", "heap"},
		{"session_replication_role", "origin"},
		{"row_security", "off"},
		{"check_function_bodies", "on"},
		{"client_min_messages", "error"},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"plan_cache_mode", "force_generic_plan"},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_nestloop", "on"},
		{"enable_indexscan", "on"},
		{"enable_indexonlyscan", "on"},
		{"enable_memoize", "off"},	/* no key comes twice */
		{"enable_tidscan", "on"},
		{"enable_sort", "on"},
		{"enable_material", "on"},
		{"enable_partition_pruning", "on"},
		{"from_collapse_limit", "8"},
		{"join_collapse_limit", "8"},
		{"geqo", "on"},
		{"random_page_cost", "4"},
		{"seq_page_cost", "1"},
		{"cpu_tuple_cost", "0.01"},
		{"cpu_index_tuple_cost", "0.005"},
		{"cpu_operator_cost", "0.0025"},
		{"array_nulls", "on"},
		{"transform_null_equals", "off"},
		{"extra_float_digits", "1"},
	};

	for (int i = 0; i < lengthof(pinned); i++)
	{
		if (GetConfigOption(pinned[i][0], true, false))
			SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET,
							PGC_S_OVERRIDE);
	}
}

/*
 * Plans are kept, and tables grow: a queue that was empty when it was analysed
 * has a million rows a minute later, and a plan that reads all of them for each
 * key it is given.  So in this process every table of users is large.
 */
static void
assume_large(PlannerInfo *root, Oid table, bool inhparent, RelOptInfo *rel)
{
	ListCell   *cell;

	if (next_relation_info)
		next_relation_info(root, table, inhparent, rel);
	if (inhparent || table < FirstNormalObjectId)
		return;
	rel->pages = Max(rel->pages, LARGE_PAGES);
	rel->tuples = Max(rel->tuples, LARGE_TUPLES);
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);

		index->pages = Max(index->pages, LARGE_PAGES / 2);
		index->tuples = rel->tuples;
		index->tree_height = Max(index->tree_height, 1);
	}
}

/*
 * SIGTERM: leave in good order.  A statement or the wait for a standby is cut
 * short as if cancelled; the process would not come to leaving otherwise.  A
 * second one does not disturb the leaving.
 */
static void
request_shutdown(SIGNAL_ARGS)
{
	int			saved = errno;

	if (!ShutdownRequestPending)
		InterruptPending = QueryCancelPending = true;
	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	errno = saved;
}

/*
 * SIGINT: a lock timeout, or somebody who cancels.  The latter would end the
 * wait for a standby, and what was taken would be sent unreplicated.
 */
static void
cancel_statement(SIGNAL_ARGS)
{
	if (!is_committing)			/* which waits for no lock */
		StatementCancelHandler(postgres_signal_arg);
}

void
wh_session_heed_reloads(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	ConfigReloadPending = true;
}

void
wh_session_connect(Oid database)
{
	wh_session_heed_reloads();
	pqsignal(SIGTERM, request_shutdown);
	pqsignal(SIGINT, cancel_statement);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	session_user_id = GetUserId();
	pin_settings();
	next_relation_info = get_relation_info_hook;
	get_relation_info_hook = assume_large;
}

void
wh_session_begin(const char *activity)
{
	Oid			owner;

	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	caller_context = CurrentMemoryContext;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	owner = wh_owner_role();
	SetUserIdAndSecContext(owner, SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

static void
finish(void)
{
	SetUserIdAndSecContext(session_user_id, 0);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * What is durable is flushed, and waits for standbys if the server or the
 * database is configured so; nothing else waits.  NULL: as configured.
 */
static const char *
commit_level(bool is_durable)
{
	if (!is_durable)
		return "off";
	return synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH ? NULL : "local";
}

void
wh_session_commit(bool is_durable)
{
	const char *level = commit_level(is_durable);

	SPI_finish();
	PopActiveSnapshot();

	/* From PGC_S_OVERRIDE it would become the default, local or not. */
	if (level)
		(void) set_config_option("synchronous_commit", level, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	is_committing = true;
	CHECK_FOR_INTERRUPTS();		/* who cancelled before must not do so within */
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller_context);
	is_committing = false;
	finish();
}

void
wh_session_note_lock(void)
{
	meets_locks_until = wh_clock_in(WARY_MS);
}

bool
wh_session_meets_locks(void)
{
	return meets_locks_until != 0 && wh_clock_until(meets_locks_until) > 0;
}

bool
wh_session_is_worker(void)
{
	return OidIsValid(session_user_id);
}

bool
wh_session_is_read_only(void)
{
	return XactReadOnly;
}

void
wh_session_abort(void)
{
	is_committing = false;
	LWLockReleaseAll();			/* nobody else does outside a transaction */
	AbortCurrentTransaction();
	finish();
}

bool
wh_session_has_changed(void)
{
	static TransactionId last_xmin,
				last_xmax;
	static uint32 last_count;
	static uint64 last_sum;
	Snapshot	snapshot;
	uint64		sum = 0;
	bool		has_changed;
	MemoryContext caller = CurrentMemoryContext;

	StartTransactionCommand();
	snapshot = GetTransactionSnapshot();
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		sum += (uint64) snapshot->xip[i] * snapshot->xip[i];
	has_changed = snapshot->xmin != last_xmin || snapshot->xmax != last_xmax ||
		snapshot->xcnt != last_count || sum != last_sum;
	last_xmin = snapshot->xmin;
	last_xmax = snapshot->xmax;
	last_count = snapshot->xcnt;
	last_sum = sum;
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return has_changed;
}
