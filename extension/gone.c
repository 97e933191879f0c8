/*
 * gone.c
 *		What waits for endpoints that are disabled or deleted is cancelled.
 *
 * Sessions that disable or delete one cancel all at once.  A worker that does,
 * because the receiver is gone or has failed for days, comes here turn after
 * turn, for others wait for it meanwhile; so does one that finds what a crash
 * has left.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "gone.h"
#include "roster.h"
#include "session.h"
#include "statement.h"

#define AT_ONCE 500				/* rows; and endpoints that are asked for them */

static Statement cancel_some = {
	"select endpoint_id, mark from webhook._cancel_some($1, $2, $3)",
	SPI_OK_SELECT, 3,
	{INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4OID}
};

typedef struct Gone
{
	int			count;
	Datum		ids[AT_ONCE];
	Datum		marks[AT_ONCE];
} Gone;

static void
add_gone(Endpoint *endpoint, void *arg)
{
	Gone	   *gone = arg;

	if (!wh_roster_is_gone(endpoint) || endpoint->next_due == DT_NOEND ||
		gone->count == AT_ONCE)
		return;
	gone->ids[gone->count] = Int64GetDatum(endpoint->id);
	gone->marks[gone->count++] = TimestampTzGetDatum(endpoint->next_due);
}

/* All has been seen; what is left is locked, and looked at after a while. */
static void
note_end(const Gone *gone, bool is_locked)
{
	for (int i = 0; i < gone->count; i++)
		wh_roster_set_due(wh_roster_get(DatumGetInt64(gone->ids[i])), DT_NOEND);
	if (is_locked)
		wh_session_note_lock();
}

static void
note_left(const Gone *gone, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Datum		id = wh_statement_column(i, 1, &is_null);
		Datum		mark = wh_statement_column(i, 2, &is_null);

		if (is_null)
		{
			note_end(gone, true);
			return;
		}
		wh_roster_set_due(wh_roster_get(DatumGetInt64(id)),
						  DatumGetTimestampTz(mark));
	}
	if (count == 0)
		note_end(gone, false);
}

void
wh_gone_cancel_some(void)
{
	Gone	   *gone;
	Datum		values[3];

	if (wh_roster_earliest_due() > DT_NOBEGIN)
		return;
	gone = palloc0(sizeof(Gone));
	wh_roster_visit(add_gone, gone);
	if (gone->count == 0)
		return;
	wh_session_begin("cancelling for endpoints that are gone");
	values[0] = wh_statement_array(gone->ids, NULL, gone->count, INT8OID);
	values[1] = wh_statement_array(gone->marks, NULL, gone->count,
								   TIMESTAMPTZOID);
	values[2] = Int32GetDatum(AT_ONCE);
	note_left(gone, wh_statement_run(&cancel_some, values, NULL, false));
	wh_session_commit(false);
}
