/*
 * watch_needs.c
 *		What an expression of a watch needs to be run, and to be kept.
 *
 * Looks at expressions with a plan, as they were parsed; runs nothing of them.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "watch_plan.h"

static bool
is_users_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
row_holds_names(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	bool		found = false;

	for (int i = 0; i < desc->natts && !found; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		found = !column->attisdropped &&
			wh_watch_type_holds_names(column->atttypid);
	}
	ReleaseTupleDesc(desc);
	return found;
}

bool
wh_watch_type_holds_names(Oid type)
{
	type = getBaseType(type);
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return true;
		default:
			break;
	}
	if (OidIsValid(get_element_type(type)))
		return wh_watch_type_holds_names(get_element_type(type));
	return get_typtype(type) == TYPTYPE_COMPOSITE && row_holds_names(type);
}

/*
 * Whether one of the server's own functions may go by the search_path when it
 * runs: is handed names in a string, as regclassin, has_table_privilege or
 * query_to_xml, or an oid, as format_type or pg_table_is_visible.
 */
static bool
may_look_up_names(Oid function, void *context)
{
	Oid		   *types;
	int			count;

	if (func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return false;
	if (function == F_CURRENT_SCHEMA || function == F_CURRENT_SCHEMAS)
		return true;
	(void) get_func_signature(function, &types, &count);
	for (int i = 0; i < count; i++)
	{
		if (types[i] == TEXTOID || types[i] == NAMEOID ||
			types[i] == CSTRINGOID || types[i] == OIDOID ||
			wh_watch_type_holds_names(types[i]))
			return true;
	}
	return false;
}

static bool
walk_calls(Node *node, void *is_kind)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, *(check_function_callback *) is_kind,
								   NULL) ||
		expression_tree_walker(node, walk_calls, is_kind);
}

/* Whether some function in the expression is of this kind. */
static bool
calls(Expr *expression, check_function_callback is_kind)
{
	return walk_calls((Node *) expression, &is_kind);
}

/*
 * Whether an expression has values that are names, besides those that are
 * columns of the table, or is the current schema.
 */
static bool
makes_names(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SQLValueFunction:
			return ((SQLValueFunction *) node)->op == SVFOP_CURRENT_SCHEMA;
		case T_Const:
		case T_FuncExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
			if (wh_watch_type_holds_names(exprType(node)))
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, makes_names, context);
}

/*
 * Whether an expression holds the oid of a relation, as that of nextval('s')
 * does.  Plans notice when it is gone.
 */
static bool
names_relation(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
		return ((Const *) node)->consttype == REGCLASSOID;
	return expression_tree_walker(node, names_relation, context);
}

static bool
is_users_type(const void *expression)
{
	return exprType(expression) >= FirstNormalObjectId;
}

/*
 * Whether a query names a type of users, or reads the inside of one.  To hand
 * on a row or a column of the table is neither.
 */
static bool
names_type(Node *node, void *context)
{
	const Expr *arg;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			return query_tree_walker((Query *) node, names_type, context, 0);
		case T_FieldSelect:
			arg = ((FieldSelect *) node)->arg;
			if (!IsA(arg, Param) && is_users_type(arg))
				return true;
			break;
		case T_Var:
		case T_Const:
		case T_FuncExpr:
		case T_RowExpr:
		case T_ArrayExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
			if (is_users_type(node))
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, names_type, context);
}

bool
wh_watch_names_type(const WatchExpression *expression)
{
	return names_type((Node *) wh_watch_query(expression), NULL);
}

bool
wh_watch_is_simple(const WatchExpression *expression)
{
	const Query *query = wh_watch_query(expression);
	Expr	   *value = wh_watch_value(expression);

	return query->rtable == NIL && query->cteList == NIL &&
		!query->hasSubLinks && !calls(value, is_users_function) &&
		!names_relation((Node *) value, NULL);
}

bool
wh_watch_needs_path(const WatchExpression *expression)
{
	Expr	   *value = wh_watch_value(expression);

	return calls(value, may_look_up_names) || makes_names((Node *) value, NULL);
}
