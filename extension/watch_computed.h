/*
 * watch_computed.h
 *		Columns that no tuple holds: virtual generated columns.
 */
#ifndef WH_WATCH_COMPUTED_H
#define WH_WATCH_COMPUTED_H

#include "watch_plan.h"

typedef struct ComputedColumns ComputedColumns;

/* Note in the watch what computes them. */
extern void wh_computed_describe(Watch *watch, Relation rel);

/* For the rows of one call; NULL where the table has no such column. */
extern ComputedColumns *wh_computed_begin(const Watch *watch, TupleDesc desc);
extern void wh_computed_end(ComputedColumns *columns);

/* A copy of a row that has them, in the current context. */
extern HeapTuple wh_computed_fill(ComputedColumns *columns,
								  ExprContext *context, HeapTuple row);

#endif							/* WH_WATCH_COMPUTED_H */
