/*
 * eventid.c
 *		Event ids: UUIDv7 with the sub-millisecond part in rand_a.
 *
 * RFC 9562 section 5.7, and section 6.2 method 3 for the twelve bits that
 * follow the millisecond: a fraction of 1/4096 ms, so that ids of one backend
 * ascend and indexes grow at their end.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "eventid.h"

#define RANDOM_BYTES 8			/* per id, after the twelve fraction bits */
#define UNIX_EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

/* Random bytes are drawn many at a time: one call costs a microsecond. */
static uint8 pool[RANDOM_BYTES * 512];
static size_t pool_used = sizeof(pool);

static const uint8 *
draw_random(void)
{
	if (pool_used + RANDOM_BYTES > sizeof(pool))
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random bytes for an event id")));
		pool_used = 0;
	}
	pool_used += RANDOM_BYTES;
	return &pool[pool_used - RANDOM_BYTES];
}

void
wh_eventid_stamp(EventStamp *stamp)
{
	static uint64 last_fraction = 0;
	static uint64 last_us = 0;
	uint64		unix_us;
	uint64		ms;
	uint64		fraction;
	uint8	   *id = stamp->id.data;

	stamp->created_at = GetCurrentTimestamp();
	unix_us = stamp->created_at + UNIX_EPOCH_DAYS * USECS_PER_DAY;
	ms = unix_us / 1000;
	fraction = (unix_us % 1000) * 4096 / 1000;

	/* Four steps fit into a microsecond; after that the order is random. */
	if (unix_us == last_us && last_fraction < fraction + 3)
		fraction = last_fraction + 1;
	last_us = unix_us;
	last_fraction = fraction;

	for (int i = 0; i < 6; i++)
		id[i] = (uint8) (ms >> (40 - 8 * i));
	id[6] = 0x70 | (fraction >> 8);
	id[7] = fraction & 0xff;
	memcpy(&id[8], draw_random(), RANDOM_BYTES);
	id[8] = 0x80 | (id[8] & 0x3f);
}
