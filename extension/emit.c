/*
 * emit.c
 *		webhook.emit: record an event in the caller's transaction.
 *
 * Never waits for the network, and never for anybody but a second caller with
 * the same idempotency key.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "access.h"
#include "catalogue.h"
#include "outbox.h"
#include "session.h"

#define MAX_KEY_LENGTH 255		/* as the table's constraint says */

PG_FUNCTION_INFO_V1(webhook_emit_text);
PG_FUNCTION_INFO_V1(webhook_emit_json);
PG_FUNCTION_INFO_V1(webhook_emit_jsonb);
PG_FUNCTION_INFO_V1(webhook_record);
PG_FUNCTION_INFO_V1(webhook_origin);
PG_FUNCTION_INFO_V1(webhook_config_changed);
PG_FUNCTION_INFO_V1(webhook_due_changed);

int32
wh_outbox_origin(void)
{
	static int32 origin;
	static Oid	origin_outbox;	/* the table that it was made for */
	Oid			outbox = wh_catalogue_table("event");

	if (outbox != origin_outbox)
	{
		struct
		{
			uint64		system;
			Oid			database;
			Oid			outbox;
		}			key = {GetSystemIdentifier(), MyDatabaseId, outbox};

		origin = (int32) hash_bytes((unsigned char *) &key, sizeof(key));
		if (origin == 0)
			origin = 1;
		origin_outbox = outbox;
	}
	return origin;
}

static text *
get_text_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_TEXT_PP(number);
}

/* A statement with (organization, key[, id]) that returns an id, or NULL. */
static pg_uuid_t *
run_key_statement(const char *command, int nargs, Datum *args)
{
	static const Oid types[] = {TEXTOID, TEXTOID, UUIDOID};
	pg_uuid_t  *id = NULL;
	OwnerScope	scope;

	wh_owner_enter(&scope);
	SPI_connect();
	if (SPI_execute_with_args(command, nargs, (Oid *) types, args, NULL,
							  false, 1) < 0)
		elog(ERROR, "could not look up an idempotency key");
	if (SPI_processed == 1)
	{
		bool		is_null;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, 1, &is_null);

		id = SPI_palloc(sizeof(pg_uuid_t));
		memcpy(id, DatumGetUUIDP(value), sizeof(pg_uuid_t));
	}
	SPI_finish();
	wh_owner_leave(&scope);
	return id;
}

static void
check_key(text *key)
{
	int			length = pg_mbstrlen_with_len(VARDATA_ANY(key),
											  VARSIZE_ANY_EXHDR(key));

	if (length == 0 || length > MAX_KEY_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("invalid idempotency key"),
				 errdetail("It has %d characters.", length),
				 errhint("Use 1 to %d characters.", MAX_KEY_LENGTH)));
}

/*
 * Claim an idempotency key for a new event.  NULL: it is ours; else the id of
 * the event that has it.  A concurrent holder is waited for; when it commits,
 * its row is visible to a second statement only, and under REPEATABLE READ to
 * none.
 */
static pg_uuid_t *
claim_key(text *organization, text *key, pg_uuid_t *id)
{
	Datum		args[] = {PointerGetDatum(organization), PointerGetDatum(key),
	UUIDPGetDatum(id)};
	pg_uuid_t  *existing;

	check_key(key);
	if (run_key_statement("insert into webhook.idempotency_key as k"
						  " (organization_id, key, event_id)"
						  " values ($1, $2, $3)"
						  " on conflict (organization_id, key) do update"
						  " set event_id = excluded.event_id,"
						  " created_at = excluded.created_at"
						  " where k.created_at < clock_timestamp()"
						  " - webhook._retention()"
						  " returning event_id", 3, args))
		return NULL;
	existing = run_key_statement("select event_id from webhook.idempotency_key"
								 " where organization_id = $1 and key = $2",
								 2, args);
	if (existing == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access to an idempotency key"),
				 errhint("The transaction might succeed if retried.")));
	return existing;
}

/* Record one event; returns a pointer to its id in the current context. */
static pg_uuid_t *
record(const OutboxEvent *event, const EventStamp *stamp)
{
	OutboxWriter *writer = wh_outbox_open();
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	wh_outbox_add(writer, event, stamp);
	wh_outbox_close(writer);
	*id = stamp->id;
	return id;
}

static Datum
emit(FunctionCallInfo fcinfo, text *data)
{
	OutboxEvent event = {0};
	EventStamp	stamp;
	pg_uuid_t  *id;

	event.type = get_text_argument(fcinfo, 0, "event type");
	event.organization = get_text_argument(fcinfo, 1, "organization");
	event.data = data;
	wh_access_check(event.organization);
	wh_eventid_stamp(&stamp);
	if (!PG_ARGISNULL(3))
	{
		/* The outbox before all others: see aside.c. */
		LockRelationOid(wh_catalogue_table("event"), AccessShareLock);
		id = claim_key(event.organization, PG_GETARG_TEXT_PP(3), &stamp.id);
		if (id)
			PG_RETURN_UUID_P(id);
	}
	id = record(&event, &stamp);
	PG_RETURN_UUID_P(id);
}

Datum
webhook_emit_text(PG_FUNCTION_ARGS)
{
	text	   *data = get_text_argument(fcinfo, 2, "event data");

	/* Its value is not needed: this raises 22P02 for what is no JSON. */
	(void) DirectFunctionCall1(json_in,
							   CStringGetDatum(text_to_cstring(data)));
	return emit(fcinfo, data);
}

Datum
webhook_emit_json(PG_FUNCTION_ARGS)
{
	return emit(fcinfo, get_text_argument(fcinfo, 2, "event data"));
}

Datum
webhook_emit_jsonb(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb;

	(void) get_text_argument(fcinfo, 2, "event data");
	jsonb = PG_GETARG_JSONB_P(2);
	return emit(fcinfo,
				cstring_to_text(JsonbToCString(NULL, &jsonb->root,
											   VARSIZE(jsonb))));
}

/* _record(event, organization, data json, is_test): our own events. */
Datum
webhook_record(PG_FUNCTION_ARGS)
{
	OutboxEvent event = {0};
	EventStamp	stamp;

	event.type = PG_GETARG_TEXT_PP(0);
	event.organization = PG_GETARG_TEXT_PP(1);
	event.data = PG_GETARG_TEXT_PP(2);
	event.is_test = PG_GETARG_BOOL(3);
	event.is_internal = true;
	wh_eventid_stamp(&stamp);
	PG_RETURN_UUID_P(record(&event, &stamp));
}

Datum
webhook_origin(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(wh_outbox_origin());
}

/* Trigger on configuration tables. */
Datum
webhook_config_changed(PG_FUNCTION_ARGS)
{
	wh_commit_announce_config();
	return PointerGetDatum(NULL);
}

/* Trigger on webhook.queue; a worker of ours needs no announcement of its own. */
Datum
webhook_due_changed(PG_FUNCTION_ARGS)
{
	if (!wh_session_is_worker())
		wh_commit_announce_due();
	return PointerGetDatum(NULL);
}
