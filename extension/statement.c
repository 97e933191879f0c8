/*
 * statement.c
 *		Prepared statements: text, argument types, expected result.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "statement.h"

uint64
wh_statement_run(Statement *statement, Datum *values, const char *nulls,
				 bool is_first)
{
	int			result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->text, statement->nargs,
									   statement->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement: %s",
				 SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	result = SPI_execute_plan(statement->plan, values, nulls, is_first, 0);
	if (result != statement->expected)
		elog(ERROR, "unexpected result of a statement: %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

Datum
wh_statement_column(uint64 row, int column, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, is_null);
}

char *
wh_statement_text(uint64 row, int column)
{
	bool		is_null;
	Datum		value = wh_statement_column(row, column, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

Datum
wh_statement_array(Datum *values, bool *nulls, int count, Oid type)
{
	int			dimensions[1] = {count};
	int			lower_bounds[1] = {1};
	int16		length;
	bool		by_value;
	char		align;

	if (count == 0)
		return PointerGetDatum(construct_empty_array(type));
	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dimensions,
											  lower_bounds, type, length,
											  by_value, align));
}
