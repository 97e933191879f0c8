/*
 * statement.h
 *		Prepared statements: text, argument types, expected result.
 */
#ifndef WH_STATEMENT_H
#define WH_STATEMENT_H

#include "executor/spi.h"

#define WH_MAX_ARGUMENTS 17

typedef struct Statement
{
	const char *text;
	int			expected;		/* SPI_OK_... */
	int			nargs;
	Oid			types[WH_MAX_ARGUMENTS];
	SPIPlanPtr	plan;			/* prepared on first use, kept */
} Statement;

/*
 * Execute inside a transaction begun by wh_session_begin; returns the number
 * of rows, which are in SPI_tuptable.  nulls may be NULL.  A statement run
 * with is_first sees the snapshot with which the transaction began, which
 * several reads can share; the others see a new one.
 */
extern uint64 wh_statement_run(Statement *statement, Datum *values,
							   const char *nulls, bool is_first);

/* Column of a result row; NULL is for the caller to decide. */
extern Datum wh_statement_column(uint64 row, int column, bool *is_null);

/* Text column in the current context, NULL for NULL. */
extern char *wh_statement_text(uint64 row, int column);

/* One-dimensional arrays for unnest(); nulls may be NULL. */
extern Datum wh_statement_array(Datum *values, bool *nulls, int count,
								Oid type);

#endif							/* WH_STATEMENT_H */
