/*
 * request.c
 *		From an event and an endpoint to the head of a signed request.
 *
 * Every byte of the head is made here (libcurl adds the request line and
 * Host), so that what the log shows is what was sent.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "request.h"
#include "settings.h"

#define UNIX_EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

static bool
is_live(const Endpoint *endpoint, int key, TimestampTz at)
{
	return key == 0 || endpoint->key_expires_at[key] > at;
}

/* X-Jasper-Signature under each prefix: the newest secret alone. */
static void
append_body_signatures(StringInfo out, const Delivery *delivery)
{
	const char *prefix = wh_header_prefix;
	char		signature[WH_SIGN_BODY_SIZE];

	if (!wh_sign_body(delivery->endpoint->keys[0], delivery->body->bytes,
					  delivery->body->length, signature))
		elog(ERROR, "could not sign a request");
	while (*prefix)
	{
		int			length;

		prefix += strspn(prefix, ", \t");
		length = strcspn(prefix, ", \t");
		if (length > 0)
			appendStringInfo(out, "%.*s-Signature: %s\r\n", length, prefix,
							 signature);
		prefix += length;
	}
}

/* webhook-signature: every live secret that can serve, newest first. */
static void
append_standard_signature(StringInfo out, const Delivery *delivery,
						  const char *id, const char *timestamp,
						  TimestampTz at)
{
	const Endpoint *endpoint = delivery->endpoint;
	const char *separator = "webhook-signature: ";
	char		signature[WH_SIGN_STANDARD_SIZE];

	for (int i = 0; i < endpoint->key_count; i++)
	{
		if (!is_live(endpoint, i, at) ||
			!wh_sign_key_is_standard(endpoint->keys[i]))
			continue;
		if (!wh_sign_standard(endpoint->keys[i], id, timestamp,
							  delivery->body->bytes, delivery->body->length,
							  signature))
			elog(ERROR, "could not sign a request");
		appendStringInfo(out, "%s%s", separator, signature);
		separator = " ";
	}
	if (*separator == ' ')
		appendStringInfoString(out, "\r\n");
}

void
wh_request_append_headers(StringInfo out, const Delivery *delivery,
						  TimestampTz at)
{
	int			prefix_length = strcspn(wh_header_prefix, ", \t");
	const char *prefix = wh_header_prefix;
	const char *brand = strncasecmp(prefix, "X-", 2) == 0 ? prefix + 2 : prefix;
	char	   *id = DatumGetCString(DirectFunctionCall1(uuid_out,
														 UUIDPGetDatum(&delivery->event_id)));
	char		timestamp[32];

	snprintf(timestamp, sizeof(timestamp), INT64_FORMAT,
			 (int64) (at / USECS_PER_SEC + UNIX_EPOCH_DAYS * SECS_PER_DAY));
	appendStringInfo(out, "User-Agent: %.*s-Webhooks/%s\r\n",
					 (int) (prefix + prefix_length - brand), brand,
					 WEBHOOK_VERSION);
	appendStringInfoString(out, "Content-Type: application/json\r\n");
	appendStringInfo(out, "%.*s-Event: %s\r\n", prefix_length, prefix,
					 delivery->event_type);
	appendStringInfo(out, "%.*s-Event-Id: %s\r\n", prefix_length, prefix, id);
	appendStringInfo(out, "%.*s-Attempt: %d\r\n", prefix_length, prefix,
					 delivery->attempt);
	append_body_signatures(out, delivery);
	appendStringInfo(out, "webhook-id: %s\r\nwebhook-timestamp: %s\r\n", id,
					 timestamp);
	append_standard_signature(out, delivery, id, timestamp, at);
	appendStringInfo(out, "Content-Length: %d\r\n", delivery->body->length);
}

void
wh_request_append_line(StringInfo out, const Endpoint *endpoint)
{
	appendStringInfo(out, "POST %s HTTP/1.1\r\nHost: %s\r\n",
					 endpoint->target, endpoint->host);
}
