/*
 * roster.c
 *		What a worker knows of its endpoints, in its own memory.
 *
 * An endpoint begins with a small window, doubled by successes as TCP does it
 * (RFC 5681, slow start) and reduced to one by a failure, so that endpoints
 * that hang never hold more than a few of the worker's places.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "roster.h"
#include "settings.h"

#define FIRST_WINDOW 8

static HTAB *roster;
static TimestampTz earliest_due = DT_NOEND;

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
	endpoint->own_headers = endpoint->masked_headers = NULL;
}

void
wh_roster_set_due(Endpoint *endpoint, TimestampTz due)
{
	endpoint->next_due = due;
	if (due < earliest_due && wh_roster_places(endpoint) > 0)
		earliest_due = due;
}

TimestampTz
wh_roster_earliest_due(void)
{
	return earliest_due;
}

long
wh_roster_time_to_due(void)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), earliest_due);
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

static void
forget_config(Endpoint *endpoint, void *arg)
{
	endpoint->is_paused = false;
	endpoint->revision = 0;
}

void
wh_roster_forget_config(void)
{
	wh_roster_visit(forget_config, NULL);
	wh_roster_forget_due();
}

int
wh_roster_places(const Endpoint *endpoint)
{
	int			window = Min(endpoint->window, wh_max_in_flight_per_endpoint);

	if (endpoint->is_paused)
		return 0;
	if (endpoint->is_cautious)
		window = 1;
	return Max(window - endpoint->in_flight, 0);
}

void
wh_roster_note_result(Endpoint *endpoint, bool is_success)
{
	endpoint->is_cautious = false;
	if (!is_success)
		endpoint->window = 1;
	else if (endpoint->window < wh_max_in_flight_per_endpoint)
		endpoint->window++;
	wh_roster_set_due(endpoint, endpoint->next_due);
}
