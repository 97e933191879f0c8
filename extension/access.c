/*
 * access.c
 *		Which organizations a role may act for: webhook.access, in memory.
 *
 * Who was granted to read webhook.access may act for all; a role with a row
 * there, and who inherits from one, for the organization of the row; others for
 * none.  pg_read_all_data and its like, which read every table, grant nothing.
 * So what a restored dump lacks is lost access, never access to more.
 *
 * Inside our security definer functions the current user is the owner.  The
 * caller is then who the session acts as (SET ROLE).  That may be somebody who
 * called another's function that called ours; as soon as any role is bound, he
 * needs the level himself, or a bound role could borrow an unbound one.  So
 * does who has any level, also when no role is bound: the bindings may be what
 * a restored dump lacks.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "access.h"
#include "catalogue.h"
#include "session.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(webhook_has_access);
PG_FUNCTION_INFO_V1(webhook_check_access);
PG_FUNCTION_INFO_V1(webhook_access_changed);
PG_FUNCTION_INFO_V1(webhook_is_restoring);
PG_FUNCTION_INFO_V1(webhook_is_worker);

/* Columns of webhook.access, in the order of access.sql. */
enum AccessColumn
{
	ACCESS_ROLE = 1, ACCESS_ORGANIZATION
};

typedef struct Access
{
	Oid			role;
	uint64		generation;		/* of what is remembered */
	bool		has_all;
	List	   *organizations;	/* of text; when not has_all */
} Access;

/* The current user, the owner of a watched table, who SET ROLE chose. */
#define REMEMBERED_ROLES 4

static Access remembered[REMEMBERED_ROLES];
static int	remembered_count;
static uint64 generation;		/* counts what may have changed an answer */
static MemoryContext context;	/* holds the lists */
static Oid	access_table;
static Oid	owner;				/* of our tables */
static bool is_anybody_bound;

static void
forget_relation(Datum arg, Oid relation)
{
	if (relation == access_table || !OidIsValid(relation))
		generation++;
}

static void
forget_roles(Datum arg, int cache, uint32 hash)
{
	generation++;
}

static void
initialise(void)
{
	if (context)
		return;
	context = AllocSetContextCreate(TopMemoryContext, "webhook access",
									ALLOCSET_SMALL_SIZES);
	CacheRegisterRelcacheCallback(forget_relation, 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_roles, 0);
	CacheRegisterSyscacheCallback(AUTHOID, forget_roles, 0);
}

/* Note an organization that the role, or one it inherits from, is bound to. */
static void
note_binding(Access *access, Relation table, HeapTuple row)
{
	TupleDesc	descriptor = RelationGetDescr(table);
	bool		is_null;
	Oid			role = DatumGetObjectId(heap_getattr(row, ACCESS_ROLE,
													 descriptor, &is_null));
	MemoryContext old;

	is_anybody_bound = true;
	if (access->has_all || !has_privs_of_role(access->role, role))
		return;
	old = MemoryContextSwitchTo(context);
	access->organizations =
		lappend(access->organizations,
				DatumGetTextPCopy(heap_getattr(row, ACCESS_ORGANIZATION,
											   descriptor, &is_null)));
	MemoryContextSwitchTo(old);
}

/* Does the table's own list grant this to the role? */
static bool
is_granted(Oid table, Oid role, AclMode privilege)
{
	HeapTuple	row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			table_owner;
	Datum		list;
	bool		is_null;
	bool		result;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for relation %u", table);
	table_owner = ((Form_pg_class) GETSTRUCT(row))->relowner;
	list = SysCacheGetAttr(RELOID, row, Anum_pg_class_relacl, &is_null);
	if (superuser_arg(role))
		result = true;
	else if (is_null)
		result = has_privs_of_role(role, table_owner);
	else
		result = aclmask(DatumGetAclP(list), role, table_owner, privilege,
						 ACLMASK_ANY) != 0;
	ReleaseSysCache(row);
	return result;
}

/*
 * Read the table with the snapshot of a catalogue scan: what is remembered
 * outlives this transaction, whose own snapshot may be old.
 */
static void
load(Access *access)
{
	Relation	table = wh_catalogue_open("access", AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple	row;

	access_table = RelationGetRelid(table);
	owner = table->rd_rel->relowner;
	is_anybody_bound = false;
	access->organizations = NIL;
	access->has_all = is_granted(access_table, access->role, ACL_SELECT);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		note_binding(access, table, row);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

static const Access *
get_access(Oid role)
{
	Access	   *access;
	uint64		now;

	initialise();
	for (int i = 0; i < remembered_count; i++)
	{
		if (remembered[i].role == role &&
			remembered[i].generation == generation)
			return &remembered[i];
	}
	if (remembered_count == REMEMBERED_ROLES)
	{
		remembered_count = 0;
		MemoryContextReset(context);
	}
	access = &remembered[remembered_count];
	access->role = role;
	now = generation;			/* what comes in meanwhile counts */
	load(access);
	access->generation = now;
	remembered_count++;
	return access;
}

static bool
is_same(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Does webhook.organization leave it?  NULL: all of them. */
static bool
is_within_setting(const text *organization)
{
	size_t		length = strlen(wh_organization);

	return length == 0 ||
		(organization && VARSIZE_ANY_EXHDR(organization) == length &&
		 memcmp(VARDATA_ANY(organization), wh_organization, length) == 0);
}

static bool
is_allowed(const Access *access, const text *organization)
{
	ListCell   *cell;

	if (access->has_all)
		return is_within_setting(organization);
	foreach(cell, access->organizations)
	{
		if (organization && is_same(lfirst(cell), organization))
			return is_within_setting(organization);
	}
	return false;
}

/* The same words whether the organization exists or not. */
static void
refuse(text *organization)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 organization ?
			 errmsg("permission denied for organization \"%s\"",
					text_to_cstring(organization)) :
			 errmsg("permission denied for all organizations"),
			 errhint("See webhook.grant_access() and the setting webhook.organization.")));
}

void
wh_access_check(text *organization)
{
	if (!is_allowed(get_access(GetUserId()), organization))
		refuse(organization);
}

static bool
is_bound_elsewhere(Oid role, const text *organization)
{
	const Access *access = get_access(role);

	return access->organizations != NIL && !is_allowed(access, organization);
}

void
wh_access_check_watch(text *organization, Oid table_owner)
{
	if (is_bound_elsewhere(GetUserId(), organization) ||
		is_bound_elsewhere(table_owner, organization) ||
		!is_within_setting(organization))
		refuse(organization);
}

/*
 * Anybody may set that; whose rows are then believed is who could write them
 * past all checks anyhow.
 */
bool
wh_access_is_restoring(void)
{
	if (check_function_bodies)
		return false;
	(void) get_access(GetUserId());
	return has_privs_of_role(GetUserId(), owner) &&
		has_privs_of_role(GetOuterUserId(), owner);
}

/* Managers may delete endpoints, observers may read them. */
static bool
has_level(Oid role, const char *level)
{
	return is_granted(wh_catalogue_table("endpoint"), role,
					  strcmp(level, "manager") == 0 ? ACL_DELETE : ACL_SELECT);
}

/* Was the role given any level?  All levels include this. */
static bool
has_any_level(Oid role)
{
	return is_granted(wh_catalogue_table("organization"), role, ACL_SELECT);
}

/* May the caller of the function that asks act for an organization? */
static bool
caller_is_allowed(const text *organization, const char *level)
{
	Oid			user = GetUserId();
	const Access *access = get_access(user);

	if (user == owner && GetOuterUserId() != owner)
	{
		user = GetOuterUserId();
		access = get_access(user);
		if (!is_anybody_bound && !has_any_level(user))
			return is_within_setting(organization);
		if (!has_level(user, level))
			return false;
	}
	return is_allowed(access, organization);
}

/* The same for the arguments of a function; a level that is NULL nobody has. */
static bool
is_asker_allowed(FunctionCallInfo fcinfo, const text *organization)
{
	return !PG_ARGISNULL(1) &&
		caller_is_allowed(organization, text_to_cstring(PG_GETARG_TEXT_PP(1)));
}

/* _has_access(organization_id, level): NULL means all organizations. */
Datum
webhook_has_access(PG_FUNCTION_ARGS)
{
	text	   *organization = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(is_asker_allowed(fcinfo, organization));
}

/* _check_access(organization_id, level): the same, or error 42501. */
Datum
webhook_check_access(PG_FUNCTION_ARGS)
{
	text	   *organization = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);

	if (!is_asker_allowed(fcinfo, organization))
		refuse(organization);
	PG_RETURN_VOID();
}

/* _is_restoring() */
Datum
webhook_is_restoring(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wh_access_is_restoring());
}

/* _is_worker() */
Datum
webhook_is_worker(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wh_session_is_worker());
}

/* Trigger on webhook.access: what sessions remember of it is out of date. */
Datum
webhook_access_changed(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
