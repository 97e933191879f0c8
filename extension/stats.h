/*
 * stats.h
 *		Statistics of attempts in shared memory, counted when one is recorded.
 *
 * Per database, and per endpoint for the most recently used ones.  Counters
 * are since the server's start or webhook.stat_reset(); what shall survive a
 * restart is in webhook.attempt.
 */
#ifndef WH_STATS_H
#define WH_STATS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/s_lock.h"

#include "http.h"

#define WH_STATS_ENDPOINTS 2048 /* of all databases together */
#define WH_STATS_CLASSES (HTTP_INTERNAL + 1)
#define WH_STATS_MINUTES 60
#define WH_STATS_BUCKETS 32
#define WH_STATS_ERROR_SIZE 128

typedef struct StatsMinute
{
	pg_atomic_uint32 minute;	/* which one, since the epoch of timestamptz */
	pg_atomic_uint32 succeeded;
	pg_atomic_uint32 failed;
} StatsMinute;

/* Written by workers without a lock. */
typedef struct StatsCounters
{
	pg_atomic_uint64 attempts[WH_STATS_CLASSES];	/* by HttpErrorClass */
	pg_atomic_uint64 failed_deliveries; /* given up: no retry follows */
	pg_atomic_uint64 duration_us;	/* of all attempts together */
	StatsMinute minutes[WH_STATS_MINUTES];	/* a ring, by minute */
} StatsCounters;

typedef struct DatabaseStats
{
	TimestampTz reset_at;		/* under the lock; 0: the server's start */
	StatsCounters counters;
	pg_atomic_uint64 durations[WH_STATS_BUCKETS];
} DatabaseStats;

typedef struct StatsKey
{
	int64		endpoint_id;
	uint64		database;		/* an Oid; no padding in a hash key */
} StatsKey;

/* In a hash table; entries come and go under the lock held exclusively. */
typedef struct EndpointStats
{
	StatsKey	key;
	StatsCounters counters;

	/* Durations of this and of the previous half hour, as percentiles. */
	pg_atomic_uint32 half_hour[2];	/* which one each is of */
	pg_atomic_uint32 durations[2][WH_STATS_BUCKETS];

	slock_t		mutex;			/* of what follows */
	TimestampTz last_success_at;	/* 0: none */
	TimestampTz last_failure_at;
	char		last_error[WH_STATS_ERROR_SIZE];	/* bytes of the network */
} EndpointStats;

struct Delivery;

/* Called by shared.c when memory is requested, and when it is there. */
extern Size wh_stats_size(void);
extern void wh_stats_start(LWLock *lock);

extern void wh_stats_initialize(DatabaseStats *stats);

/* Count a recorded attempt of this worker's; no transaction is needed. */
extern void wh_stats_note(DatabaseStats *stats, const struct Delivery *delivery);

/*
 * Copy an endpoint's entries of this database, in the current memory context;
 * returns how many.
 */
extern int	wh_stats_list(EndpointStats **entries);

/* Forget an endpoint of this database. */
extern void wh_stats_forget(int64 endpoint_id);

/* Forget everything about this database. */
extern void wh_stats_reset(DatabaseStats *stats);

/* Upper bound of a bucket in microseconds; the last one has none: -1. */
extern int64 wh_stats_bound(int bucket);

#endif							/* WH_STATS_H */
