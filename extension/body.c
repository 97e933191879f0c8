/*
 * body.c
 *		Request bodies in a worker's memory: shared, counted, limited.
 *
 * A body is there from the taking of its first delivery until the last one is
 * over.  Made in the worker's taking transaction; outlives it.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

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

/* Is it this row that is broken, and not the server, or our time that is up? */
static bool
is_damage(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_DATA_CORRUPTED ||
		error->sqlerrcode == ERRCODE_INDEX_CORRUPTED ||
		error->sqlerrcode == ERRCODE_IO_ERROR ||
		error->sqlerrcode == ERRCODE_UNDEFINED_FILE;
}

/*
 * The payload in one piece; NULL: it is damaged.  In a transaction of its own
 * within that of the take, which has others to care for.
 */
static text *
read_payload(text *payload)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	text	   *volatile flat = NULL;

	if (!VARATT_IS_EXTERNAL(payload) && !VARATT_IS_COMPRESSED(payload))
		return payload;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		flat = (text *) PG_DETOAST_DATUM_PACKED(PointerGetDatum(payload));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (!is_damage(error))
			ReThrowError(error);
		ereport(LOG,
				(errmsg("webhook could not read a payload: %s", error->message)));
		flat = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return flat;
}

/* Of these bytes, referenced by nobody. */
static Body *
make_body(const char *bytes, int length)
{
	Body	   *body = MemoryContextAllocHuge(TopMemoryContext,
											  offsetof(Body, bytes) + length);

	body->references = 0;
	body->obstacle = NULL;
	body->length = length;
	memcpy(body->bytes, bytes, length);
	if (length > SMALL_BYTES)
		large_bytes += length;
	return body;
}

static Body *
make_unsendable(const char *obstacle)
{
	Body	   *body = make_body("", 0);

	body->obstacle = obstacle;
	return body;
}

Body *
wh_body_create(text *payload)
{
	text	   *flat = read_payload(payload);
	const char *bytes;
	const char *utf8;
	int			length;
	Body	   *body;

	if (flat == NULL)
		return make_unsendable("the payload is damaged");
	bytes = VARDATA_ANY(flat);
	length = VARSIZE_ANY_EXHDR(flat);
	utf8 = wh_encoding_to_utf8(bytes, &length);
	body = utf8 ? make_body(utf8, length) :
		make_unsendable("the payload cannot be converted to UTF-8");
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
