/*
 * names.c
 *		Event types and organizations that were looked up already.
 *
 * A fixed number of places, found by hash; a later name takes the place of an
 * earlier one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalogue.h"
#include "compat.h"
#include "names.h"

#define PLACES 64				/* a power of two */

typedef struct KnownName
{
	text	   *id;				/* NULL: free */
	char	   *name;
} KnownName;

struct Names
{
	MemoryContext context;
	text	   *type;			/* the last one that was found; NULL: none */
	KnownName	organizations[PLACES];
};

Names *
wh_names_create(void)
{
	Names	   *names = palloc0(sizeof(Names));

	names->context = CurrentMemoryContext;
	return names;
}

/*
 * Between two moments that are equal nobody's transaction has ended, and
 * nothing of ours has become visible or was rolled back: a second look at the
 * catalogue would find what the first one did.
 */
typedef struct Moment
{
	uint64		xid;
	uint64		ended;			/* transactions; 0: one snapshot for all */
	SubTransactionId subxact;
	CommandId	command;
} Moment;

static Moment
this_moment(void)
{
	Moment		moment;
	Snapshot	snapshot = GetTransactionSnapshot();

	memset(&moment, 0, sizeof(moment));
	moment.xid = U64FromFullTransactionId(GetTopFullTransactionId());
	moment.ended = snapshot->snapXactCompletionCount;
	moment.subxact = GetCurrentSubTransactionId();
	moment.command = GetCurrentCommandId(false);
	return moment;
}

Names *
wh_names_of_moment(void)
{
	static Names names;
	static Moment known;
	Moment		moment = this_moment();

	if (memcmp(&moment, &known, sizeof(moment)) == 0)
		return &names;
	if (names.context == NULL)
		names.context = AllocSetContextCreate(TopMemoryContext, "webhook names",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(names.context);
	names.type = NULL;
	memset(names.organizations, 0, sizeof(names.organizations));
	known = moment;
	return &names;
}

static bool
is_same(const text *known, const text *asked)
{
	return known && VARSIZE_ANY_EXHDR(known) == VARSIZE_ANY_EXHDR(asked) &&
		memcmp(VARDATA_ANY(known), VARDATA_ANY(asked),
			   VARSIZE_ANY_EXHDR(asked)) == 0;
}

static text *
copy_text(Names *names, const text *value)
{
	Size		size = VARSIZE_ANY(value);

	return memcpy(MemoryContextAlloc(names->context, size), value, size);
}

void
wh_names_check_event_type(Names *names, text *type)
{
	if (is_same(names->type, type))
		return;
	wh_catalogue_check_event_type(type);
	if (names->type)
		pfree(names->type);
	names->type = NULL;			/* should there be no memory */
	names->type = copy_text(names, type);
}

const char *
wh_names_organization(Names *names, text *id)
{
	uint32		hash = hash_bytes((unsigned char *) VARDATA_ANY(id),
								  VARSIZE_ANY_EXHDR(id));
	KnownName  *known = &names->organizations[hash % PLACES];
	char	   *name;

	if (is_same(known->id, id))
		return known->name;
	name = wh_catalogue_organization_name(id);
	if (known->id)
	{
		pfree(known->id);
		pfree(known->name);
	}
	known->id = NULL;
	known->name = MemoryContextStrdup(names->context, name);
	known->id = copy_text(names, id);
	return known->name;
}
