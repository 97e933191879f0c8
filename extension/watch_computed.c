/*
 * watch_computed.c
 *		Columns that no tuple holds: virtual generated columns.
 *
 * Queries compute them; a trigger is handed rows in which they are null, and
 * has to do it itself.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "utils/memutils.h"

#include "compat.h"
#include "watch_computed.h"

struct ComputedColumns
{
	TupleTableSlot *slot;		/* a row that has the others */
	ExprState  *states[FLEXIBLE_ARRAY_MEMBER];	/* by column, or NULL */
};

void
wh_computed_describe(Watch *watch, Relation rel)
{
	int			count = RelationGetNumberOfAttributes(rel);

	for (int i = 0; i < count; i++)
	{
		Expr	   *value = (Expr *) wh_compat_virtual_column(rel, i + 1);
		MemoryContext old;

		if (value == NULL)
			continue;
		value = expression_planner(value);
		old = MemoryContextSwitchTo(watch->context);
		if (watch->computed == NULL)
			watch->computed = palloc0(count * sizeof(Expr *));
		watch->computed[i] = copyObject(value);
		MemoryContextSwitchTo(old);
	}
}

ComputedColumns *
wh_computed_begin(const Watch *watch, TupleDesc desc)
{
	ComputedColumns *columns;

	if (watch->computed == NULL)
		return NULL;
	columns = palloc0(offsetof(ComputedColumns, states) +
					  desc->natts * sizeof(ExprState *));
	columns->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	for (int i = 0; i < desc->natts; i++)
	{
		if (watch->computed[i])
			columns->states[i] = ExecInitExpr(watch->computed[i], NULL);
	}
	return columns;
}

void
wh_computed_end(ComputedColumns *columns)
{
	if (columns)
		ExecDropSingleTupleTableSlot(columns->slot);
}

HeapTuple
wh_computed_fill(ComputedColumns *columns, ExprContext *context, HeapTuple row)
{
	TupleTableSlot *slot = columns->slot;
	TupleDesc	desc = slot->tts_tupleDescriptor;

	ExecClearTuple(slot);
	heap_deform_tuple(row, desc, slot->tts_values, slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	context->ecxt_scantuple = slot;
	/* In place: no such column refers to another. */
	for (int i = 0; i < desc->natts; i++)
	{
		if (columns->states[i])
			slot->tts_values[i] = ExecEvalExpr(columns->states[i], context,
											   &slot->tts_isnull[i]);
	}
	return heap_form_tuple(desc, slot->tts_values, slot->tts_isnull);
}
