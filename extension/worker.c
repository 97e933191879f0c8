/*
 * worker.c
 *		The delivery worker: take, send, record, sleep.
 *
 * One process per share of a database's endpoints.  It never waits for the
 * network inside a transaction and sleeps in one place, on its latch, on
 * libcurl's sockets and on a timer.  What is on the wire lives in this
 * process; what matters after a crash are rows, written before and after.
 */
#include "postgres.h"

#include <malloc.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "front.h"
#include "gone.h"
#include "pace.h"
#include "ready.h"
#include "record.h"
#include "results.h"
#include "send.h"
#include "session.h"
#include "settings.h"
#include "slot.h"
#include "take.h"
#include "trouble.h"

#define WAITING_MS 20			/* between looks past full endpoints */
#define SAFETY_MS 5000			/* look for commits that woke nobody */
#define TURN_SIZE (256 * 1024)	/* memory of a turn that is kept */
#define KEPT_SIZE (16 * 1024 * 1024)	/* free memory not given back */
#define SAVE_MS 200				/* how far a cursor's row may lag behind */
#define MAINTENANCE_MS (10 * 60 * 1000)
#define MAINTENANCE_RETRY_MS 1000
#define DRAIN_MS 5000			/* time to finish before leaving a layout */

static struct
{
	int			index;
	int			total;			/* workers that share the endpoints */
	MemoryContext turn_context;
	WaitEventSet *waits;
	int64		safety_at;		/* this one and the next: see clock.h */
	int64		save_at;		/* an unsaved cursor; 0: there is none */
	int64		maintenance_at;
	int64		drain_at;		/* what hangs is given back; 0: not asked */
	uint64		config_generation;
	uint64		due_generation;
	bool		has_news;
	bool		is_ready;		/* shards owned, cursors loaded */
	bool		has_failed;		/* the last turn did, in part */
	WorkerState verdict;		/* whether it may send, and why not */
}			worker;

/* Whether we may send, and to whom: all of them, or what has changed. */
static void
look_at_config(bool is_anew)
{
	WorkerState state = wh_ready_check();

	if (state == WORKER_RUNNING && !worker.is_ready)
	{
		wh_ready_start(worker.index, worker.total);
		worker.is_ready = worker.has_news = true;
	}
	if (state == WORKER_RUNNING)
	{
		wh_take_learn_endpoints();
		if (is_anew)
			wh_roster_forget_config();
	}
	if (state != worker.verdict)
		worker.has_news = true;
	worker.verdict = state;
	if (!worker.has_failed)
		wh_slot_set_state(state);
}

/* React to reloads and to what other sessions committed. */
static void
notice_changes(void)
{
	DatabaseSlot *database = wh_slot_database();
	uint64		config = pg_atomic_read_u64(&database->config_generation);
	uint64		due = pg_atomic_read_u64(&database->due_generation);
	bool		is_anew = ConfigReloadPending;

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		if (!wh_send_configure())
			return;
	}
	if (due != worker.due_generation)
	{
		worker.due_generation = due;
		if (worker.is_ready)
			wh_roster_forget_due();
	}
	is_anew |= wh_slot_notice_prepared() || worker.has_failed ||
		worker.verdict != WORKER_RUNNING;
	if (config != worker.config_generation || is_anew)
		look_at_config(is_anew);
	worker.config_generation = config;
}

static bool
may_take(void)
{
	return worker.verdict == WORKER_RUNNING && worker.is_ready &&
		pg_atomic_read_u32(&wh_slot_mine()->should_drain) == 0;
}

static bool
has_news(void)
{
	return worker.has_news || wh_slot_may_have_news();
}

static bool
has_work(void)
{
	return has_news() || wh_front_has_more() ||
		wh_roster_earliest_due() <= GetCurrentTimestamp();
}

/* How many more may be on the wire or in hand. */
static int
free_places(void)
{
	return Max(wh_settings_places() - wh_send_in_flight() - wh_results_count(), 0);
}

/* Take what can start, and send it. */
static void
take_and_send(void)
{
	int			places = free_places();
	bool		had_news;
	Delivery   *list;

	wh_send(NULL);				/* what a failure has kept from it */
	if (!may_take() || places == 0 || !has_work() ||
		wh_pace_time_to_take() > 0)
		return;

	/*
	 * Cleared before we read, so that what commits meanwhile is news again;
	 * and only now, so that until then no commit has to wake us.
	 */
	had_news = wh_slot_take_news() || worker.has_news;
	worker.has_news = false;
	if (!had_news && !has_work())
		return;
	list = wh_take(places, had_news);
	wh_send(list);
	if (wh_pace_note_take(list != NULL))
		wh_slot_await_news();
}

/*
 * Partitions ahead, retention: the first worker's work, now and then.  Not
 * before the first event was taken: a dump may be coming in, with partitions.
 */
static void
maintain(void)
{
	if (worker.index != 0 || !worker.is_ready || !wh_take_has_taken() ||
		wh_clock_until(worker.maintenance_at) > 0)
		return;
	/* First, so that a failure is not tried again in the next turn. */
	worker.maintenance_at = wh_clock_in(MAINTENANCE_MS);
	if (!wh_ready_maintain())
		worker.maintenance_at = wh_clock_in(MAINTENANCE_RETRY_MS);
}

/* Commits that set no flag, such as COMMIT PREPARED by an old session. */
static void
look_for_missed_commits(void)
{
	if (wh_clock_until(worker.safety_at) > 0)
		return;
	worker.safety_at = wh_clock_in(SAFETY_MS);
	if (wh_session_has_changed())
		worker.has_news = true;

	/* Due rows that were passed, because somebody had locked them. */
	if (worker.is_ready && wh_session_meets_locks())
		wh_roster_forget_due();
}

/* Events that nobody receives cost a commit now and then, not each time. */
static void
save_cursors(void)
{
	if (!wh_front_is_unsaved())
		worker.save_at = 0;
	else if (worker.save_at == 0)
		worker.save_at = wh_clock_in(SAVE_MS);
	else if (wh_clock_until(worker.save_at) == 0)
	{
		wh_front_save();
		worker.save_at = 0;
	}
}

static void
look_and_take(void)
{
	wh_ready_notice_clock();
	notice_changes();
	look_for_missed_commits();
	if (may_take())
		wh_gone_cancel_some();
	take_and_send();
	save_cursors();
}

static void
record_when_worth_while(void)
{
	if (wh_results_count() > 0 && wh_pace_time_to_record() == 0)
		wh_results_record();
}

/* One step that fails, say for a lock, does not keep the others from work. */
static void
turn(void)
{
	bool		is_fine;

	MemoryContextReset(worker.turn_context);
	if (wh_trouble_pause() > 0)
	{
		wh_results_collect();
		return;
	}
	is_fine = wh_trouble_run(look_and_take, worker.turn_context);

	/*
	 * Both may have cut short the wait for a standby: then what was taken is
	 * given back, before its first byte leaves.  The second is how that wait
	 * says that the postmaster is gone.
	 */
	if (ShutdownRequestPending || ProcDiePending)
		return;
	wh_results_collect();
	is_fine &= wh_trouble_run(record_when_worth_while, worker.turn_context);
	is_fine &= wh_trouble_run(maintain, worker.turn_context);
	if (!is_fine)
		worker.has_news = true; /* look again at what was not taken */
	if (is_fine == worker.has_failed)
	{
		worker.has_failed = !is_fine;
		if (worker.is_ready && (is_fine || wh_trouble_pause() > 0))
			wh_slot_set_state(is_fine ? worker.verdict : WORKER_FAILING);
	}
	pg_atomic_write_u32(&wh_slot_mine()->in_flight, wh_send_in_flight());
}

/* How long nothing has to be done, in milliseconds. */
static long
time_to_sleep(void)
{
	long		timeout = wh_send_timeout();
	long		work = wh_clock_until(worker.safety_at);

	if (worker.drain_at != 0)
		work = Min(work, wh_clock_until(worker.drain_at));
	if (wh_trouble_pause() > 0)
		work = wh_trouble_pause();
	else
	{
		if (wh_results_count() > 0)
			work = Min(work, wh_pace_time_to_record());
		if (wh_slot_time_to_prepared() >= 0)
			work = Min(work, wh_slot_time_to_prepared());
		if (worker.save_at)
			work = Min(work, wh_clock_until(worker.save_at));
		if (may_take())
		{
			bool		has_places = free_places() > 0;

			if (has_places && (has_news() || wh_front_has_more()))
				work = Min(work, wh_pace_time_to_take());
			else if (wh_front_is_waiting())
				work = Min(work, WAITING_MS);
			if (has_places && wh_roster_earliest_due() < DT_NOEND)
				work = Min(work, Max(wh_roster_time_to_due(), 1));
		}
	}
	return timeout >= 0 ? Min(timeout, work) : work;
}

static void
sleep_until_something_happens(void)
{
	static uint32 wait_event = 0;
	WaitEvent	event;

	if (wait_event == 0)
		wait_event = WH_WAIT_EVENT("WebhookMain");
	(void) WaitEventSetWait(worker.waits, time_to_sleep(), &event, 1,
							wait_event);
	ResetLatch(MyLatch);
	QueryCancelPending = false; /* there is no query */
	CHECK_FOR_INTERRUPTS();
}

/*
 * Another layout of workers takes over: finish what is on the wire, but let
 * one request that hangs not keep the others' endpoints waiting.
 */
static bool
has_drained(void)
{
	if (pg_atomic_read_u32(&wh_slot_mine()->should_drain) == 0)
		return false;
	if (wh_send_in_flight() == 0 && wh_results_count() == 0)
		return true;
	if (worker.drain_at == 0)
		worker.drain_at = wh_clock_in(DRAIN_MS);
	return wh_clock_until(worker.drain_at) == 0;
}

static void
give_back(void)
{
	Delivery  **deliveries;
	int			count = wh_send_list(&deliveries);

	if (count > 0)
		wh_record_give_back(deliveries, count);
}

/*
 * Leaving: what has ended is recorded, what has not does not count.  Before
 * the process exits, while lock_timeout works: who holds a lock must not hold
 * up the shutdown of the server.
 */
static void
leave(void)
{
	QueryCancelPending = false; /* it was meant for what went before */
	if (worker.is_ready)
	{
		if (wh_results_count() > 0)
			wh_trouble_run(wh_results_record, worker.turn_context);
		wh_trouble_run(give_back, worker.turn_context);
	}
	proc_exit(0);
}

void
webhook_worker_main(Datum arg)
{
	WorkerArguments arguments;

	memcpy(&arguments, MyBgworkerEntry->bgw_extra, sizeof(arguments));
	wh_slot_claim(&arguments);
	wh_session_connect(arguments.database);
	worker.index = arguments.index;
	worker.total = arguments.total;
	worker.turn_context = AllocSetContextCreate(TopMemoryContext,
												"webhook turn",
												TURN_SIZE, TURN_SIZE,
												ALLOCSET_DEFAULT_MAXSIZE);
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_SIZE);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_SIZE);
	if (!wh_send_configure())
		elog(FATAL, "could not start libcurl");
	worker.waits = WH_CREATE_WAIT_EVENT_SET(TopMemoryContext, 3);
	AddWaitEventToSet(worker.waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch,
					  NULL);
	AddWaitEventToSet(worker.waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET,
					  NULL, NULL);
	AddWaitEventToSet(worker.waits, WL_SOCKET_READABLE, wh_send_descriptor(),
					  NULL, NULL);
	for (;;)
	{
		turn();
		if (ShutdownRequestPending || has_drained())
			leave();
		sleep_until_something_happens();
	}
}
