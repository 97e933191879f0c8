/*
 * absent.c
 *		Taking: organizations that have no endpoint of the shards that are read.
 *
 * See absent.h.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "absent.h"
#include "statement.h"

#define MOST 16

static Datum guesses[MOST];
static int	guess_count;
static int	oldest;				/* where there are as many as can be */

static Statement find_present = {
	"select o.number::int from unnest($1) with ordinality as o(id, number)"
	" where exists (select from webhook.endpoint t"
	"  where t.organization_id = o.id"
	"   and ((1::bigint << (t.id & 63)::int) & $2) <> 0)"
	" order by o.number desc",
	SPI_OK_SELECT, 2, {TEXTARRAYOID, INT8OID}
};

void
wh_absent_guess(Datum organization_id)
{
	MemoryContext old;
	Datum		copy;

	for (int i = 0; i < guess_count; i++)
	{
		if (datum_image_eq(guesses[i], organization_id, false, -1))
			return;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	copy = datumCopy(organization_id, false, -1);
	MemoryContextSwitchTo(old);
	if (guess_count < MOST)
		guesses[guess_count++] = copy;
	else
	{
		pfree(DatumGetPointer(guesses[oldest]));
		guesses[oldest] = copy;
		oldest = (oldest + 1) % MOST;
	}
}

int
wh_absent_find(int64 shards, const Datum **organization_ids)
{
	Datum		asked[MOST];
	Datum		values[2];
	uint64		found;
	bool		is_null;

	*organization_ids = guesses;
	if (guess_count == 0)
		return 0;
	memcpy(asked, guesses, sizeof(asked));	/* what makes the array changes it */
	values[0] = wh_statement_array(asked, NULL, guess_count, TEXTOID);
	values[1] = Int64GetDatum(shards);
	found = wh_statement_run(&find_present, values, NULL, true);
	for (uint64 i = 0; i < found; i++)
	{
		int			number = DatumGetInt32(wh_statement_column(i, 1, &is_null));

		pfree(DatumGetPointer(guesses[number - 1]));
		guesses[number - 1] = guesses[--guess_count];
	}
	return guess_count;
}
