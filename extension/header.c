/*
 * header.c
 *		Headers of an endpoint's own: checked as rows, made lines for requests.
 *
 * A value never goes into a message, nor into the parameters of a statement:
 * the check of a row is in C for that reason.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "access.h"
#include "header.h"
#include "settings.h"
#include "text.h"

PG_FUNCTION_INFO_V1(webhook_check_header);

/* Columns of webhook.endpoint_header, in the order of header.sql. */
enum HeaderColumn
{
	HEADER_ENDPOINT_ID = 1, HEADER_NAME, HEADER_VALUE
};

static bool
name_is_valid(const char *name)
{
	return strlen(name) <= WH_HEADER_NAME_MAX &&
		wh_text_header_name_is_valid(name);
}

static bool
value_is_valid(const char *value)
{
	return strlen(value) <= WH_HEADER_VALUE_MAX &&
		wh_text_header_value_is_valid(value);
}

/* What is no name may be a value in the wrong place: it is not repeated. */
static void
check_name(const char *name)
{
	if (name == NULL || !name_is_valid(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid name of a header"),
				 errdetail("A name has 1 to %d ASCII letters, digits and characters such as - and _.",
						   WH_HEADER_NAME_MAX),
				 errhint("Use a name such as Authorization.")));
	/* Of a dump that was right, another server may have other prefixes. */
	if (wh_text_header_is_reserved(name, wh_access_is_restoring() ? "" :
								   wh_header_prefix))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("header \"%s\" is reserved", name),
				 errdetail("Headers of the connection, Host, Content-*, User-Agent, Expect, Accept-Encoding, *-Signature, webhook-* and those under webhook.header_prefix cannot be set."),
				 errhint("Use a name such as Authorization or X-Api-Key.")));
}

static void
check_value(const char *name, const char *value)
{
	if (value == NULL || !value_is_valid(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value of header \"%s\"", name),
				 errdetail("A value has 1 to %d visible ASCII characters, and spaces and tabs only between them.",
						   WH_HEADER_VALUE_MAX),
				 errhint("Encode what else it has to hold, for example in base64.")));
}

/* The server's own message for a constraint would show the whole row. */
static void
check_endpoint_id(const TriggerData *trigger, HeapTuple row)
{
	if (heap_attisnull(row, HEADER_ENDPOINT_ID,
					   RelationGetDescr(trigger->tg_relation)))
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("a header needs the id of its endpoint")));
}

static char *
get_column(const TriggerData *trigger, HeapTuple row, int column)
{
	bool		is_null;
	Datum		value = heap_getattr(row, column,
									 RelationGetDescr(trigger->tg_relation),
									 &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

/* Trigger before insert or update on webhook.endpoint_header, for each row. */
Datum
webhook_check_header(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	char	   *name;
	char	   *value;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	name = get_column(trigger, row, HEADER_NAME);
	value = get_column(trigger, row, HEADER_VALUE);
	check_endpoint_id(trigger, row);
	check_name(name);
	check_value(name, value);
	explicit_bzero(value, strlen(value));
	return PointerGetDatum(row);
}

static void
append_header(StringInfo lines, StringInfo masked, text *name_text,
			  text *value_text)
{
	char	   *name = text_to_cstring(name_text);
	char	   *value = text_to_cstring(value_text);

	if (name_is_valid(name) && value_is_valid(value) &&
		!wh_text_header_is_reserved(name, wh_header_prefix))
	{
		appendStringInfo(lines, "%s: %s\r\n", name, value);
		appendStringInfo(masked, "%s: ***\r\n", name);
	}
	explicit_bzero(value, strlen(value));
	explicit_bzero(VARDATA_ANY(value_text), VARSIZE_ANY_EXHDR(value_text));
}

void
wh_header_load(Endpoint *endpoint, Datum names, Datum values)
{
	Datum	   *name;
	Datum	   *value;
	int			count = 0;
	StringInfoData lines;
	StringInfoData masked;

	deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false,
					  TYPALIGN_INT, &name, NULL, &count);
	deconstruct_array(DatumGetArrayTypeP(values), TEXTOID, -1, false,
					  TYPALIGN_INT, &value, NULL, &count);
	initStringInfo(&lines);
	initStringInfo(&masked);
	for (int i = 0; i < count && i < WH_HEADERS_MAX; i++)
		append_header(&lines, &masked, DatumGetTextPP(name[i]),
					  DatumGetTextPP(value[i]));
	if (lines.len == 0)
		return;
	endpoint->own_headers = MemoryContextStrdup(endpoint->context, lines.data);
	endpoint->masked_headers = MemoryContextStrdup(endpoint->context,
												   masked.data);
	explicit_bzero(lines.data, lines.len);
}
