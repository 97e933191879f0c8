/*
 * roster.c
 *		What a worker knows of its endpoints, in its own memory.
 *
 * An endpoint begins with a small window, doubled by successes as TCP does it
 * (RFC 5681, slow start) and reduced to one by a failure, so that endpoints
 * that hang never hold more than a few of the worker's places.
 *
 * Nor do they hold all of them together.  Requests to endpoints that have not
 * succeeded yet, or not since they failed, have a share of the places, and a
 * group of them three times what it leaves of that, so that what nobody answers
 * slows neither those that are known to work nor others that are new.
 *
 * A rate limit spaces the starts of requests (the generic cell rate algorithm
 * of ITU-T I.371), with bursts of a few milliseconds' worth, because a worker
 * takes several at once.
 */
#include "postgres.h"

#include "access/transam.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "roster.h"
#include "settings.h"

#define FIRST_WINDOW 8
#define BURST_US 20000

static HTAB *roster;
static TimestampTz earliest_due = DT_NOEND;

/* Requests to endpoints that are not proven: all, and by group */
static int	unproven_count;
static int	unproven_of_group[WH_GROUPS];
static bool is_share_awaited;
static bool is_stale;			/* earliest_due, since a share has room again */

void
wh_roster_create(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Endpoint);
	control.hcxt = TopMemoryContext;
	roster = hash_create("webhook endpoints", 256, &control,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

Endpoint *
wh_roster_get(int64 id)
{
	bool		found;
	Endpoint   *endpoint = hash_search(roster, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset(endpoint, 0, sizeof(*endpoint));
		endpoint->id = id;
		endpoint->window = FIRST_WINDOW;
		endpoint->next_due = DT_NOEND;
	}
	return endpoint;
}

void
wh_roster_visit(void (*visit) (Endpoint *endpoint, void *arg), void *arg)
{
	HASH_SEQ_STATUS scan;
	Endpoint   *endpoint;

	hash_seq_init(&scan, roster);
	while ((endpoint = hash_seq_search(&scan)) != NULL)
		visit(endpoint, arg);
}

void
wh_roster_unload(Endpoint *endpoint)
{
	for (int i = 0; i < endpoint->key_count; i++)
		wh_sign_key_free(endpoint->keys[i]);
	endpoint->key_count = 0;
	endpoint->revision = 0;
	if (endpoint->context)
	{
		if (endpoint->own_headers)
			explicit_bzero(endpoint->own_headers,
						   strlen(endpoint->own_headers));
		MemoryContextDelete(endpoint->context);
	}
	endpoint->context = NULL;
	endpoint->organization_id = endpoint->url = NULL;
	endpoint->host = endpoint->target = NULL;
	endpoint->own_headers = endpoint->masked_headers = NULL;
}

static void
unlist(Endpoint *endpoint, void *arg)
{
	endpoint->is_listed = false;
}

void
wh_roster_unlist(void)
{
	wh_roster_visit(unlist, NULL);
}

/*
 * Nothing is known any more of its configuration, nor of when something is due:
 * it may be enabled again, or have other limits.
 */
static void
forget_config(Endpoint *endpoint, void *arg)
{
	endpoint->is_paused = false;
	endpoint->revision = 0;
	wh_roster_set_due(endpoint, DT_NOBEGIN);
}

/* Not by its revision: an id can be used again, and that begins at one. */
void
wh_roster_list(Endpoint *endpoint, TransactionId xmin)
{
	endpoint->is_listed = true;
	if (endpoint->listed_xmin != xmin)
		forget_config(endpoint, NULL);
	endpoint->listed_xmin = xmin;
}

/* Deliveries, the ring of those served, or a queued row: somebody needs it. */
static bool
is_in_use(const Endpoint *endpoint)
{
	return endpoint->in_flight > 0 || endpoint->is_served ||
		endpoint->next_due < DT_NOEND;
}

static void
remove_unlisted(Endpoint *endpoint, void *arg)
{
	Snapshot	snapshot = arg;

	if (endpoint->is_listed)
		endpoint->unlisted_at = InvalidTransactionId;
	else if (!TransactionIdIsValid(endpoint->unlisted_at))
	{
		endpoint->unlisted_at = snapshot->xmax;
		wh_roster_set_due(endpoint, DT_NOBEGIN);
	}
	else if (!is_in_use(endpoint) &&
			 TransactionIdFollowsOrEquals(snapshot->xmin, endpoint->unlisted_at))
	{
		wh_roster_unload(endpoint);
		hash_search(roster, &endpoint->id, HASH_REMOVE, NULL);
	}
}

void
wh_roster_remove_unlisted(Snapshot snapshot)
{
	wh_roster_visit(remove_unlisted, snapshot);
}

bool
wh_roster_is_gone(const Endpoint *endpoint)
{
	return endpoint->is_disabled ||
		TransactionIdIsValid(endpoint->unlisted_at);
}

static int
max_in_flight(const Endpoint *endpoint)
{
	return endpoint->max_in_flight ? endpoint->max_in_flight :
		wh_max_in_flight_per_endpoint;
}

/* How many requests there may be with those to an endpoint like this one. */
static int
share_limit(const Endpoint *endpoint)
{
	int			places = wh_settings_places();

	return endpoint->failing_since != 0 ? places / 2 : places * 3 / 4;
}

static bool
is_proven(const Endpoint *endpoint)
{
	return endpoint->succeeded_at != 0 && endpoint->failing_since == 0;
}

static bool
has_share(const Endpoint *endpoint)
{
	if (is_proven(endpoint) || unproven_count == 0 ||
		wh_fair_has_room(unproven_of_group[endpoint->group], unproven_count,
						 share_limit(endpoint)))
		return true;
	is_share_awaited = true;
	return false;
}

static int
window_places(const Endpoint *endpoint)
{
	int			window = Min(endpoint->window, max_in_flight(endpoint));

	if (endpoint->is_paused || endpoint->is_held || !has_share(endpoint))
		return 0;
	/* One at a time after a crash, and as long as its limits are not known. */
	if (endpoint->is_cautious || endpoint->context == NULL)
		window = 1;
	return Max(window - endpoint->in_flight, 0);
}

/* How far starts may be ahead of their even spacing. */
static int64
burst(const Endpoint *endpoint)
{
	return Max(BURST_US - endpoint->start_interval, 0);
}

/*
 * When the rate limit lets the next request start.  A clock that was set back
 * must not make that a time far ahead.
 */
static TimestampTz
earliest_start(const Endpoint *endpoint)
{
	if (endpoint->start_interval == 0)
		return DT_NOBEGIN;
	return Min(endpoint->next_start - burst(endpoint),
			   GetCurrentTimestamp() + endpoint->start_interval);
}

static int
rate_places(const Endpoint *endpoint)
{
	int64		passed = GetCurrentTimestamp() - earliest_start(endpoint);

	if (passed < 0)
		return 0;
	return (int) (Min(passed, burst(endpoint)) / endpoint->start_interval) + 1;
}

void
wh_roster_set_due(Endpoint *endpoint, TimestampTz due)
{
	endpoint->next_due = due;
	if (wh_roster_is_gone(endpoint))
		due = due < DT_NOEND ? DT_NOBEGIN : DT_NOEND;
	else if (window_places(endpoint) > 0)
		due = Max(due, earliest_start(endpoint));
	else
		due = DT_NOEND;
	earliest_due = Min(earliest_due, due);
}

TimestampTz
wh_roster_earliest_due(void)
{
	if (is_stale)
		wh_roster_refresh_earliest();
	return earliest_due;
}

long
wh_roster_time_to_due(void)
{
	TimestampTz now = GetCurrentTimestamp();

	/* From infinity, the server subtracts without a look at the overflow. */
	return earliest_due <= now ? 0 :
		TimestampDifferenceMilliseconds(now, earliest_due);
}

static void
note_earliest(Endpoint *endpoint, void *arg)
{
	wh_roster_set_due(endpoint, endpoint->next_due);
}

void
wh_roster_refresh_earliest(void)
{
	earliest_due = DT_NOEND;
	is_stale = is_share_awaited = false;
	wh_roster_visit(note_earliest, NULL);
}

static void
forget_due(Endpoint *endpoint, void *arg)
{
	wh_roster_set_due(endpoint, DT_NOBEGIN);
}

void
wh_roster_forget_due(void)
{
	wh_roster_visit(forget_due, NULL);
}

void
wh_roster_forget_config(void)
{
	wh_roster_visit(forget_config, NULL);
}

int
wh_roster_places(const Endpoint *endpoint)
{
	int			places = window_places(endpoint);

	if (places > 0 && endpoint->start_interval > 0)
		places = Min(places, rate_places(endpoint));
	return places;
}

void
wh_roster_set_limits(Endpoint *endpoint, int max_in_flight,
					 int64 start_interval)
{
	/* What was started before its rate was known counts. */
	if (endpoint->start_interval == 0 && endpoint->in_flight > 0)
		endpoint->next_start = GetCurrentTimestamp() + start_interval;
	endpoint->max_in_flight = max_in_flight;
	endpoint->start_interval = start_interval;
}

bool
wh_roster_note_start(Endpoint *endpoint)
{
	bool		is_unproven = !is_proven(endpoint);

	if (is_unproven)
	{
		unproven_count++;
		unproven_of_group[endpoint->group]++;
	}
	endpoint->in_flight++;
	if (endpoint->start_interval > 0)
		endpoint->next_start = endpoint->start_interval +
			Max(earliest_start(endpoint) + burst(endpoint),
				GetCurrentTimestamp());
	return is_unproven;
}

void
wh_roster_note_end(Endpoint *endpoint, bool was_unproven)
{
	endpoint->in_flight--;
	if (!was_unproven)
		return;
	unproven_count--;
	unproven_of_group[endpoint->group]--;
	is_stale |= is_share_awaited;
}

void
wh_roster_note_result(Endpoint *endpoint, bool is_success)
{
	endpoint->is_cautious = false;
	if (!is_success)
		endpoint->window = 1;
	else if (endpoint->window < max_in_flight(endpoint))
		endpoint->window++;
	wh_roster_set_due(endpoint, endpoint->next_due);
}

void
wh_roster_set_group(Endpoint *endpoint, const char *organization_id)
{
	/* What is on the wire was counted for the group that it had. */
	if (endpoint->in_flight > 0)
		return;
	endpoint->group = hash_bytes((const unsigned char *) organization_id,
								 strlen(organization_id)) % WH_GROUPS;
}
