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
#include "utils/lsyscache.h"

#include "watch_plan.h"

static bool
is_users_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/*
 * Whether one of the server's own functions may find a name in a string and
 * look it up when it runs, as regclassin, has_table_privilege or query_to_xml.
 */
static bool
may_look_up_names(Oid function, void *context)
{
	Oid		   *types;
	int			count;

	if (func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return false;
	(void) get_func_signature(function, &types, &count);
	for (int i = 0; i < count; i++)
	{
		if (types[i] == TEXTOID || types[i] == NAMEOID || types[i] == CSTRINGOID)
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
	return calls(wh_watch_value(expression), may_look_up_names);
}
