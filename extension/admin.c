/*
 * admin.c
 *		Small SQL functions over the settings, secrets, URLs and workers.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "common/base64.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "utils/xid8.h"

#include "compat.h"
#include "guard.h"
#include "http.h"
#include "outbox.h"
#include "settings.h"
#include "shared.h"
#include "sign.h"

#define SECRET_BYTES 32
#define MAX_NAME_DISTANCE 4

PG_FUNCTION_INFO_V1(webhook_check_url);
PG_FUNCTION_INFO_V1(webhook_nearest);
PG_FUNCTION_INFO_V1(webhook_make_secret);
PG_FUNCTION_INFO_V1(webhook_is_standard_secret);
PG_FUNCTION_INFO_V1(webhook_verify);
PG_FUNCTION_INFO_V1(webhook_retention);
PG_FUNCTION_INFO_V1(webhook_retry_schedule);
PG_FUNCTION_INFO_V1(webhook_next_xid);
PG_FUNCTION_INFO_V1(webhook_version);
PG_FUNCTION_INFO_V1(webhook_workers);
PG_FUNCTION_INFO_V1(webhook_announce);

/* Text in UTF-8, as a C string. */
static char *
get_utf8(text *value)
{
	char	   *string = text_to_cstring(value);

	return (char *) pg_do_encoding_conversion((unsigned char *) string,
											  strlen(string),
											  GetDatabaseEncoding(), PG_UTF8);
}

Datum
webhook_check_url(PG_FUNCTION_ARGS)
{
	GuardPolicy policy;
	UrlVerdict	verdict;

	wh_settings_policy(&policy);
	wh_guard_check_url(get_utf8(PG_GETARG_TEXT_PP(0)), &policy, &verdict);
	if (!verdict.is_allowed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", verdict.message),
				 verdict.detail[0] ? errdetail("%s", verdict.detail) : 0,
				 verdict.hint[0] ? errhint("%s", verdict.hint) : 0));
	PG_RETURN_VOID();
}

Datum
webhook_nearest(PG_FUNCTION_ARGS)
{
	text	   *wanted = PG_GETARG_TEXT_PP(0);
	int			best = MAX_NAME_DISTANCE + 1;
	Datum		nearest = 0;
	Datum	   *names;
	bool	   *nulls;
	int			count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count && VARSIZE_ANY_EXHDR(wanted) <= 128; i++)
	{
		text	   *name = nulls[i] ? NULL : DatumGetTextPP(names[i]);
		int			distance;

		if (name == NULL || VARSIZE_ANY_EXHDR(name) > 128)
			continue;
		distance = varstr_levenshtein_less_equal(VARDATA_ANY(wanted),
												 VARSIZE_ANY_EXHDR(wanted),
												 VARDATA_ANY(name),
												 VARSIZE_ANY_EXHDR(name),
												 1, 1, 1, best - 1, true);
		if (distance < best)
		{
			best = distance;
			nearest = names[i];
		}
	}
	if (nearest == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(nearest);
}

Datum
webhook_make_secret(PG_FUNCTION_ARGS)
{
	uint8		bytes[SECRET_BYTES];
	char		secret[6 + SECRET_BYTES * 2] = "whsec_";
	int			length;
	text	   *result;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random secret")));
	length = pg_b64_encode(WH_BASE64_SOURCE(bytes), sizeof(bytes), secret + 6,
						   sizeof(secret) - 6);
	result = cstring_to_text_with_len(secret, 6 + length);
	explicit_bzero(bytes, sizeof(bytes));
	explicit_bzero(secret, sizeof(secret));
	PG_RETURN_TEXT_P(result);
}

Datum
webhook_is_standard_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wh_sign_secret_is_standard(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

Datum
webhook_verify(PG_FUNCTION_ARGS)
{
	SigningKey *key;
	char	   *body;
	char	   *signature;
	bool		is_valid;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	body = get_utf8(PG_GETARG_TEXT_PP(0));
	signature = text_to_cstring(PG_GETARG_TEXT_PP(1));

	/* Last: nothing that may fail leaves it behind. */
	key = wh_sign_key_create(get_utf8(PG_GETARG_TEXT_PP(2)));
	if (key == NULL)
		elog(ERROR, "could not prepare a secret");
	is_valid = wh_sign_verify_body(key, body, strlen(body), signature);
	wh_sign_key_free(key);
	PG_RETURN_BOOL(is_valid);
}

static Datum
interval_of(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

Datum
webhook_retention(PG_FUNCTION_ARGS)
{
	return interval_of((int64) wh_retention * 60 * USECS_PER_SEC);
}

Datum
webhook_retry_schedule(PG_FUNCTION_ARGS)
{
	int			delays[WH_MAX_RETRIES];
	Datum		intervals[WH_MAX_RETRIES];
	int			count = wh_settings_retry_schedule(delays);

	for (int i = 0; i < count; i++)
		intervals[i] = interval_of((int64) delays[i] * 1000);
	PG_RETURN_ARRAYTYPE_P(construct_array(intervals, Max(count, 0),
										  INTERVALOID, sizeof(Interval),
										  false, TYPALIGN_DOUBLE));
}

Datum
webhook_next_xid(PG_FUNCTION_ARGS)
{
	PG_RETURN_FULLTRANSACTIONID(ReadNextFullTransactionId());
}

/* pg_extension's version of us; we are a function of it, so it is there. */
static char *
get_installed_version(void)
{
	char	   *version;

	SPI_connect();
	SPI_execute("select extversion from pg_catalog.pg_extension"
				" where extname operator(pg_catalog.=) 'webhook'", true, 1);
	version = SPI_processed == 0 ? NULL :
		SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (version)
		version = strcpy(SPI_palloc(strlen(version) + 1), version);
	SPI_finish();
	return version ? version : "";
}

Datum
webhook_version(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(WEBHOOK_VERSION);
	values[1] = CStringGetTextDatum(get_installed_version());
	values[2] = CStringGetTextDatum(wh_http_curl_version());
	values[3] = CStringGetTextDatum(wh_http_tls_version());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}

/* pg_stat_activity shows it to superusers only. */
static bool
awaits_standby(const WorkerSlot *slot)
{
	return slot->pid != 0 && slot->procno >= 0 &&
		ProcGlobal->allProcs[slot->procno].wait_event_info == WAIT_EVENT_SYNC_REP;
}

static void
put_worker(ReturnSetInfo *result, const WorkerSlot *slot, int index)
{
	static const char *const states[] = {
		[WORKER_NONE] = "none", [WORKER_STARTING] = "starting",
		[WORKER_RUNNING] = "running", [WORKER_DRAINING] = "draining",
		[WORKER_OFF] = "off", [WORKER_COPY] = "copy",
		[WORKER_CURSOR] = "cursor", [WORKER_VERSION] = "version",
		[WORKER_READ_ONLY] = "read-only", [WORKER_FAILING] = "failing",
	};
	Datum		values[10];
	bool		nulls[10] = {false};
	bool		is_draining = slot->pid != 0 &&
	pg_atomic_read_u32((pg_atomic_uint32 *) &slot->should_drain) != 0;

	values[0] = ObjectIdGetDatum(MyDatabaseId);
	values[1] = Int32GetDatum(index);
	values[2] = Int32GetDatum(slot->pid);
	values[3] = CStringGetTextDatum(states[is_draining ? WORKER_DRAINING : slot->state]);
	values[4] = TimestampTzGetDatum(slot->since);
	nulls[4] = slot->since == 0;
	values[5] = Int32GetDatum(pg_atomic_read_u32((pg_atomic_uint32 *) &slot->in_flight));
	values[6] = Int32GetDatum(slot->total ? slot->total : wh_workers);
	values[7] = CStringGetTextDatum(slot->last_error);
	values[8] = TimestampTzGetDatum(slot->last_error_at);
	nulls[7] = nulls[8] = slot->last_error_at == 0;
	values[9] = BoolGetDatum(awaits_standby(slot));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Why this database has no workers, if that concerns all of them; or NULL. */
static const char *
common_trouble(const DatabaseSlot *database)
{
	if (RecoveryInProgress())
		return NULL;
	if (wh_shared->launcher_procno < 0)
		return "the launcher is not running: raise max_worker_processes";
	if (database == NULL && !wh_shared_has_place())
		return psprintf(WH_NO_PLACE, WH_MAX_DATABASES);
	if (wh_shared->lacks_scout && !(database && database->is_wanted))
		return WH_NO_PROCESS;
	return NULL;
}

Datum
webhook_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseSlot *database;
	WorkerSlot *copy;
	const char *trouble;

	InitMaterializedSRF(fcinfo, 0);
	if (wh_shared == NULL)
		return (Datum) 0;
	copy = palloc0(sizeof(WorkerSlot) * WH_MAX_WORKERS);
	LWLockAcquire(wh_shared->lock, LW_SHARED);
	database = wh_shared_find(MyDatabaseId);
	if (database)
		memcpy(copy, database->workers, sizeof(WorkerSlot) * WH_MAX_WORKERS);
	trouble = common_trouble(database);
	LWLockRelease(wh_shared->lock);
	for (int i = 0; i < WH_MAX_WORKERS; i++)
	{
		if (trouble)
		{
			strlcpy(copy[i].last_error, trouble, sizeof(copy[i].last_error));
			copy[i].last_error_at = GetCurrentTimestamp();
		}
		if (i < wh_workers || copy[i].pid != 0)
			put_worker(result, &copy[i], i);
	}
	return (Datum) 0;
}

Datum
webhook_announce(PG_FUNCTION_ARGS)
{
	if (wh_shared == NULL)
		PG_RETURN_BOOL(false);
	if (wh_shared_database(MyDatabaseId) == NULL)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg(WH_NO_PLACE, WH_MAX_DATABASES),
				 errdetail("Events are recorded, and not delivered.")));
	wh_commit_announce_installation();
	PG_RETURN_BOOL(true);
}
