/*
 * inspect.c
 *		What webhook.check() asks of the process and of the machine.
 *
 * The files and limits seen here are those of the calling session, which runs
 * as the same user of the machine, and under the same postmaster, as workers.
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guard.h"
#include "http.h"
#include "inspect.h"
#include "selftest.h"
#include "settings.h"
#include "shared.h"

PG_FUNCTION_INFO_V1(webhook_security_problems);
PG_FUNCTION_INFO_V1(webhook_open_files);
PG_FUNCTION_INFO_V1(webhook_wanted_workers);
PG_FUNCTION_INFO_V1(webhook_clock_jump);

#define PROBLEM_SIZE 256
#define JUMP_US (5 * USECS_PER_SEC)

static void
put_problem(ReturnSetInfo *result, const char *subject, const char *problem)
{
	Datum		values[2] = {CStringGetTextDatum(subject),
	CStringGetTextDatum(problem)};
	bool		nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static bool
allows_everything(void)
{
	AddressRule rules[WH_GUARD_MAX_RULES];
	int			count = 0;

	(void) wh_guard_parse_rules(wh_allow_addresses, rules, &count);
	for (int i = 0; i < count; i++)
	{
		if (rules[i].prefix == 0)
			return true;
	}
	return false;
}

/*
 * _security_problems(): subject, problem.  Settings that are shown to
 * superusers only are judged here, and their values are not told.
 */
Datum
webhook_security_problems(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char		problem[PROBLEM_SIZE];

	InitMaterializedSRF(fcinfo, 0);
	if (!wh_selftest_authorities(wh_ca_file[0] ? wh_ca_file : WH_HTTP_CA_FILE,
								 problem, sizeof(problem)))
		put_problem(result, "webhook.ca_file", problem);
	if (!wh_selftest_handshake(problem, sizeof(problem)))
		put_problem(result, "TLS", problem);
	if (wh_allow_http)
		put_problem(result, "webhook.allow_http",
					"it is on, and requests without TLS can be read and changed on their way");
	if (allows_everything())
		put_problem(result, "webhook.allow_addresses",
					"it allows every address, those of your own network too");
	return (Datum) 0;
}

/* _open_files(): how many a process may have; NULL: any number. */
Datum
webhook_open_files(PG_FUNCTION_ARGS)
{
	int64		files = wh_settings_open_files();

	if (files == PG_INT64_MAX)
		PG_RETURN_NULL();
	PG_RETURN_INT64(files);
}

/*
 * _wanted_workers(): processes that the launcher would have, itself too.  Who
 * asks has the extension, even if no scout could find that out.
 */
Datum
webhook_wanted_workers(PG_FUNCTION_ARGS)
{
	int			databases = 0;
	DatabaseSlot *ours;

	if (wh_shared == NULL)
		PG_RETURN_NULL();
	LWLockAcquire(wh_shared->lock, LW_SHARED);
	for (int i = 0; i < WH_MAX_DATABASES; i++)
		databases += wh_shared->databases[i].is_wanted;
	ours = wh_shared_find(MyDatabaseId);
	if (ours == NULL || !ours->is_wanted)
		databases++;
	LWLockRelease(wh_shared->lock);
	PG_RETURN_INT32(1 + databases * wh_workers);
}

/*
 * The clock of the day against one that nobody sets, and that goes on while
 * the machine sleeps.
 */
static int64
clock_offset(void)
{
	struct timespec steady;

	clock_gettime(CLOCK_BOOTTIME, &steady);
	return GetCurrentTimestamp() -
		(steady.tv_sec * USECS_PER_SEC + steady.tv_nsec / 1000);
}

void
wh_inspect_clock(void)
{
	int64		offset = clock_offset();
	int64		jump;

	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	jump = offset - wh_shared->clock_offset;
	if (wh_shared->clock_offset != 0 && (jump > JUMP_US || jump < -JUMP_US))
	{
		wh_shared->clock_jump = jump;
		wh_shared->clock_jumped_at = GetCurrentTimestamp();
	}
	wh_shared->clock_offset = offset;
	LWLockRelease(wh_shared->lock);
}

/* _clock_jump(): when the clock was set last, as far as noticed, and by how much. */
Datum
webhook_clock_jump(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Interval   *by = palloc0(sizeof(Interval));
	Datum		values[2];
	bool		nulls[2] = {false, false};

	InitMaterializedSRF(fcinfo, 0);
	if (wh_shared == NULL)
		return (Datum) 0;
	wh_inspect_clock();
	LWLockAcquire(wh_shared->lock, LW_SHARED);
	by->time = wh_shared->clock_jump;
	values[0] = TimestampTzGetDatum(wh_shared->clock_jumped_at);
	values[1] = IntervalPGetDatum(by);
	LWLockRelease(wh_shared->lock);
	if (by->time != 0)
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
