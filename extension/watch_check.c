/*
 * watch_check.c
 *		Looking at a watch without running it: when it is made, and later.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "catalogue.h"
#include "watch_plan.h"

PG_FUNCTION_INFO_V1(webhook_check_watch);
PG_FUNCTION_INFO_V1(webhook_trigger_arguments);

static object_access_hook_type earlier_hook = NULL;

void
wh_watch_check_type(const char *trigger, int16 type, bool has_table)
{
	if (TRIGGER_FOR_TRUNCATE(type))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot watch TRUNCATE"),
				 errdetail("TRUNCATE does not visit the rows it removes.")));
	if (!TRIGGER_FOR_AFTER(type))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must fire AFTER the change", trigger),
				 errdetail("What a BEFORE trigger sees may still be changed or skipped.")));
	if (!TRIGGER_FOR_ROW(type) && (TRIGGER_FOR_UPDATE(type) || !has_table))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" cannot see the rows that changed",
						trigger),
				 errhint("Make it FOR EACH ROW, or for an INSERT or a DELETE let it have a transition table with REFERENCING.")));
}

/* Whether a row is null whenever a trigger of this type fires. */
static bool
is_never_there(int row, int16 type)
{
	return !TRIGGER_FOR_UPDATE(type) &&
		!(row == WATCH_PARAM_NEW ? TRIGGER_FOR_INSERT(type) :
		  TRIGGER_FOR_DELETE(type));
}

/* What a value is made of by casts and by taking a column. */
static const Node *
origin_of(const Node *value)
{
	while (true)
	{
		if (IsA(value, RelabelType))
			value = (const Node *) ((const RelabelType *) value)->arg;
		else if (IsA(value, CoerceViaIO))
			value = (const Node *) ((const CoerceViaIO *) value)->arg;
		else if (IsA(value, FieldSelect))
			value = (const Node *) ((const FieldSelect *) value)->arg;
		else
			return value;
	}
}

static bool
is_always_null(const Node *origin, int16 type)
{
	if (IsA(origin, Const))
		return ((const Const *) origin)->constisnull;
	return IsA(origin, Param) &&
		is_never_there(((const Param *) origin)->paramid, type);
}

/* For a row that is never there. */
static int
hint_at_row(const Node *origin)
{
	if (!IsA(origin, Param))
		return 0;
	return ((const Param *) origin)->paramid == WATCH_PARAM_NEW ?
		errhint("The row that a DELETE removes is old.") :
		errhint("The row that an INSERT adds is new.");
}

/* Then every change would fail. */
static void
check_value(const WatchExpression *expression, int16 type)
{
	const Node *origin = origin_of((Node *) wh_watch_value(expression));

	if (is_always_null(origin, type))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of watch \"%s\" is always null",
						wh_watch_role_name(expression->role),
						expression->watch->name),
				 errdetail("The expression is: %s", expression->source),
				 hint_at_row(origin)));
}

/*
 * Open the plan without fetching a row: the executor looks at the rights of
 * the current user on tables and functions, and nothing is evaluated.
 */
static void
check_privileges(WatchExpression *expression)
{
	ParamListInfo rows = makeParamList(WATCH_PARAM_OLD);
	Portal		portal;

	for (int i = 0; i < WATCH_PARAM_OLD; i++)
	{
		rows->params[i].isnull = true;
		rows->params[i].ptype = expression->watch->row_type;
	}
	portal = SPI_cursor_open_with_paramlist(NULL, expression->plan, rows,
											false);
	SPI_cursor_close(portal);
}

static void
refuse_function(ObjectAccessType access, Oid class_id, Oid object, int part,
				void *arg)
{
	if (access == OAT_FUNCTION_EXECUTE)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("cannot look at a watch whose literals run functions"),
				 errdetail("A domain has a check.")));
	if (earlier_hook)
		earlier_hook(access, class_id, object, part, arg);
}

/*
 * Parsing makes the values of literals, and a composite one evaluates the
 * checks of its domains, which are code of whoever wrote the watch.  Nobody
 * shall run that by looking.
 */
static void
parse_only(Watch *watch)
{
	earlier_hook = object_access_hook;
	object_access_hook = refuse_function;
	PG_TRY();
	{
		wh_watch_parse(watch);
	}
	PG_FINALLY();
	{
		object_access_hook = earlier_hook;
	}
	PG_END_TRY();
}

/*
 * Names mean what they mean to the owner of the table: who looks may have no
 * way into the schemas they are in.  An error leaves the identity to the end
 * of the (sub)transaction, as elsewhere in the server.
 */
static void
parse_as_owner(Watch *watch, Oid owner)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	parse_only(watch);
	SetUserIdAndSecContext(user, context);
}

static void
check_watch(Watch *watch, Oid owner, int16 type, bool with_privileges)
{
	int			level;

	wh_catalogue_check_event_type(cstring_to_text(watch->event));
	SPI_connect();
	if (with_privileges)
		wh_watch_parse(watch);
	else
		parse_as_owner(watch, owner);
	check_value(&watch->expressions[WATCH_ORGANIZATION], type);
	if (watch->expressions[WATCH_DATA].plan)
		check_value(&watch->expressions[WATCH_DATA], type);
	level = wh_watch_enter_path(watch);
	for (int role = 0; with_privileges && role < WATCH_EXPRESSIONS; role++)
	{
		if (watch->expressions[role].plan)
			check_privileges(&watch->expressions[role]);
	}
	AtEOXact_GUC(true, level);
	SPI_finish();
}

/* _check_watch(source, trigger, arguments, type, has_table, with_privileges) */
Datum
webhook_check_watch(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	char	   *trigger = NameStr(*PG_GETARG_NAME(1));
	int16		type = PG_GETARG_INT16(3);
	Datum	   *elements;
	char	  **args;
	int			nargs;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &nargs);
	args = palloc(nargs * sizeof(char *) + 1);
	for (int i = 0; i < nargs; i++)
		args[i] = TextDatumGetCString(elements[i]);
	wh_watch_check_type(trigger, type, PG_GETARG_BOOL(4));
	check_watch(wh_watch_describe(rel, trigger, nargs, args),
				rel->rd_rel->relowner, type, PG_GETARG_BOOL(5));
	table_close(rel, AccessShareLock);
	PG_RETURN_VOID();
}

/* _trigger_arguments(tgargs, tgnargs): each of them ends with a zero byte. */
Datum
webhook_trigger_arguments(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	const char *next = VARDATA_ANY(bytes);
	const char *end = next + VARSIZE_ANY_EXHDR(bytes);
	int			nargs = PG_GETARG_INT16(1);
	Datum	   *elements = palloc(nargs * sizeof(Datum) + 1);
	int			count = 0;

	while (count < nargs && next < end)
	{
		int			length = strnlen(next, end - next);

		elements[count++] = PointerGetDatum(cstring_to_text_with_len(next,
																	 length));
		next += length + 1;
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, count, TEXTOID, -1, false,
										  TYPALIGN_INT));
}
