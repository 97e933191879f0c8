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
#include "utils/timestamp.h"

#include "session.h"
#include "slot.h"
#include "trouble.h"

#define PAUSE_MS 1000
#define COMPLAINT_MS 60000

static TimestampTz resume_at;
static TimestampTz complaint_at;	/* no line in the log before */

static void
tell(const ErrorData *error, TimestampTz now)
{
	wh_slot_set_error(error->message);
	if (now < complaint_at || ShutdownRequestPending)
		return;
	ereport(LOG,
			(errmsg("webhook worker could not do its work: %s",
					error->message)));
	complaint_at = TimestampTzPlusMilliseconds(now, COMPLAINT_MS);
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
		TimestampTz now = GetCurrentTimestamp();
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		wh_session_abort();
		tell(error, now);
		resume_at = TimestampTzPlusMilliseconds(now, PAUSE_MS);
		is_fine = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return is_fine;
}

long
wh_trouble_pause(void)
{
	TimestampTz now;

	if (resume_at == 0)
		return 0;
	now = GetCurrentTimestamp();
	if (now < resume_at)
		return Max(TimestampDifferenceMilliseconds(now, resume_at), 1);
	resume_at = 0;
	return 0;
}
