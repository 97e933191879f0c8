/*
 * statview.c
 *		SQL functions that show, and reset, the statistics of attempts.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "logtext.h"
#include "shared.h"

PG_FUNCTION_INFO_V1(webhook_stat_database);
PG_FUNCTION_INFO_V1(webhook_stat_endpoints);
PG_FUNCTION_INFO_V1(webhook_stat_durations);
PG_FUNCTION_INFO_V1(webhook_stat_reset);
PG_FUNCTION_INFO_V1(webhook_stat_forget);

#define read_u64(counter) ((int64) pg_atomic_read_u64(&(counter)))

/* Failed attempts by error class, as a text[] of "class=number". */
static Datum
make_failures(StatsCounters *counters)
{
	Datum		elements[WH_STATS_CLASSES];
	int			number = 0;

	for (int class = HTTP_OK + 1; class < WH_STATS_CLASSES; class++)
	{
		int64		count = read_u64(counters->attempts[class]);

		if (count > 0)
			elements[number++] = CStringGetTextDatum(psprintf("%s=" INT64_FORMAT,
															  wh_log_error_class(class),
															  count));
	}
	return PointerGetDatum(construct_array(elements, number, TEXTOID, -1,
										   false, TYPALIGN_INT));
}

/* Counts of the last minutes, the oldest first, the current one last. */
static void
make_minutes(StatsCounters *counters, Datum *succeeded, Datum *failed)
{
	uint32		now = GetCurrentTimestamp() / USECS_PER_MINUTE;
	Datum		elements[2][WH_STATS_MINUTES];

	for (int i = 0; i < WH_STATS_MINUTES; i++)
	{
		uint32		minute = now - WH_STATS_MINUTES + 1 + i;
		StatsMinute *found = &counters->minutes[minute % WH_STATS_MINUTES];
		bool		is_it = pg_atomic_read_u32(&found->minute) == minute;

		elements[0][i] = Int32GetDatum(is_it ? pg_atomic_read_u32(&found->succeeded) : 0);
		elements[1][i] = Int32GetDatum(is_it ? pg_atomic_read_u32(&found->failed) : 0);
	}
	*succeeded = PointerGetDatum(construct_array(elements[0], WH_STATS_MINUTES,
												 INT4OID, sizeof(int32), true,
												 TYPALIGN_INT));
	*failed = PointerGetDatum(construct_array(elements[1], WH_STATS_MINUTES,
											  INT4OID, sizeof(int32), true,
											  TYPALIGN_INT));
}

static int64
sum_failures(StatsCounters *counters)
{
	int64		sum = 0;

	for (int class = HTTP_OK + 1; class < WH_STATS_CLASSES; class++)
		sum += read_u64(counters->attempts[class]);
	return sum;
}

enum CounterColumn
{
	COUNTER_SUCCEEDED, COUNTER_FAILED, COUNTER_GIVEN_UP, COUNTER_FAILURES,
	COUNTER_DURATION, COUNTER_MINUTES_SUCCEEDED, COUNTER_MINUTES_FAILED,
	COUNTER_COLUMNS
};

static void
fill_counters(StatsCounters *counters, Datum *values)
{
	values[COUNTER_SUCCEEDED] = Int64GetDatum(read_u64(counters->attempts[HTTP_OK]));
	values[COUNTER_FAILED] = Int64GetDatum(sum_failures(counters));
	values[COUNTER_GIVEN_UP] = Int64GetDatum(read_u64(counters->failed_deliveries));
	values[COUNTER_FAILURES] = make_failures(counters);
	values[COUNTER_DURATION] = Float8GetDatum(read_u64(counters->duration_us) / 1e6);
	make_minutes(counters, &values[COUNTER_MINUTES_SUCCEEDED],
				 &values[COUNTER_MINUTES_FAILED]);
}

static DatabaseSlot *
find_database(void)
{
	DatabaseSlot *database;

	if (wh_shared == NULL)
		return NULL;
	LWLockAcquire(wh_shared->lock, LW_SHARED);
	database = wh_shared_find(MyDatabaseId);
	LWLockRelease(wh_shared->lock);
	return database;
}

Datum
webhook_stat_database(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseSlot *database = find_database();
	Datum		values[COUNTER_COLUMNS + 1];
	bool		nulls[COUNTER_COLUMNS + 1] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (database == NULL)
		return (Datum) 0;
	fill_counters(&database->stats.counters, values);
	values[COUNTER_COLUMNS] = TimestampTzGetDatum(database->stats.reset_at);
	nulls[COUNTER_COLUMNS] = database->stats.reset_at == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

/* Counts per bucket of the last half hour to an hour; returns their sum. */
static int64
sum_durations(EndpointStats *entry, int64 *counts)
{
	uint32		now = GetCurrentTimestamp() / USECS_PER_MINUTE / 30;
	int64		sum = 0;

	memset(counts, 0, WH_STATS_BUCKETS * sizeof(int64));
	for (int half = 0; half < 2; half++)
	{
		uint32		half_hour = pg_atomic_read_u32(&entry->half_hour[half]);

		for (int i = 0; half_hour + 1 >= now && i < WH_STATS_BUCKETS; i++)
		{
			int64		count = pg_atomic_read_u32(&entry->durations[half][i]);

			counts[i] += count;
			sum += count;
		}
	}
	return sum;
}

/* A percentile in seconds, interpolated within its bucket. */
static Datum
make_percentile(const int64 *counts, int64 sum, double fraction)
{
	double		rank = fraction * sum;
	double		seen = 0;
	int			bucket = 0;
	double		lower;
	double		upper;

	while (bucket < WH_STATS_BUCKETS - 1 && seen + counts[bucket] < rank)
		seen += counts[bucket++];
	lower = bucket == 0 ? 0 : wh_stats_bound(bucket - 1);
	upper = bucket == WH_STATS_BUCKETS - 1 ? lower : wh_stats_bound(bucket);
	if (counts[bucket] > 0)
		lower += (upper - lower) * (rank - seen) / counts[bucket];
	return Float8GetDatum(lower / 1e6);
}

static void
put_endpoint(ReturnSetInfo *result, EndpointStats *entry)
{
	Datum		values[COUNTER_COLUMNS + 6];
	bool		nulls[COUNTER_COLUMNS + 6] = {false};
	Datum	   *more = &values[1 + COUNTER_COLUMNS];
	bool	   *no_more = &nulls[1 + COUNTER_COLUMNS];
	int64		counts[WH_STATS_BUCKETS];
	int64		sum = sum_durations(entry, counts);

	values[0] = Int64GetDatum(entry->key.endpoint_id);
	fill_counters(&entry->counters, &values[1]);
	more[0] = make_percentile(counts, sum, 0.5);
	more[1] = make_percentile(counts, sum, 0.95);
	no_more[0] = no_more[1] = sum == 0;
	more[2] = TimestampTzGetDatum(entry->last_success_at);
	no_more[2] = entry->last_success_at == 0;
	more[3] = TimestampTzGetDatum(entry->last_failure_at);
	more[4] = wh_log_text(entry->last_error, strlen(entry->last_error), true);
	no_more[3] = no_more[4] = entry->last_failure_at == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
webhook_stat_endpoints(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	EndpointStats *entries;
	int			number;

	InitMaterializedSRF(fcinfo, 0);
	if (wh_shared == NULL)
		return (Datum) 0;
	number = wh_stats_list(&entries);
	for (int i = 0; i < number; i++)
		put_endpoint(result, &entries[i]);
	pfree(entries);
	return (Datum) 0;
}

Datum
webhook_stat_durations(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseSlot *database = find_database();
	int64		sum = 0;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; database && i < WH_STATS_BUCKETS; i++)
	{
		int64		bound = wh_stats_bound(i);
		Datum		values[2];
		bool		nulls[2] = {bound < 0, false};

		sum += read_u64(database->stats.durations[i]);
		values[0] = Float8GetDatum(bound / 1e6);
		values[1] = Int64GetDatum(sum);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
webhook_stat_reset(PG_FUNCTION_ARGS)
{
	DatabaseSlot *database = find_database();

	if (database)
		wh_stats_reset(&database->stats);
	PG_RETURN_VOID();
}

Datum
webhook_stat_forget(PG_FUNCTION_ARGS)
{
	if (wh_shared)
		wh_stats_forget(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}
