/*
 * trouble.c
 *		Failed transactions of a worker: rolled back, told, and waited for.
 *
 * The server's log has a line once a minute, webhook.status always the last
 * message.  What is on the wire goes on meanwhile.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"

#include "clock.h"
#include "session.h"
#include "slot.h"
#include "trouble.h"

#define PAUSE_MS 1000
#define COLLISION_MS 5000		/* between collisions that are no trouble */
#define COMPLAINT_MS 60000

static int64 resume_at;			/* see clock.h */
static int64 complaint_at;		/* no line in the log before */
static int64 collision_at;		/* one before is trouble */

/*
 * Somebody was faster than us, who cancels for instance.  The next try will
 * look first, so nothing is wrong, unless it meets the same.
 */
static bool
is_collision(const ErrorData *error)
{
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION ||
		wh_clock_until(collision_at) > 0)
		return false;
	collision_at = wh_clock_in(COLLISION_MS);
	return true;
}

static void
tell(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		wh_session_note_lock();
	wh_slot_set_error(error->message);
	if (wh_clock_until(complaint_at) > 0 || ShutdownRequestPending)
		return;
	ereport(LOG,
			(errmsg("webhook worker could not do its work: %s",
					error->message)));
	complaint_at = wh_clock_in(COMPLAINT_MS);
}

bool
wh_trouble_run(void (*step) (void), MemoryContext context)
{
	volatile bool is_fine = true;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		wh_session_abort();
		if (!is_collision(error))
		{
			tell(error);
			resume_at = wh_clock_in(PAUSE_MS);
		}
		is_fine = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return is_fine;
}

long
wh_trouble_pause(void)
{
	return wh_clock_until(resume_at);
}
