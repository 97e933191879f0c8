/*
 * commit.c
 *		What happens after the current transaction commits.
 *
 * Setting a worker's latch at once would be too early: it could look before
 * our rows are visible and then sleep until its next deadline.  One callback
 * per backend, registered once; the flags of a rolled-back subtransaction stay
 * set, which costs one look in vain.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "outbox.h"
#include "shared.h"

static bool is_registered = false;
static bool has_events = false;
static bool has_prepared = false;
static bool has_config = false;
static bool has_due = false;
static bool has_installation = false;
static bool has_database = false;

/* Our slot, found once: it stays while this session is connected. */
static DatabaseSlot *
get_slot(void)
{
	static DatabaseSlot *slot = NULL;

	if (slot == NULL || slot->database != MyDatabaseId)
		slot = wh_shared_database(MyDatabaseId);
	return slot;
}

/*
 * Another session's events, or whatever it did, if this database has the
 * extension at all.
 */
static void
tell_of_prepared(void)
{
	DatabaseSlot *database;

	if (wh_shared == NULL)
		return;
	LWLockAcquire(wh_shared->lock, LW_SHARED);
	database = wh_shared_find(MyDatabaseId);
	LWLockRelease(wh_shared->lock);
	if (database == NULL)
		return;
	pg_atomic_fetch_add_u64(&database->prepared_generation, 1);
	wh_shared_announce(database);
	wh_shared_wake(database);
}

static void
tell_workers(void)
{
	DatabaseSlot *database;

	if (has_database)
		wh_shared_want_scout();
	if (has_prepared)
		tell_of_prepared();
	if (!has_events && !has_config && !has_due && !has_installation)
		return;
	database = get_slot();
	if (database == NULL)
		return;

	/* Who emits here has the extension, whatever a scout could find. */
	if (has_installation || (has_events && !database->is_wanted))
		wh_shared_want(MyDatabaseId);
	if (has_config)
		pg_atomic_fetch_add_u64(&database->config_generation, 1);
	if (has_due)
		pg_atomic_fetch_add_u64(&database->due_generation, 1);
	if (has_events)
		wh_shared_announce(database);
	if (has_config || has_due)
		wh_shared_wake(database);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (has_events || has_prepared || has_config || has_due ||
				has_installation || has_database)
				tell_workers();
			/* fall through */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			has_events = has_prepared = has_config = has_due = false;
			has_installation = has_database = false;
			break;
		default:
			break;
	}
}

static void
set_flag(bool *flag)
{
	if (!is_registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		is_registered = true;
	}
	*flag = true;
}

void
wh_commit_announce_events(void)
{
	set_flag(&has_events);
}

void
wh_commit_announce_prepared(void)
{
	set_flag(&has_prepared);
}

void
wh_commit_announce_config(void)
{
	set_flag(&has_config);
}

void
wh_commit_announce_due(void)
{
	set_flag(&has_due);
}

void
wh_commit_announce_installation(void)
{
	set_flag(&has_installation);
}

void
wh_commit_announce_database(void)
{
	set_flag(&has_database);
}
