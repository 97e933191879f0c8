/*
 * catalogue.c
 *		Look-ups in our own configuration tables, without SQL text.
 *
 * emit looks up an event type and an organization for each event: an index
 * scan costs a microsecond where a statement costs ten.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "catalogue.h"
#include "compat.h"

#define MAX_NAME_DISTANCE 4

static void
complain_of_absence(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("extension \"webhook\" is not installed in this database"),
			 errhint("Run: create extension webhook")));
}

Oid
wh_catalogue_table(const char *name)
{
	Oid			schema = get_namespace_oid("webhook", true);
	Oid			relid = InvalidOid;

	if (OidIsValid(schema))
		relid = get_relname_relid(name, schema);
	if (!OidIsValid(relid))
		complain_of_absence();
	return relid;
}

Relation
wh_catalogue_open(const char *name, LOCKMODE mode)
{
	/* While we waited for the lock, the table may have been dropped. */
	Relation	rel = try_table_open(wh_catalogue_table(name), mode);

	if (rel == NULL)
		complain_of_absence();
	return rel;
}

void
wh_catalogue_check_columns(Relation table, int columns)
{
	if (RelationGetDescr(table)->natts != columns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has %d columns instead of %d",
						RelationGetRelationName(table),
						RelationGetDescr(table)->natts, columns),
				 errhint("Run: select * from webhook.check()")));
}

/*
 * The text in a column of the row whose first column, the primary key, has
 * this value; NULL when there is no such row.  Sees what earlier commands of
 * this transaction did.
 */
static char *
look_up(const char *table, text *key, AttrNumber column)
{
	Relation	rel = wh_catalogue_open(table, AccessShareLock);
	Oid			index = WH_PRIMARY_KEY_INDEX(rel);
	char	   *result = NULL;
	ScanKeyData scankey;
	SysScanDesc scan;
	HeapTuple	tuple;

	PushActiveSnapshot(GetTransactionSnapshot());
	ScanKeyInit(&scankey, 1, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(key));
	scankey.sk_collation = TupleDescAttr(RelationGetDescr(rel), 0)->attcollation;
	scan = systable_beginscan(rel, index, true, GetActiveSnapshot(), 1,
							  &scankey);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		is_null;
		Datum		value = heap_getattr(tuple, column,
										 RelationGetDescr(rel), &is_null);

		result = is_null ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	return result;
}

/* The catalogue's name that is nearest to a wrong one, or NULL. */
static char *
find_nearest(text *name)
{
	Relation	rel = wh_catalogue_open("event_type", AccessShareLock);
	const char *wanted = VARDATA_ANY(name);
	int			length = VARSIZE_ANY_EXHDR(name);
	int			best = MAX_NAME_DISTANCE + 1;
	char	   *nearest = NULL;
	SysScanDesc scan;
	HeapTuple	tuple;

	PushActiveSnapshot(GetTransactionSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0,
							  NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		is_null;
		char	   *known = TextDatumGetCString(heap_getattr(tuple, 1,
															 RelationGetDescr(rel),
															 &is_null));
		int			distance;

		if (length > 128)
			break;
		distance = varstr_levenshtein_less_equal(wanted, length, known,
												 strlen(known), 1, 1, 1,
												 best - 1, true);
		if (distance < best)
		{
			best = distance;
			nearest = known;
		}
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	return nearest;
}

void
wh_catalogue_check_event_type(text *name)
{
	char	   *nearest;

	if (look_up("event_type", name, 1))
		return;
	nearest = find_nearest(name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown event type \"%s\"", text_to_cstring(name)),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("Insert it into webhook.event_type, or see the known ones: select name from webhook.event_type")));
}

char *
wh_catalogue_organization_name(text *id)
{
	char	   *name = look_up("organization", id, 2);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("unknown organization \"%s\"", text_to_cstring(id)),
				 errhint("Record it first: select webhook.set_organization(%s, 'its name')",
						 quote_literal_cstr(text_to_cstring(id)))));
	return name;
}

Oid
wh_owner_role(void)
{
	HeapTuple	outbox = SearchSysCache1(RELOID,
										 ObjectIdGetDatum(wh_catalogue_table("event")));
	Oid			owner;

	if (!HeapTupleIsValid(outbox))
		complain_of_absence();
	owner = ((Form_pg_class) GETSTRUCT(outbox))->relowner;
	ReleaseSysCache(outbox);
	if (superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of table \"webhook.event\" is a superuser"),
				 errhint("Run: alter role webhook nosuperuser")));
	return owner;
}

void
wh_owner_enter(OwnerScope *scope)
{
	Oid			owner = wh_owner_role();

	scope->nest_level = NewGUCNestLevel();
	GetUserIdAndSecContext(&scope->user, &scope->security);
	SetUserIdAndSecContext(owner,
						   scope->security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

void
wh_owner_leave(const OwnerScope *scope)
{
	AtEOXact_GUC(true, scope->nest_level);
	SetUserIdAndSecContext(scope->user, scope->security);
}

void
wh_owner_execute(const char *command)
{
	OwnerScope	scope;

	wh_owner_enter(&scope);
	if (SPI_connect() != SPI_OK_CONNECT || SPI_execute(command, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", command);
	SPI_finish();
	wh_owner_leave(&scope);
}
