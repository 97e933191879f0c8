/*
 * rows.h
 *		Inserting rows into a table of ours through the executor, without SQL.
 *
 * As COPY does it: rows are gathered and go to the table many at a time, one
 * WAL record a page.  No plan, no parameters to pack, and no text that a
 * search_path could divert.  Constraints are the caller's to keep; triggers
 * for rows fire.  Rows are inserted as the owner of the table, in a
 * security-restricted operation, whoever the caller is.
 */
#ifndef WH_ROWS_H
#define WH_ROWS_H

#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/uuid.h"

typedef struct RowWriter RowWriter;

/*
 * Open a table of schema webhook, for rows with so many columns.  The writer
 * lives in the current memory context; an error needs no clean-up.
 */
extern RowWriter *wh_rows_open(const char *table, int columns);

/*
 * Rows from here on go to the partition for this key, the table's first
 * column; false when there is none.  Not needed for a table without partitions.
 */
extern bool wh_rows_route(RowWriter *writer, const pg_uuid_t *key);

/*
 * Add a row, which is copied.  Unless tid is NULL, it is set when the row has
 * gone to the table: after the next call of wh_rows_close at the latest.
 */
extern void wh_rows_add(RowWriter *writer, const Datum *values,
						const bool *nulls, ItemPointer tid);

/* Send what is gathered, and close. */
extern void wh_rows_close(RowWriter *writer);

#endif							/* WH_ROWS_H */
