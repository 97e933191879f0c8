/*
 * watch_parse.c
 *		Parsing the expressions of a watch, over the rows new and old.
 *
 * The server's parser does it, with a hook that turns new and old into
 * parameters of the table's row type, so that positions in errors are those
 * in the expression as the user wrote it.  Nothing is evaluated here but what
 * literals need; who looks at watches of others must see to that.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/typcache.h"

#include "watch_plan.h"

const char *
wh_watch_role_name(ExpressionRole role)
{
	switch (role)
	{
		case WATCH_ORGANIZATION:
			return "organization expression";
		case WATCH_DATA:
			return "data expression";
		default:
			return "condition";
	}
}

int
wh_watch_enter_path(const Watch *watch)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", watch->search_path,
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return level;
}

static Node *
make_row(const Watch *watch, int number, int location)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = number;
	param->paramtype = watch->row_type;
	param->paramtypmod = -1;
	param->paramcollid = InvalidOid;
	param->location = location;
	return (Node *) param;
}

/* Number of the parameter a name stands for, or 0. */
static int
row_number(const char *name)
{
	if (strcmp(name, "new") == 0)
		return WATCH_PARAM_NEW;
	if (strcmp(name, "old") == 0)
		return WATCH_PARAM_OLD;
	return 0;
}

static Node *
select_field(Node *row, Form_pg_attribute column)
{
	FieldSelect *field = makeNode(FieldSelect);

	field->arg = (Expr *) row;
	field->fieldnum = column->attnum;
	field->resulttype = column->atttypid;
	field->resulttypmod = column->atttypmod;
	field->resultcollid = column->attcollation;
	return (Node *) field;
}

/* A column of a row, or NULL when the table has none of this name. */
static Node *
make_column(const Watch *watch, Node *row, const char *name)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(watch->row_type, -1);
	Node	   *field = NULL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && strcmp(NameStr(column->attname), name) == 0)
			field = select_field(row, column);
	}
	ReleaseTupleDesc(desc);
	return field;
}

static void
refuse_column(ParseState *pstate, const WatchExpression *expression,
			  const char *name, int location)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table \"%s\" does not exist",
					name, expression->watch->table),
			 errdetail("It is used in the %s of watch \"%s\".",
					   wh_watch_role_name(expression->role),
					   expression->watch->name),
			 errhint("If it was renamed, watch again with its new name."),
			 parser_errposition(pstate, location)));
}

/* A name without a dot that means nothing here: say what was meant. */
static void
refuse_name(ParseState *pstate, const WatchExpression *expression,
			const char *name, int location)
{
	const Watch *watch = expression->watch;
	Node	   *row = make_row(watch, WATCH_PARAM_NEW, -1);
	bool		is_column = make_column(watch, row, name) != NULL;

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" does not exist", name),
			 errdetail("It is used in the %s of watch \"%s\".",
					   wh_watch_role_name(expression->role), watch->name),
			 is_column ?
			 errhint("Columns belong to a row: write new.%s or old.%s.",
					 quote_identifier(name), quote_identifier(name)) :
			 strcmp(name, expression->source) == 0 ?
			 errhint("A constant is quoted inside: $$'%s'$$.  Columns are written new.column or old.column.",
					 name) :
			 errhint("Columns are written new.column or old.column."),
			 parser_errposition(pstate, location)));
}

/* Called for each name that the statement itself does not explain. */
static Node *
resolve_name(ParseState *pstate, ColumnRef *ref, Node *found)
{
	WatchExpression *expression = pstate->p_ref_hook_state;
	const char *first = strVal(linitial(ref->fields));
	int			number = row_number(first);
	Node	   *row;
	Node	   *column;

	if (found != NULL)
		return NULL;
	if (number == 0)
	{
		if (list_length(ref->fields) == 1)
			refuse_name(pstate, expression, first, ref->location);
		return NULL;
	}
	row = make_row(expression->watch, number, ref->location);
	if (list_length(ref->fields) == 1 || IsA(lsecond(ref->fields), A_Star))
		return row;
	if (list_length(ref->fields) > 2)
		return NULL;
	column = make_column(expression->watch, row, strVal(lsecond(ref->fields)));
	if (column == NULL)
		refuse_column(pstate, expression, strVal(lsecond(ref->fields)),
					  ref->location);
	return column;
}

static void
set_up_parser(ParseState *pstate, void *expression)
{
	pstate->p_post_columnref_hook = resolve_name;
	pstate->p_ref_hook_state = expression;
}

/* The grammar for expressions also takes what may follow SELECT. */
static bool
is_one_expression(const char *source)
{
	List	   *list = raw_parser(source, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, list)->stmt;

	return IsA(select, SelectStmt) && list_length(select->targetList) == 1 &&
		linitial_node(ResTarget, select->targetList)->name == NULL &&
		select->op == SETOP_NONE &&
		!select->distinctClause && !select->intoClause &&
		!select->fromClause && !select->whereClause &&
		!select->groupClause && !select->havingClause &&
		!select->windowClause && !select->valuesLists &&
		!select->sortClause && !select->limitOffset &&
		!select->limitCount && !select->lockingClause && !select->withClause;
}

static bool
is_wanted_type(ExpressionRole role, Oid type)
{
	char		category;
	bool		is_preferred;

	type = getBaseType(type);
	get_type_category_preferred(type, &category, &is_preferred);
	switch (role)
	{
		case WATCH_ORGANIZATION:
			return category == TYPCATEGORY_STRING ||
				category == TYPCATEGORY_NUMERIC ||
				category == TYPCATEGORY_ENUM || type == UUIDOID;
		case WATCH_DATA:
			return category == TYPCATEGORY_STRING || type == JSONOID ||
				type == JSONBOID || type_is_rowtype(type);
		default:
			return type == BOOLOID;
	}
}

const Query *
wh_watch_query(const WatchExpression *expression)
{
	CachedPlanSource *source =
	linitial(SPI_plan_get_plan_sources(expression->plan));

	return linitial_node(Query, source->query_list);
}

Expr *
wh_watch_value(const WatchExpression *expression)
{
	return linitial_node(TargetEntry, wh_watch_query(expression)->targetList)->expr;
}

/* The grammar also takes a query that selects nothing. */
static void
check_query(const WatchExpression *expression)
{
	const Query *query = wh_watch_query(expression);

	if (!is_one_expression(expression->source) ||
		list_length(query->targetList) != 1 || query->hasAggs ||
		query->hasWindowFuncs || query->hasTargetSRFs)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s of watch \"%s\" is not a single expression",
						wh_watch_role_name(expression->role),
						expression->watch->name),
				 errdetail("The expression is: %s", expression->source),
				 errhint("Put a query in parentheses.")));
}

void
wh_watch_set_type(WatchExpression *expression, Oid type)
{
	static const char *const wanted[] = {
		"text, a number, an enum or a uuid", "json, jsonb, text or a row", "boolean"
	};

	if (!is_wanted_type(expression->role, type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s of watch \"%s\" has type %s",
						wh_watch_role_name(expression->role),
						expression->watch->name, format_type_be(type)),
				 errdetail("The expression is: %s", expression->source),
				 errhint("It must be %s.", wanted[expression->role])));
	expression->type = type;
}

static void
parse_expression(WatchExpression *expression)
{
	SPIPrepareOptions options = {0};

	options.parserSetup = set_up_parser;
	options.parserSetupArg = expression;
	options.parseMode = RAW_PARSE_PLPGSQL_EXPR;
	expression->plan = SPI_prepare_extended(expression->source, &options);
	if (expression->plan == NULL)
		elog(ERROR, "could not prepare an expression: %s",
			 SPI_result_code_string(SPI_result));
	check_query(expression);
	wh_watch_set_type(expression,
					  exprType((Node *) wh_watch_value(expression)));
}

static void
add_context(void *arg)
{
	const WatchExpression *expression = arg;

	errcontext("%s of watch \"%s\" on table \"%s\"",
			   wh_watch_role_name(expression->role),
			   expression->watch->name, expression->watch->table);
}

void
wh_watch_parse(Watch *watch)
{
	int			level = wh_watch_enter_path(watch);
	ErrorContextCallback callback = {error_context_stack, add_context, NULL};

	error_context_stack = &callback;
	for (int role = 0; role < WATCH_EXPRESSIONS; role++)
	{
		callback.arg = &watch->expressions[role];
		if (watch->expressions[role].source)
			parse_expression(&watch->expressions[role]);
	}
	error_context_stack = callback.previous;
	AtEOXact_GUC(true, level);
}
