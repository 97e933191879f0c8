/*
 * stats.c
 *		Statistics of attempts in shared memory, counted when one is recorded.
 *
 * An attempt costs a look-up under a shared lock and some atomic additions, no
 * statement and no allocation.  When the table is full, those endpoints leave
 * it that were used the longest ago.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "delivery.h"
#include "stats.h"

#define HALF_HOUR 30			/* minutes */
#define EVICTED_AT_ONCE (WH_STATS_ENDPOINTS / 20)

static HTAB *endpoints;
static LWLock *stats_lock;

/* Six bounds per power of ten, from 1 ms to 100 s; in microseconds. */
static const int64 bounds[WH_STATS_BUCKETS - 1] = {
	1000, 1500, 2000, 3000, 5000, 7000,
	10000, 15000, 20000, 30000, 50000, 70000,
	100000, 150000, 200000, 300000, 500000, 700000,
	1000000, 1500000, 2000000, 3000000, 5000000, 7000000,
	10000000, 15000000, 20000000, 30000000, 50000000, 70000000,
	100000000
};

Size
wh_stats_size(void)
{
	return hash_estimate_size(WH_STATS_ENDPOINTS, sizeof(EndpointStats));
}

void
wh_stats_start(LWLock *lock)
{
	HASHCTL		control = {0};

	stats_lock = lock;
	control.keysize = sizeof(StatsKey);
	control.entrysize = sizeof(EndpointStats);
	endpoints = ShmemInitHash("webhook statistics", WH_STATS_ENDPOINTS,
							  WH_STATS_ENDPOINTS, &control,
							  HASH_ELEM | HASH_BLOBS);
}

static void
clear_counters(StatsCounters *counters)
{
	for (int i = 0; i < WH_STATS_CLASSES; i++)
		pg_atomic_init_u64(&counters->attempts[i], 0);
	pg_atomic_init_u64(&counters->failed_deliveries, 0);
	pg_atomic_init_u64(&counters->duration_us, 0);
	for (int i = 0; i < WH_STATS_MINUTES; i++)
	{
		pg_atomic_init_u32(&counters->minutes[i].minute, 0);
		pg_atomic_init_u32(&counters->minutes[i].succeeded, 0);
		pg_atomic_init_u32(&counters->minutes[i].failed, 0);
	}
}

void
wh_stats_initialize(DatabaseStats *stats)
{
	stats->reset_at = 0;
	clear_counters(&stats->counters);
	for (int i = 0; i < WH_STATS_BUCKETS; i++)
		pg_atomic_init_u64(&stats->durations[i], 0);
}

static void
initialize_endpoint(EndpointStats *entry)
{
	clear_counters(&entry->counters);
	for (int half = 0; half < 2; half++)
	{
		pg_atomic_init_u32(&entry->half_hour[half], 0);
		for (int i = 0; i < WH_STATS_BUCKETS; i++)
			pg_atomic_init_u32(&entry->durations[half][i], 0);
	}
	SpinLockInit(&entry->mutex);
	entry->last_success_at = entry->last_failure_at = 0;
	entry->last_error[0] = '\0';
}

int64
wh_stats_bound(int bucket)
{
	return bucket < lengthof(bounds) ? bounds[bucket] : -1;
}

static int
bucket_of(int64 duration_us)
{
	int			bucket = 0;

	while (bucket < lengthof(bounds) && duration_us > bounds[bucket])
		bucket++;
	return bucket;
}

/*
 * Workers that begin the same minute at the same moment may lose each other's
 * first counts of it; totals are counted elsewhere.
 */
static StatsMinute *
find_minute(StatsCounters *counters, uint32 minute)
{
	StatsMinute *found = &counters->minutes[minute % WH_STATS_MINUTES];

	if (pg_atomic_exchange_u32(&found->minute, minute) != minute)
	{
		pg_atomic_write_u32(&found->succeeded, 0);
		pg_atomic_write_u32(&found->failed, 0);
	}
	return found;
}

static void
count(StatsCounters *counters, const Delivery *delivery, uint32 minute)
{
	const HttpResult *result = delivery->result;
	bool		is_success = result->error_class == HTTP_OK;
	StatsMinute *now = find_minute(counters, minute);

	pg_atomic_fetch_add_u64(&counters->attempts[result->error_class], 1);
	pg_atomic_fetch_add_u64(&counters->duration_us, result->duration_us);
	if (!is_success && delivery->is_ended)
		pg_atomic_fetch_add_u64(&counters->failed_deliveries, 1);
	pg_atomic_fetch_add_u32(is_success ? &now->succeeded : &now->failed, 1);
}

static void
count_duration(EndpointStats *entry, int bucket, uint32 minute)
{
	uint32		half_hour = minute / HALF_HOUR;
	int			half = half_hour % 2;

	if (pg_atomic_exchange_u32(&entry->half_hour[half], half_hour) != half_hour)
	{
		for (int i = 0; i < WH_STATS_BUCKETS; i++)
			pg_atomic_write_u32(&entry->durations[half][i], 0);
	}
	pg_atomic_fetch_add_u32(&entry->durations[half][bucket], 1);
}

static void
note_last(EndpointStats *entry, const Delivery *delivery)
{
	const HttpResult *result = delivery->result;

	SpinLockAcquire(&entry->mutex);
	if (result->error_class == HTTP_OK)
		entry->last_success_at = delivery->ended_at;
	else
	{
		entry->last_failure_at = delivery->ended_at;
		strlcpy(entry->last_error, result->error, sizeof(entry->last_error));
	}
	SpinLockRelease(&entry->mutex);
}

typedef struct UsedAt
{
	StatsKey	key;
	TimestampTz at;
} UsedAt;

static int
compare_use(const void *a, const void *b)
{
	TimestampTz first = ((const UsedAt *) a)->at;
	TimestampTz second = ((const UsedAt *) b)->at;

	return (first > second) - (first < second);
}

/* Several at once, so that a full table is not sorted for every newcomer. */
static void
evict(void)
{
	UsedAt	   *used = palloc(WH_STATS_ENDPOINTS * sizeof(UsedAt));
	int			number = 0;
	HASH_SEQ_STATUS scan;
	EndpointStats *entry;

	hash_seq_init(&scan, endpoints);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (number == WH_STATS_ENDPOINTS)
		{
			hash_seq_term(&scan);
			break;
		}
		used[number].key = entry->key;
		used[number++].at = Max(entry->last_success_at, entry->last_failure_at);
	}
	qsort(used, number, sizeof(UsedAt), compare_use);
	for (int i = 0; i < number && i < EVICTED_AT_ONCE; i++)
		hash_search(endpoints, &used[i].key, HASH_REMOVE, NULL);
	pfree(used);
}

/* Find an entry or make one; returns with the lock held. */
static EndpointStats *
lock_entry(const StatsKey *key)
{
	EndpointStats *entry;
	bool		found;

	LWLockAcquire(stats_lock, LW_SHARED);
	entry = hash_search(endpoints, key, HASH_FIND, NULL);
	if (entry)
		return entry;
	LWLockRelease(stats_lock);

	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	if (hash_get_num_entries(endpoints) >= WH_STATS_ENDPOINTS)
		evict();
	entry = hash_search(endpoints, key, HASH_ENTER_NULL, &found);
	if (entry && !found)
		initialize_endpoint(entry);
	return entry;
}

void
wh_stats_note(DatabaseStats *stats, const Delivery *delivery)
{
	StatsKey	key = {delivery->endpoint->id, MyDatabaseId};
	uint32		minute = delivery->ended_at / USECS_PER_MINUTE;
	int			bucket = bucket_of(delivery->result->duration_us);
	EndpointStats *entry;

	count(&stats->counters, delivery, minute);
	pg_atomic_fetch_add_u64(&stats->durations[bucket], 1);
	entry = lock_entry(&key);
	if (entry)
	{
		count(&entry->counters, delivery, minute);
		count_duration(entry, bucket, minute);
		note_last(entry, delivery);
	}
	LWLockRelease(stats_lock);
}

int
wh_stats_list(EndpointStats **entries)
{
	HASH_SEQ_STATUS scan;
	EndpointStats *entry;
	int			number = 0;

	*entries = palloc(WH_STATS_ENDPOINTS * sizeof(EndpointStats));
	LWLockAcquire(stats_lock, LW_SHARED);
	hash_seq_init(&scan, endpoints);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (number == WH_STATS_ENDPOINTS)
		{
			hash_seq_term(&scan);
			break;
		}
		if (entry->key.database != MyDatabaseId)
			continue;
		SpinLockAcquire(&entry->mutex);
		memcpy(&(*entries)[number++], entry, sizeof(*entry));
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(stats_lock);
	return number;
}

void
wh_stats_forget(int64 endpoint_id)
{
	StatsKey	key = {endpoint_id, MyDatabaseId};

	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	hash_search(endpoints, &key, HASH_REMOVE, NULL);
	LWLockRelease(stats_lock);
}

void
wh_stats_reset(DatabaseStats *stats)
{
	HASH_SEQ_STATUS scan;
	EndpointStats *entry;

	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	wh_stats_initialize(stats);
	stats->reset_at = GetCurrentTimestamp();
	hash_seq_init(&scan, endpoints);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database == MyDatabaseId)
			hash_search(endpoints, &entry->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(stats_lock);
}
