/*
 * config.c
 *		Taking: loading the configuration of endpoints into the roster.
 *
 * Runs in the worker's short transactions, with the snapshot of the take that
 * needs the endpoint, so that a committed change is never missed.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "header.h"
#include "queue.h"
#include "settings.h"
#include "statement.h"

static Statement load_endpoints = {
	"select t.id, t.revision, t.organization_id, t.url, t.status = 'paused',"
	"  (extract(epoch from t.timeout) * 1000)::int,"
	"  (select array_agg(s.secret order by s.expires_at desc nulls first)"
	"    from webhook.endpoint_secret s where s.endpoint_id = t.id"
	"    and (s.expires_at is null or s.expires_at > clock_timestamp())),"
	"  (select max(s.expires_at) from webhook.endpoint_secret s"
	"    where s.endpoint_id = t.id),"
	"  (select array_agg(h.name order by h.name) from webhook.endpoint_header h"
	"    where h.endpoint_id = t.id),"
	"  (select array_agg(h.value order by h.name) from webhook.endpoint_header h"
	"    where h.endpoint_id = t.id),"
	"  coalesce(t.max_in_flight, 0),"
	"  coalesce((1000000 / t.rate_limit)::bigint, 0),"
	"  (select f.since from webhook.failing f where f.endpoint_id = t.id)"
	" from webhook.endpoint t where t.id = any($1)",
	SPI_OK_SELECT, 1, {INT8ARRAYOID}
};

static Statement list_endpoints = {
	"select id, coalesce(max_in_flight, 0),"
	"  coalesce((1000000 / rate_limit)::bigint, 0), organization_id,"
	"  status = 'disabled', xmin"
	" from webhook.endpoint where (1::bigint << (id & 63)::int) & $1 <> 0 order by id",
	SPI_OK_SELECT, 1, {INT8OID}
};

/* Jumps from one endpoint to the next: of a backlog it reads one row each. */
static Statement list_queued = {
	"with recursive next(id) as ("
	" (select endpoint_id from webhook.queue where next_attempt_at is not null"
	"   order by endpoint_id limit 1)"
	" union all"
	" select (select q.endpoint_id from webhook.queue q"
	"   where q.next_attempt_at is not null and q.endpoint_id > n.id"
	"   order by q.endpoint_id limit 1) from next n where n.id is not null)"
	" select id from next where (1::bigint << (id & 63)::int) & $1 <> 0",
	SPI_OK_SELECT, 1, {INT8OID}
};

/* Make keys of the secrets and wipe their text. */
static void
load_keys(Endpoint *endpoint, Datum secrets)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(secrets), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count && i < WH_MAX_SECRETS; i++)
	{
		char	   *secret = TextDatumGetCString(elements[i]);
		SigningKey *key = wh_sign_key_create(secret);

		explicit_bzero(secret, strlen(secret));
		explicit_bzero(VARDATA_ANY(DatumGetPointer(elements[i])),
					   VARSIZE_ANY_EXHDR(DatumGetPointer(elements[i])));
		if (key == NULL)
			elog(ERROR, "could not prepare the secret of endpoint " INT64_FORMAT,
				 endpoint->id);
		endpoint->keys[endpoint->key_count++] = key;
	}
}

static void
load_strings(uint64 row, Endpoint *endpoint)
{
	MemoryContext old;
	char		host[300];
	char		target[4096];

	endpoint->context = AllocSetContextCreate(TopMemoryContext,
											  "webhook endpoint",
											  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(endpoint->context);
	endpoint->organization_id = wh_statement_text(row, 3);
	endpoint->url = wh_statement_text(row, 4);
	if (!wh_http_split_url(endpoint->url, host, sizeof(host), target,
						   sizeof(target)))
		host[0] = target[0] = '\0';
	endpoint->host = pstrdup(host);
	endpoint->target = pstrdup(target);
	MemoryContextSwitchTo(old);
}

static void
load_health(uint64 row, Endpoint *endpoint)
{
	bool		is_null;
	Datum		since = wh_statement_column(row, 13, &is_null);

	if (is_null && endpoint->failing_stored != 0)
		endpoint->stored_at = 0;	/* given another chance */
	endpoint->failing_since = is_null ? 0 : DatumGetTimestampTz(since);
	endpoint->failing_stored = endpoint->failing_since;
}

static void
load_endpoint(uint64 row)
{
	bool		is_null;
	Datum		value = wh_statement_column(row, 1, &is_null);
	Endpoint   *endpoint = wh_roster_get(DatumGetInt64(value));

	wh_roster_unload(endpoint);
	load_strings(row, endpoint);
	endpoint->is_paused = DatumGetBool(wh_statement_column(row, 5, &is_null));
	value = wh_statement_column(row, 6, &is_null);
	endpoint->timeout_ms = is_null ? wh_timeout : DatumGetInt32(value);
	value = wh_statement_column(row, 8, &is_null);
	for (int i = 0; i < WH_MAX_SECRETS; i++)
		endpoint->key_expires_at[i] = is_null ? DT_NOEND :
			DatumGetTimestampTz(value);
	value = wh_statement_column(row, 7, &is_null);
	if (!is_null)
		load_keys(endpoint, value);
	value = wh_statement_column(row, 9, &is_null);
	if (!is_null)
		wh_header_load(endpoint, value,
					   wh_statement_column(row, 10, &is_null));
	wh_roster_set_limits(endpoint,
						 DatumGetInt32(wh_statement_column(row, 11, &is_null)),
						 DatumGetInt64(wh_statement_column(row, 12, &is_null)));
	load_health(row, endpoint);
	endpoint->revision = DatumGetInt64(wh_statement_column(row, 2, &is_null));

	/* It may have more places than while nothing was known. */
	wh_roster_set_due(endpoint, endpoint->next_due);
}

void
wh_queue_load_endpoints(const int64 *ids, int count)
{
	Datum	   *elements = palloc(Max(count, 1) * sizeof(Datum));
	Datum		value;
	uint64		found;

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		elements[i] = Int64GetDatum(ids[i]);
	value = wh_statement_array(elements, NULL, count, INT8OID);
	found = wh_statement_run(&load_endpoints, &value, NULL, true);
	for (uint64 i = 0; i < found; i++)
		load_endpoint(i);
}

void
wh_queue_learn_endpoints(int64 shards)
{
	Datum		value = Int64GetDatum(shards);
	uint64		count = wh_statement_run(&list_endpoints, &value, NULL, true);

	wh_roster_unlist();
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Datum		id = wh_statement_column(i, 1, &is_null);
		Endpoint   *endpoint = wh_roster_get(DatumGetInt64(id));

		endpoint->is_disabled = DatumGetBool(wh_statement_column(i, 5, &is_null));
		wh_roster_set_group(endpoint, wh_statement_text(i, 4));
		wh_roster_set_limits(endpoint,
							 DatumGetInt32(wh_statement_column(i, 2, &is_null)),
							 DatumGetInt64(wh_statement_column(i, 3, &is_null)));
		wh_roster_list(endpoint,
					   DatumGetTransactionId(wh_statement_column(i, 6, &is_null)));
	}
	wh_roster_remove_unlisted(GetActiveSnapshot());
}

void
wh_queue_learn_queued(int64 shards)
{
	Datum		value = Int64GetDatum(shards);
	uint64		count = wh_statement_run(&list_queued, &value, NULL, true);

	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;

		(void) wh_roster_get(DatumGetInt64(wh_statement_column(i, 1, &is_null)));
	}
}
