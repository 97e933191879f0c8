/*
 * preview.c
 *		webhook.preview: what a request would look like, and how to send it.
 *
 * Nothing is recorded or sent; the head is made by the code that makes it for
 * real requests.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "eventid.h"
#include "lone.h"
#include "payload.h"
#include "request.h"

PG_FUNCTION_INFO_V1(webhook_preview);

/* One word for a POSIX shell, whatever is in it. */
static void
append_quoted(StringInfo out, const char *word, size_t length)
{
	appendStringInfoChar(out, '\'');
	for (size_t i = 0; i < length; i++)
	{
		if (word[i] == '\'')
			appendStringInfoString(out, "'\\''");
		else
			appendStringInfoChar(out, word[i]);
	}
	appendStringInfoChar(out, '\'');
}

/* Each CR LF line as an option; curl counts the body itself. */
static void
append_header_options(StringInfo out, const char *lines)
{
	while (*lines)
	{
		size_t		length = strcspn(lines, "\r");

		if (strncmp(lines, "Content-Length:", 15) != 0)
		{
			appendStringInfoString(out, " --header ");
			append_quoted(out, lines, length);
		}
		lines += length + 2;
	}
}

/*
 * The options make curl send these bytes and no others: the URL is taken as it
 * stands, and headers of curl's own are left out.
 */
static char *
make_command(const Endpoint *endpoint, const char *headers, const char *body)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "curl --globoff --http1.1 --max-time %.3f"
					 " --header 'Accept:' --header 'Expect:'",
					 endpoint->timeout_ms / 1000.0);
	append_header_options(&out, headers);
	appendStringInfoString(&out, " --data-raw ");
	append_quoted(&out, body, strlen(body));
	appendStringInfoChar(&out, ' ');
	append_quoted(&out, endpoint->url, strlen(endpoint->url));
	return out.data;
}

static char *
make_body(const Endpoint *endpoint, text *type, text *data,
		  const EventStamp *stamp)
{
	OutboxEvent event = {0};

	event.type = type;
	event.organization = cstring_to_text(endpoint->organization_id);
	event.data = data;
	event.is_internal = true;	/* its name was checked, as a subscription's */
	return text_to_cstring(wh_payload_build(wh_names_create(), &event, stamp->created_at));
}

static void
make_values(Delivery *delivery, text *type, text *data, Datum *values)
{
	EventStamp	stamp;
	StringInfoData head;
	int			line_length;
	char	   *body;

	if (delivery->endpoint->key_count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("endpoint " INT64_FORMAT " has no secret",
						delivery->endpoint->id),
				 errhint("Run: select webhook.rotate_secret(" INT64_FORMAT ")",
						 delivery->endpoint->id)));
	wh_eventid_stamp(&stamp);
	body = make_body(delivery->endpoint, type, data, &stamp);
	delivery->event_id = stamp.id;
	delivery->event_type = text_to_cstring(type);
	delivery->attempt = 1;
	delivery->body = wh_lone_body(body);
	initStringInfo(&head);
	wh_request_append_line(&head, delivery->endpoint);
	line_length = head.len;
	wh_request_append_headers(&head, delivery, GetCurrentTimestamp());
	if (delivery->endpoint->masked_headers)
		appendStringInfoString(&head, delivery->endpoint->masked_headers);
	values[0] = CStringGetTextDatum(head.data);
	values[1] = CStringGetTextDatum(body);
	values[2] = CStringGetTextDatum(make_command(delivery->endpoint,
												 head.data + line_length,
												 body));
}

Datum
webhook_preview(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Delivery	delivery = {0};
	TupleDesc	descriptor;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	descriptor = BlessTupleDesc(descriptor);
	SPI_connect();
	delivery.endpoint = wh_lone_endpoint(PG_GETARG_INT64(0));
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		make_values(&delivery, PG_GETARG_TEXT_PP(1), PG_GETARG_TEXT_PP(2),
					values);
	}
	PG_FINALLY();
	{
		wh_roster_unload(delivery.endpoint);
	}
	PG_END_TRY();
	SPI_finish();
	MemoryContextSwitchTo(caller);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls)));
}
