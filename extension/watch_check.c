/*
 * watch_check.c
 *		Looking at a watch without running it: when it is made, and later.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "catalogue.h"
#include "watch_plan.h"

PG_FUNCTION_INFO_V1(webhook_check_watch);
PG_FUNCTION_INFO_V1(webhook_trigger_arguments);

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
check_watch(Watch *watch, bool with_privileges)
{
	int			level;

	wh_catalogue_check_event_type(cstring_to_text(watch->event));
	SPI_connect();
	wh_watch_parse(watch);
	level = wh_watch_enter_path(watch);
	for (int role = 0; with_privileges && role < WATCH_EXPRESSIONS; role++)
	{
		if (watch->expressions[role].plan)
			check_privileges(&watch->expressions[role]);
	}
	AtEOXact_GUC(true, level);
	SPI_finish();
}

/* _check_watch(source, trigger, arguments text[], with_privileges) */
Datum
webhook_check_watch(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	Datum	   *elements;
	char	  **args;
	int			nargs;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &nargs);
	args = palloc(nargs * sizeof(char *) + 1);
	for (int i = 0; i < nargs; i++)
		args[i] = TextDatumGetCString(elements[i]);
	check_watch(wh_watch_describe(rel, NameStr(*PG_GETARG_NAME(1)), nargs,
								  args), PG_GETARG_BOOL(3));
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
