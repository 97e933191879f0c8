/*
 * absent.c
 *		Taking: events that no endpoint of the shards that are read subscribes to.
 *
 * See absent.h.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "absent.h"
#include "statement.h"

#define MOST 64

static Absent guesses[MOST];
static int	guess_count;
static int	oldest;				/* where there are as many as can be */

/* Who may get such an event, one that is old enough: see find_endpoints. */
static Statement find_wanted = {
	"select e.number::int"
	" from unnest($1, $2) with ordinality as e(organization_id, event_type, number)"
	" where exists (select from webhook.endpoint t"
	"  where t.organization_id = e.organization_id and t.status <> 'disabled'"
	"   and ((1::bigint << (t.id & 63)::int) & $3) <> 0"
	"   and webhook._subscribes(t.events, e.event_type))"
	" order by e.number desc",
	SPI_OK_SELECT, 3, {TEXTARRAYOID, TEXTARRAYOID, INT8OID}
};

bool
wh_absent_is_equal(const Absent *one, const Absent *other)
{
	return datum_image_eq(one->organization_id, other->organization_id, false, -1) &&
		datum_image_eq(one->event_type, other->event_type, false, -1);
}

static void
forget(const Absent *guess)
{
	pfree(DatumGetPointer(guess->organization_id));
	pfree(DatumGetPointer(guess->event_type));
}

void
wh_absent_guess(Absent guess)
{
	MemoryContext old;

	for (int i = 0; i < guess_count; i++)
	{
		if (wh_absent_is_equal(&guesses[i], &guess))
			return;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	guess.organization_id = datumCopy(guess.organization_id, false, -1);
	guess.event_type = datumCopy(guess.event_type, false, -1);
	MemoryContextSwitchTo(old);
	if (guess_count < MOST)
		guesses[guess_count++] = guess;
	else
	{
		forget(&guesses[oldest]);
		guesses[oldest] = guess;
		oldest = (oldest + 1) % MOST;
	}
}

int
wh_absent_find(int64 shards, const Absent **absent)
{
	Datum		organization_ids[MOST];
	Datum		event_types[MOST];
	Datum		values[3];
	uint64		found;
	bool		is_null;

	*absent = guesses;
	if (guess_count == 0)
		return 0;
	for (int i = 0; i < guess_count; i++)
	{
		organization_ids[i] = guesses[i].organization_id;
		event_types[i] = guesses[i].event_type;
	}
	values[0] = wh_statement_array(organization_ids, NULL, guess_count, TEXTOID);
	values[1] = wh_statement_array(event_types, NULL, guess_count, TEXTOID);
	values[2] = Int64GetDatum(shards);
	found = wh_statement_run(&find_wanted, values, NULL, true);
	for (uint64 i = 0; i < found; i++)
	{
		int			number = DatumGetInt32(wh_statement_column(i, 1, &is_null));

		forget(&guesses[number - 1]);
		guesses[number - 1] = guesses[--guess_count];
	}
	return guess_count;
}
