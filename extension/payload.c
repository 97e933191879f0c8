/*
 * payload.c
 *		The request body: the envelope of the product text around the data.
 *
 * Made once, when the event is emitted, in the caller's transaction; from
 * then on these bytes are stored, signed and sent unchanged.
 */
#include "postgres.h"

#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "encoding.h"
#include "payload.h"
#include "settings.h"

#define RESERVED_PREFIX "webhook."

/* RFC 3339 in UTC with whole seconds, whatever TimeZone and DateStyle say. */
static void
append_timestamp(StringInfo buf, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fraction;

	if (timestamp2tm(at, NULL, &tm, &fraction, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	appendStringInfo(buf, "%04d-%02d-%02dT%02d:%02d:%02dZ",
					 tm.tm_year, tm.tm_mon, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void
check_type(Names *names, const OutboxEvent *event, const char *type)
{
	if (event->is_internal)
		return;
	if (strncmp(type, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event type \"%s\" is reserved", type),
				 errdetail("Names under \"webhook.\" belong to the extension's own operational events."),
				 errhint("Use a name of your own and insert it into webhook.event_type.")));
	wh_names_check_event_type(names, event->type);
}

static void
check_object(const char *data, int length)
{
	int			i = 0;

	while (i < length && (data[i] == ' ' || data[i] == '\t' ||
						  data[i] == '\n' || data[i] == '\r'))
		i++;
	if (i == length || data[i] != '{')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event data must be a JSON object"),
				 errhint("Pass an object such as %s.",
						 "'{\"review_id\": \"rev_abc123\"}'")));
}

/* Whether it can be sent. */
static bool
is_utf8(const char *bytes, int length)
{
	const char *utf8;

	if (pg_is_ascii(bytes))
		return true;
	utf8 = wh_encoding_to_utf8(bytes, &length);
	if (utf8 && utf8 != bytes)
		pfree((char *) utf8);
	return utf8 != NULL;
}

/* In events of our own, which are refused to nobody: a name may have such bytes. */
static void
replace_non_ascii(char *bytes)
{
	for (; *bytes; bytes++)
	{
		if (IS_HIGHBIT_SET(*bytes))
			*bytes = '?';
	}
}

static void
refuse_encoding(void)
{
	bool		is_any = GetDatabaseEncoding() == PG_SQL_ASCII;

	ereport(ERROR,
			(errcode(is_any ? ERRCODE_CHARACTER_NOT_IN_REPERTOIRE :
					 ERRCODE_UNTRANSLATABLE_CHARACTER),
			 is_any ? errmsg("event payload is not valid UTF-8") :
			 errmsg("event payload cannot be converted to UTF-8"),
			 errdetail("The database has the encoding %s, and webhooks are sent as UTF-8.",
					   GetDatabaseEncodingName())));
}

text *
wh_payload_build(Names *names, const OutboxEvent *event,
				 TimestampTz created_at)
{
	char	   *type = text_to_cstring(event->type);
	char	   *organization = text_to_cstring(event->organization);
	char	   *data = VARDATA_ANY(event->data);
	int			length = VARSIZE_ANY_EXHDR(event->data);
	StringInfoData buf;

	check_type(names, event, type);
	check_object(data, length);

	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	appendStringInfoString(&buf, "{\"event\":");
	escape_json(&buf, type);
	appendStringInfoString(&buf, ",\"timestamp\":\"");
	append_timestamp(&buf, created_at);
	appendStringInfoString(&buf, "\",\"organization\":{\"id\":");
	escape_json(&buf, organization);
	appendStringInfoString(&buf, ",\"name\":");
	escape_json(&buf, wh_names_organization(names, event->organization));
	appendStringInfoString(&buf, "},\"data\":");
	appendBinaryStringInfo(&buf, data, length);
	appendStringInfoChar(&buf, '}');

	/* Ours are small, and nobody is there who could make them smaller. */
	if (buf.len - VARHDRSZ > wh_payload_limit &&
		(!event->is_internal || event->is_test))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("event payload is too large"),
				 errdetail("The payload has %d bytes, and webhook.payload_limit is %d bytes.",
						   buf.len - VARHDRSZ, wh_payload_limit)));
	if (!is_utf8(buf.data + VARHDRSZ, buf.len - VARHDRSZ))
	{
		if (!event->is_internal)
			refuse_encoding();
		replace_non_ascii(buf.data + VARHDRSZ);
	}
	SET_VARSIZE(buf.data, buf.len);
	return (text *) buf.data;
}
