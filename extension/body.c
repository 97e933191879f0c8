/*
 * body.c
 *		Request bodies in a worker's memory: shared, counted, limited.
 *
 * A body is there from the taking of its first delivery until the last one is
 * over.  Made in the worker's taking transaction; outlives it.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "utils/memutils.h"

#include "body.h"
#include "compat.h"
#include "encoding.h"

/*
 * As many bytes of large bodies as there may be at once: with the default
 * max_in_flight each may have 128 KiB before requests have to wait for memory.
 * Small ones never do, so that nobody's large ones hold them up; they take at
 * most half as much again.
 */
#define MAX_BYTES (64 * 1024 * 1024)
#define SMALL_BYTES (64 * 1024)

static Size large_bytes;
static bool is_awaited;

Body *
wh_body_create(text *payload)
{
	text	   *flat = (text *) PG_DETOAST_DATUM_PACKED(PointerGetDatum(payload));
	const char *bytes = VARDATA_ANY(flat);
	int			length = VARSIZE_ANY_EXHDR(flat);
	const char *utf8 = wh_encoding_to_utf8(bytes, &length);
	Body	   *body;

	if (utf8 == NULL)
		length = 0;
	body = MemoryContextAllocHuge(TopMemoryContext, offsetof(Body, bytes) + length);
	body->references = 0;
	body->is_unsendable = utf8 == NULL;
	body->length = length;
	if (utf8)
		memcpy(body->bytes, utf8, length);
	if (length > SMALL_BYTES)
		large_bytes += length;
	if (utf8 && utf8 != bytes)
		pfree((char *) utf8);
	if (flat != payload)
		pfree(flat);
	return body;
}

bool
wh_body_has_room(text *payload)
{
	Size		size = toast_raw_datum_size(PointerGetDatum(payload)) - VARHDRSZ;

	if (size <= SMALL_BYTES || large_bytes == 0 ||
		large_bytes + size <= MAX_BYTES)
		return true;
	is_awaited = true;
	return false;
}

bool
wh_body_release(Body *body)
{
	bool		is_large = body->length > SMALL_BYTES;
	bool		was_awaited = is_awaited;

	if (--body->references > 0)
		return false;
	if (is_large)
		large_bytes -= body->length;
	pfree(body);
	if (!is_large)
		return false;
	is_awaited = false;
	return was_awaited;
}
