/*
 * watch_plan.c
 *		A watch as its trigger describes it: expressions, ready to be run.
 *
 * Prepared once per session, trigger and user (rights decide what the planner
 * may inline), kept until the table or a schema changes; where it names a type
 * of users, which plans do not follow, until any relation or type does.  Plans
 * of queries follow other changes by themselves; expressions that are kept
 * without a plan call nothing and name nothing else that could change.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "watch_computed.h"
#include "watch_plan.h"

typedef struct CacheKey
{
	Oid			trigger;
	Oid			user;
} CacheKey;

typedef struct CacheEntry
{
	CacheKey	key;
	Watch	   *watch;
} CacheEntry;

static HTAB *cache = NULL;
static uint64 changes;			/* counts what may have made a watch stale */

static void
mark_stale(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	changes++;
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!OidIsValid(relid) || entry->watch->relid == relid ||
			entry->watch->names_types)
			entry->watch->is_stale = true;
	}
}

/* A type was made, changed or dropped: as if all of pg_type was. */
static void
mark_types_stale(Datum arg, int cacheid, uint32 hashvalue)
{
	mark_stale(arg, TypeRelationId);
}

/* A schema was renamed, perhaps one that names are looked up in. */
static void
mark_all_stale(Datum arg, int cacheid, uint32 hashvalue)
{
	mark_stale(arg, InvalidOid);
}

static void
make_cache(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(CacheKey);
	control.entrysize = sizeof(CacheEntry);
	control.hcxt = CacheMemoryContext;
	cache = hash_create("webhook watches", 32, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(mark_stale, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, mark_all_stale, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, mark_types_stale, (Datum) 0);
}

/* The value of an option in a trigger argument, or NULL. */
static char *
option_value(char *argument, const char *option)
{
	size_t		length = strlen(option);

	if (strncmp(argument, option, length) != 0 || argument[length] != '=')
		return NULL;
	return pstrdup(argument + length + 1);
}

static void
read_option(Watch *watch, char *argument)
{
	char	   *value;

	if ((value = option_value(argument, "condition")) != NULL)
		watch->expressions[WATCH_CONDITION].source = value;
	else if ((value = option_value(argument, "search_path")) != NULL)
		watch->search_path = value;
	else if (!option_value(argument, "of") && !option_value(argument, "name"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" passes an unrecognized option to webhook.emit_row",
						watch->name),
				 errdetail("The option is: %s", argument),
				 errhint("Options are condition=, search_path=, of= and name=.")));
}

static void
read_arguments(Watch *watch, int nargs, char **args)
{
	if (nargs < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" passes too few arguments to webhook.emit_row",
						watch->name),
				 errhint("Pass the event, an expression for the organization and, unless data is the row, one for the data.")));
	watch->event = pstrdup(args[0]);
	watch->expressions[WATCH_ORGANIZATION].source = pstrdup(args[1]);
	if (nargs > 2 && args[2][0] != '\0')
		watch->expressions[WATCH_DATA].source = pstrdup(args[2]);
	for (int i = 3; i < nargs; i++)
		read_option(watch, args[i]);
}

Watch *
wh_watch_describe(Relation rel, const char *name, int nargs, char **args)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "webhook watch",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));
	Watch	   *watch = palloc0(sizeof(Watch));

	watch->context = context;
	watch->name = pstrdup(name);
	watch->table = quote_qualified_identifier(schema,
											  RelationGetRelationName(rel));
	watch->relid = RelationGetRelid(rel);
	watch->row_type = rel->rd_rel->reltype;
	/* Written by hand: names are looked up beside the table. */
	watch->search_path = psprintf("%s, pg_temp", quote_identifier(schema));
	for (int role = 0; role < WATCH_EXPRESSIONS; role++)
	{
		watch->expressions[role].watch = watch;
		watch->expressions[role].role = role;
	}
	read_arguments(watch, nargs, args);
	MemoryContextSwitchTo(old);
	return watch;
}

static void
simplify(WatchExpression *expression)
{
	Expr	   *value = wh_watch_value(expression);
	Watch	   *watch = expression->watch;
	MemoryContext old;

	if (wh_watch_names_type(expression))
		watch->names_types = true;
	if (!wh_watch_is_simple(expression))
	{
		watch->needs_plans = true;
		watch->needs_path = true;
		return;
	}
	if (wh_watch_needs_path(expression))
		watch->needs_path = true;
	value = expression_planner(copyObject(value));
	old = MemoryContextSwitchTo(watch->context);
	expression->simple = copyObject(value);
	MemoryContextSwitchTo(old);
	SPI_freeplan(expression->plan);
	expression->plan = NULL;
}

static void
forget_watch(Watch *watch)
{
	for (int role = 0; role < WATCH_EXPRESSIONS; role++)
	{
		if (watch->expressions[role].plan)
			SPI_freeplan(watch->expressions[role].plan);
	}
	MemoryContextDelete(watch->context);
}

/* Nothing may fail once something outlives an error. */
static void
keep_watch(Watch *watch)
{
	for (int role = 0; role < WATCH_EXPRESSIONS; role++)
	{
		if (watch->expressions[role].plan)
			SPI_keepplan(watch->expressions[role].plan);
	}
	MemoryContextSetParent(watch->context, CacheMemoryContext);
}

/* To parse takes locks; what changed until they came counts. */
static Watch *
prepare_watch(Relation rel, const Trigger *trigger)
{
	uint64		before = changes;
	Watch	   *watch = wh_watch_describe(rel, trigger->tgname,
										  trigger->tgnargs, trigger->tgargs);

	wh_computed_describe(watch, rel);
	watch->needs_path = wh_watch_type_holds_names(watch->row_type);
	SPI_connect();
	wh_watch_parse(watch);
	for (int role = 0; role < WATCH_EXPRESSIONS; role++)
	{
		if (watch->expressions[role].source)
			simplify(&watch->expressions[role]);
	}
	keep_watch(watch);
	SPI_finish();
	watch->is_stale = changes != before;
	return watch;
}

/* The second time, the locks that the first one waited for are held. */
static Watch *
prepare_current_watch(Relation rel, const Trigger *trigger)
{
	Watch	   *watch = prepare_watch(rel, trigger);

	if (!watch->is_stale)
		return watch;
	forget_watch(watch);
	return prepare_watch(rel, trigger);
}

/*
 * Of triggers that are gone, too, which nobody will ask for.  A call further
 * up may be running one: the last of them forgets it.
 */
static void
discard_stale(void)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->watch->is_stale)
			continue;
		if (entry->watch->uses == 0)
			forget_watch(entry->watch);
		else
			entry->watch->is_replaced = true;
		hash_search(cache, &entry->key, HASH_REMOVE, NULL);
	}
}

static Watch *
find_watch(const CacheKey *key)
{
	CacheEntry *entry = hash_search(cache, key, HASH_FIND, NULL);

	return entry && !entry->watch->is_stale ? entry->watch : NULL;
}

Watch *
wh_watch_acquire(Relation rel, const Trigger *trigger)
{
	CacheKey	key = {trigger->tgoid, GetUserId()};
	Watch	   *watch;

	if (cache == NULL)
		make_cache();
	watch = find_watch(&key);
	if (watch == NULL)
	{
		watch = prepare_current_watch(rel, trigger);
		discard_stale();
		((CacheEntry *) hash_search(cache, &key, HASH_ENTER, NULL))->watch = watch;
	}
	watch->uses++;
	return watch;
}

void
wh_watch_release(Watch *watch)
{
	if (--watch->uses == 0 && watch->is_replaced)
		forget_watch(watch);
}
