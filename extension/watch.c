/*
 * watch.c
 *		webhook.emit_row: the trigger function that turns changes into events.
 *
 * Runs in the transaction that changes the table.  Expressions are evaluated
 * with the rights of the user who makes the change; only the outbox row is
 * inserted as the extension's role, by wh_outbox_add.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "access.h"
#include "outbox.h"
#include "watch_computed.h"
#include "watch_plan.h"

PG_FUNCTION_INFO_V1(webhook_emit_row);

/* One call of the trigger function: a row, or all rows of a statement. */
typedef struct WatchRun
{
	Watch	   *watch;
	const TriggerData *trigger;
	text	   *event;
	ParamListInfo rows;			/* new and old */
	ExprContext *context;		/* its per-tuple memory is reset for a row */
	ExprState  *states[WATCH_EXPRESSIONS];	/* of the simple ones */
	ComputedColumns *computed;	/* NULL: tuples hold all columns */
	OutboxWriter *writer;		/* NULL until the first event */
	const WatchExpression *running; /* NULL between expressions */
} WatchRun;

static bool
is_delete(const TriggerData *trigger)
{
	return TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
}

static void
check_call(FunctionCallInfo fcinfo)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	int16		type;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("webhook.emit_row can only be called as a trigger"),
				 errhint("Let webhook.watch make the trigger.")));
	type = trigger->tg_trigger->tgtype;
	if (!TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		type &= ~TRIGGER_TYPE_TRUNCATE;
	wh_watch_check_type(trigger->tg_trigger->tgname, type,
						trigger->tg_oldtable || trigger->tg_newtable);
}

/* Result of an expression as the text that is wanted of it. */
static text *
value_to_text(const WatchExpression *expression, Datum value, Oid type)
{
	switch (getBaseType(type))
	{
		case TEXTOID:
		case VARCHAROID:
		case JSONOID:
			return DatumGetTextPP(value);
		case BPCHAROID:
			return DatumGetTextPP(DirectFunctionCall1(rtrim1, value));
		case JSONBOID:
			{
				Jsonb	   *jsonb = DatumGetJsonbP(value);

				return cstring_to_text(JsonbToCString(NULL, &jsonb->root,
													  VARSIZE(jsonb)));
			}
		default:
			break;
	}
	if (expression->role == WATCH_DATA && type_is_rowtype(type))
		return DatumGetTextPP(DirectFunctionCall1(row_to_json, value));
	else
	{
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(type, &output, &is_varlena);
		return cstring_to_text(OidOutputFunctionCall(output, value));
	}
}

static Datum
run_plan(WatchRun *run, WatchExpression *expression, bool *is_null)
{
	MemoryContext context = CurrentMemoryContext;
	Form_pg_attribute column;
	Datum		value;

	if (SPI_execute_plan_with_paramlist(expression->plan, run->rows, false,
										2) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "expression gave " UINT64_FORMAT " rows", SPI_processed);
	MemoryContextSwitchTo(context);
	column = TupleDescAttr(SPI_tuptable->tupdesc, 0);
	if (column->atttypid != expression->type)
		wh_watch_set_type(expression, column->atttypid);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  is_null);
	if (!*is_null)
		value = datumCopy(value, column->attbyval, column->attlen);
	SPI_freetuptable(SPI_tuptable);
	return value;
}

static Datum
evaluate(WatchRun *run, ExpressionRole role, bool *is_null)
{
	WatchExpression *expression = &run->watch->expressions[role];
	Datum		value;

	run->running = expression;
	if (run->states[role])
		value = ExecEvalExpr(run->states[role], run->context, is_null);
	else
		value = run_plan(run, expression, is_null);
	run->running = NULL;
	return value;
}

static text *
evaluate_text(WatchRun *run, ExpressionRole role)
{
	const WatchExpression *expression = &run->watch->expressions[role];
	bool		is_null;
	Datum		value = evaluate(run, role, &is_null);

	if (is_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of watch \"%s\" gave null",
						wh_watch_role_name(role), run->watch->name),
				 errdetail("The expression is: %s", expression->source),
				 errhint("Give the watch a condition that leaves such rows out.")));
	return value_to_text(expression, value, expression->type);
}

static text *
make_data(WatchRun *run)
{
	const WatchExpression *expression = &run->watch->expressions[WATCH_DATA];
	int			row = is_delete(run->trigger) ? WATCH_PARAM_OLD :
	WATCH_PARAM_NEW;
	text	   *data;

	if (expression->source == NULL)
		return DatumGetTextPP(DirectFunctionCall1(row_to_json,
												  run->rows->params[row - 1].value));
	data = evaluate_text(run, WATCH_DATA);
	if (expression->type != JSONOID && expression->type != JSONBOID &&
		!type_is_rowtype(expression->type))
		(void) DirectFunctionCall1(json_in,
								   CStringGetDatum(text_to_cstring(data)));
	return data;
}

static bool
is_wanted(WatchRun *run)
{
	bool		is_null;
	Datum		value;

	if (run->watch->expressions[WATCH_CONDITION].source == NULL)
		return true;
	value = evaluate(run, WATCH_CONDITION, &is_null);
	return !is_null && DatumGetBool(value);
}

/* Emit the row in run->rows, unless the condition refuses it. */
static void
emit_change(WatchRun *run)
{
	OutboxEvent event = {0};
	EventStamp	stamp;

	if (!is_wanted(run))
		return;
	event.type = run->event;
	event.organization = evaluate_text(run, WATCH_ORGANIZATION);
	wh_access_check_watch(event.organization,
						  run->trigger->tg_relation->rd_rel->relowner);
	event.data = make_data(run);
	wh_eventid_stamp(&stamp);
	if (run->writer == NULL)
	{
		MemoryContext row = MemoryContextSwitchTo(run->context->ecxt_per_query_memory);

		run->writer = wh_outbox_open();
		MemoryContextSwitchTo(row);
	}
	wh_outbox_add(run->writer, &event, &stamp);
}

static void
set_row(WatchRun *run, int number, Datum row, bool is_null)
{
	ParamExternData *param = &run->rows->params[number - 1];

	param->value = row;
	param->isnull = is_null;
	param->pflags = 0;
	param->ptype = run->watch->row_type;
}

static void
set_tuple(WatchRun *run, int number, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(run->trigger->tg_relation);

	if (tuple && run->computed)
		tuple = wh_computed_fill(run->computed, run->context, tuple);
	set_row(run, number,
			tuple ? heap_copy_tuple_as_datum(tuple, desc) : (Datum) 0,
			tuple == NULL);
}

static void
emit_row(WatchRun *run)
{
	const TriggerData *trigger = run->trigger;
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	HeapTuple	tuple = trigger->tg_trigtuple;
	MemoryContext old = MemoryContextSwitchTo(run->context->ecxt_per_tuple_memory);

	set_tuple(run, WATCH_PARAM_NEW, is_update ? trigger->tg_newtuple :
			  is_delete(trigger) ? NULL : tuple);
	set_tuple(run, WATCH_PARAM_OLD,
			  is_update || is_delete(trigger) ? tuple : NULL);
	emit_change(run);
	MemoryContextSwitchTo(old);
}

static void
emit_statement(WatchRun *run)
{
	Tuplestorestate *table = is_delete(run->trigger) ?
	run->trigger->tg_oldtable : run->trigger->tg_newtable;
	int			number = is_delete(run->trigger) ? WATCH_PARAM_OLD :
	WATCH_PARAM_NEW;
	TupleTableSlot *slot =
	MakeSingleTupleTableSlot(RelationGetDescr(run->trigger->tg_relation),
							 &TTSOpsMinimalTuple);
	int			pointer = tuplestore_alloc_read_pointer(table, EXEC_FLAG_REWIND);

	set_row(run, WATCH_PARAM_NEW, (Datum) 0, true);
	set_row(run, WATCH_PARAM_OLD, (Datum) 0, true);
	tuplestore_select_read_pointer(table, pointer);
	tuplestore_rescan(table);
	while (tuplestore_gettupleslot(table, true, false, slot))
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(run->context);
		old = MemoryContextSwitchTo(run->context->ecxt_per_tuple_memory);
		set_tuple(run, number, ExecFetchSlotHeapTuple(slot, false, NULL));
		emit_change(run);
		/* The slot holds a tuple that it frees: not in a row's memory. */
		MemoryContextSwitchTo(old);
		/* An expression may have read the table too, in a trigger's query. */
		tuplestore_select_read_pointer(table, pointer);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static void
prepare_run(WatchRun *run)
{
	run->event = cstring_to_text(run->watch->event);
	run->rows = makeParamList(WATCH_PARAM_OLD);
	run->context = CreateStandaloneExprContext();
	run->context->ecxt_param_list_info = run->rows;
	run->computed = wh_computed_begin(run->watch,
									  RelationGetDescr(run->trigger->tg_relation));
	for (int role = 0; role < WATCH_EXPRESSIONS; role++)
	{
		Expr	   *simple = run->watch->expressions[role].simple;

		if (simple)
			run->states[role] = ExecInitExprWithParams(simple, run->rows);
	}
}

static void
finish_run(WatchRun *run)
{
	if (run->writer)
		wh_outbox_close(run->writer);
	wh_computed_end(run->computed);
	FreeExprContext(run->context, true);
}

static void
add_context(void *arg)
{
	const WatchRun *run = arg;

	if (run->running)
		errcontext("%s of watch \"%s\" on table \"%s\"",
				   wh_watch_role_name(run->running->role),
				   run->watch->name, run->watch->table);
	else
		errcontext("watch \"%s\" on table \"%s\"",
				   run->watch->name, run->watch->table);
}

static void
run_watch(WatchRun *run)
{
	ErrorContextCallback callback = {error_context_stack, add_context, run};
	int			level = 0;

	error_context_stack = &callback;
	if (run->watch->needs_path)
		level = wh_watch_enter_path(run->watch);
	if (run->watch->needs_plans)
		SPI_connect();
	prepare_run(run);
	if (TRIGGER_FIRED_FOR_ROW(run->trigger->tg_event))
		emit_row(run);
	else
		emit_statement(run);
	finish_run(run);
	if (run->watch->needs_plans)
		SPI_finish();
	if (run->watch->needs_path)
		AtEOXact_GUC(true, level);
	error_context_stack = callback.previous;
}

Datum
webhook_emit_row(PG_FUNCTION_ARGS)
{
	WatchRun	run = {0};

	check_call(fcinfo);
	run.trigger = (TriggerData *) fcinfo->context;
	run.watch = wh_watch_acquire(run.trigger->tg_relation,
								 run.trigger->tg_trigger);
	PG_TRY();
	{
		run_watch(&run);
	}
	PG_FINALLY();
	{
		wh_watch_release(run.watch);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}
