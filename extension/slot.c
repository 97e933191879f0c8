/*
 * slot.c
 *		The worker's own place in shared memory, and what it lets others see.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "slot.h"

#define PREPARED_MS 1000

static DatabaseSlot *database;
static WorkerSlot *slot;
static uint64 prepared_generation;	/* that we have looked at */
static int64 prepared_at;		/* not before; see clock.h */

static void
release_slot(int code, Datum arg)
{
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->procno = -1;
	slot->state = WORKER_NONE;
	slot->since = GetCurrentTimestamp();
	if (code != 0)
		slot->failures++;
	slot->next_start = code == 0 ? 0 : wh_clock_in(Min(250 << Min(slot->failures, 4), 4000));
	pg_atomic_write_u32(&slot->in_flight, 0);
	LWLockRelease(wh_shared->lock);
	wh_shared_wake_launcher();
}

/* The caller holds the lock. */
static void
claim(WorkerSlot *place, int total)
{
	slot = place;
	slot->pid = MyProcPid;
	slot->procno = WH_MY_PROC_NUMBER;
	slot->total = total;
	slot->state = WORKER_STARTING;
	slot->since = GetCurrentTimestamp();
	pg_atomic_write_u32(&slot->news, NEWS_SOME);
	pg_atomic_write_u32(&slot->should_drain, 0);
}

void
wh_slot_claim(const WorkerArguments *arguments)
{
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	database = wh_shared_find(arguments->database);
	if (database)
	{
		WorkerSlot *place = &database->workers[arguments->index];

		if (place->pid == 0 && database->is_wanted && database->holds == 0)
			claim(place, arguments->total);
		else if (place->pid == 0)
			place->state = WORKER_NONE; /* so that it can be asked for again */
	}
	LWLockRelease(wh_shared->lock);
	if (slot == NULL)
		proc_exit(0);
	on_shmem_exit(release_slot, 0);
}

DatabaseSlot *
wh_slot_database(void)
{
	return database;
}

WorkerSlot *
wh_slot_mine(void)
{
	return slot;
}

void
wh_slot_set_state(WorkerState state)
{
	if (slot->state == state)
		return;
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	slot->state = state;
	slot->since = GetCurrentTimestamp();
	if (state == WORKER_RUNNING)
		slot->failures = 0;
	LWLockRelease(wh_shared->lock);
}

void
wh_slot_set_error(const char *message)
{
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->last_error, message, sizeof(slot->last_error));
	slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(wh_shared->lock);
}

long
wh_slot_time_to_prepared(void)
{
	if (pg_atomic_read_u64(&database->prepared_generation) == prepared_generation)
		return -1;
	return wh_clock_until(prepared_at);
}

bool
wh_slot_notice_prepared(void)
{
	if (wh_slot_time_to_prepared() != 0)
		return false;
	prepared_generation = pg_atomic_read_u64(&database->prepared_generation);
	prepared_at = wh_clock_in(PREPARED_MS);
	return true;
}

uint64
wh_slot_wants(void)
{
	uint64		wants;

	LWLockAcquire(wh_shared->lock, LW_SHARED);
	wants = database->wants;
	LWLockRelease(wh_shared->lock);
	return wants;
}

void
wh_slot_unwanted(uint64 wants)
{
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	if (database->wants == wants)
		database->is_wanted = false;
	LWLockRelease(wh_shared->lock);
}

bool
wh_slot_may_have_news(void)
{
	return pg_atomic_read_u32(&slot->news) != NEWS_NONE;
}

bool
wh_slot_take_news(void)
{
	return pg_atomic_exchange_u32(&slot->news, NEWS_NONE) == NEWS_SOME;
}

/* Not where there is news already. */
void
wh_slot_await_news(void)
{
	uint32		none = NEWS_NONE;

	pg_atomic_compare_exchange_u32(&slot->news, &none, NEWS_AWAITED);
}
