/*
 * lone.c
 *		One endpoint and one body, loaded by an ordinary session.
 *
 * For webhook.test and webhook.preview, which make a request outside of any
 * worker, with the worker's code.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "lone.h"
#include "queue.h"

Endpoint *
wh_lone_endpoint(int64 id)
{
	static bool has_roster = false;
	Endpoint   *endpoint;

	if (!has_roster)
		wh_roster_create();
	has_roster = true;
	endpoint = wh_roster_get(id);
	wh_roster_unload(endpoint);
	wh_queue_load_endpoints(&id, 1);
	if (endpoint->revision == 0)
		elog(ERROR, "endpoint " INT64_FORMAT " does not exist", id);
	return endpoint;
}

Body *
wh_lone_body(const char *payload)
{
	char	   *utf8 = (char *) pg_do_encoding_conversion((unsigned char *) payload,
														  strlen(payload),
														  GetDatabaseEncoding(),
														  PG_UTF8);
	Body	   *body = palloc(offsetof(Body, bytes) + strlen(utf8));

	body->references = 1;
	body->obstacle = NULL;
	body->length = strlen(utf8);
	memcpy(body->bytes, utf8, body->length);
	return body;
}
