/*
 * shared.c
 *		Shared memory: its allocation, and who can be woken through it.
 *
 * Setting a latch by procno without the lock may wake a process that has
 * nothing to do with us when the slot's owner has just left; every waiter in
 * the server tolerates that.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "shared.h"

SharedState *wh_shared = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
	RequestAddinShmemSpace(wh_stats_size());
	RequestNamedLWLockTranche("webhook", 2);
}

static void
initialize_database(DatabaseSlot *slot)
{
	memset(slot, 0, sizeof(*slot));
	pg_atomic_init_u64(&slot->config_generation, 1);
	pg_atomic_init_u64(&slot->due_generation, 1);
	pg_atomic_init_u64(&slot->prepared_generation, 1);
	wh_stats_initialize(&slot->stats);
	for (int i = 0; i < WH_MAX_WORKERS; i++)
	{
		slot->workers[i].procno = -1;
		pg_atomic_init_u32(&slot->workers[i].news, NEWS_NONE);
		pg_atomic_init_u32(&slot->workers[i].in_flight, 0);
		pg_atomic_init_u32(&slot->workers[i].should_drain, 0);
	}
}

static void
start_memory(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	wh_shared = ShmemInitStruct("webhook", sizeof(SharedState), &found);
	if (!found)
	{
		wh_shared->lock = &GetNamedLWLockTranche("webhook")[0].lock;
		wh_shared->launcher_procno = -1;
		pg_atomic_init_u64(&wh_shared->scout_wishes, 1);
		pg_atomic_init_u64(&wh_shared->scouted_wishes, 0);
		wh_shared->lacks_scout = false;
		wh_shared->clock_offset = wh_shared->clock_jump = 0;
		for (int i = 0; i < WH_MAX_DATABASES; i++)
			initialize_database(&wh_shared->databases[i]);
	}
	wh_stats_start(&GetNamedLWLockTranche("webhook")[1].lock);
	LWLockRelease(AddinShmemInitLock);
}

void
wh_shared_install(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

DatabaseSlot *
wh_shared_find(Oid database)
{
	Assert(LWLockHeldByMe(wh_shared->lock));
	for (int i = 0; i < WH_MAX_DATABASES; i++)
	{
		if (wh_shared->databases[i].database == database)
			return &wh_shared->databases[i];
	}
	return NULL;
}

/* A slot that nobody needs any more, because its database is gone. */
static DatabaseSlot *
find_abandoned(void)
{
	for (int i = 0; i < WH_MAX_DATABASES; i++)
	{
		DatabaseSlot *slot = &wh_shared->databases[i];
		bool		is_used = slot->is_wanted || slot->holds > 0;

		for (int w = 0; w < WH_MAX_WORKERS; w++)
			is_used |= slot->workers[w].pid != 0;
		if (!is_used)
			return slot;
	}
	return NULL;
}

bool
wh_shared_has_place(void)
{
	return wh_shared_find(InvalidOid) || find_abandoned();
}

DatabaseSlot *
wh_shared_database(Oid database)
{
	DatabaseSlot *slot;

	if (wh_shared == NULL)
		return NULL;
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	slot = wh_shared_find(database);
	if (slot == NULL)
	{
		slot = wh_shared_find(InvalidOid);
		if (slot == NULL)
		{
			slot = find_abandoned();
			if (slot)
				initialize_database(slot);
		}
		if (slot)
			slot->database = database;
	}
	LWLockRelease(wh_shared->lock);
	return slot;
}

void
wh_shared_want(Oid database)
{
	DatabaseSlot *slot = wh_shared_database(database);

	if (slot == NULL)
		return;
	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	if (slot->database == database)
	{
		slot->is_wanted = true;
		slot->wants++;
		for (int i = 0; i < WH_MAX_WORKERS; i++)
		{
			slot->workers[i].next_start = 0;
			slot->workers[i].failures = 0;
		}
	}
	LWLockRelease(wh_shared->lock);
	wh_shared_wake_launcher();
}

bool
wh_shared_is_wanted(Oid database)
{
	DatabaseSlot *slot;
	bool		is_wanted;

	LWLockAcquire(wh_shared->lock, LW_SHARED);
	slot = wh_shared_find(database);
	is_wanted = slot && slot->is_wanted;
	LWLockRelease(wh_shared->lock);
	return is_wanted;
}

static void
set_latch_of(int procno)
{
	if (procno >= 0)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

void
wh_shared_announce(DatabaseSlot *database)
{
	for (int i = 0; i < WH_MAX_WORKERS; i++)
	{
		WorkerSlot *worker = &database->workers[i];

		if (worker->procno < 0)
			continue;

		/*
		 * Whoever turned the flag on sets the latch; the worker turns it off
		 * before it reads, so a flag that is on means that it will read yet.
		 */
		if (pg_atomic_exchange_u32(&worker->news, NEWS_SOME) == NEWS_NONE)
			set_latch_of(worker->procno);
	}
}

void
wh_shared_want_scout(void)
{
	if (wh_shared == NULL)
		return;
	pg_atomic_fetch_add_u64(&wh_shared->scout_wishes, 1);
	wh_shared_wake_launcher();
}

void
wh_shared_wake(DatabaseSlot *database)
{
	for (int i = 0; i < WH_MAX_WORKERS; i++)
		set_latch_of(database->workers[i].procno);
}

void
wh_shared_wake_launcher(void)
{
	if (wh_shared)
		set_latch_of(wh_shared->launcher_procno);
}
