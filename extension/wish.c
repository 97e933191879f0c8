/*
 * wish.c
 *		Taking: which endpoints are asked for due rows, in turn.
 *
 * To read rows that find no place costs as much as to read those that do.  So
 * no more endpoints are asked than there are places, and the next look goes on
 * behind the last of them.
 */
#include "postgres.h"

#include "roster.h"
#include "wish.h"

typedef struct Choice
{
	DueWish    *wishes;
	int			count;
	int			due_count;		/* of these, endpoints known to have a row due */
	int			places;
	TimestampTz now;
	bool		is_behind;		/* the one that was last is behind us */
	int64		last_id;		/* behind this one the next look goes on */
} Choice;

static int64 last_id;			/* the last endpoint that had its turn */

static void
add_wish(Choice *choice, Endpoint *endpoint)
{
	bool		is_known = endpoint->next_due != DT_NOBEGIN;
	int			places;

	if (endpoint->next_due > choice->now || wh_roster_is_gone(endpoint) ||
		choice->count == WH_MAX_WISHES ||
		(is_known && choice->due_count == choice->places))
		return;
	places = wh_roster_places(endpoint);
	if (places == 0)
		return;
	choice->due_count += is_known;
	if (is_known || choice->due_count < choice->places)
		choice->last_id = endpoint->id;
	choice->wishes[choice->count++] = (DueWish)
	{
		endpoint->id, endpoint->next_due, Min(places, choice->places)
	};
}

static void
visit_behind(Endpoint *endpoint, void *arg)
{
	Choice	   *choice = arg;

	if (choice->is_behind)
		add_wish(choice, endpoint);
	choice->is_behind |= endpoint->id == last_id;
}

static void
visit_rest(Endpoint *endpoint, void *arg)
{
	Choice	   *choice = arg;

	if (!choice->is_behind)
		add_wish(choice, endpoint);
	choice->is_behind |= endpoint->id == last_id;
}

int
wh_wish_choose(DueWish *wishes, int places, TimestampTz now)
{
	Choice		choice = {wishes, .places = places, .now = now,
	.last_id = last_id};

	wh_roster_visit(visit_behind, &choice);
	choice.is_behind = false;
	wh_roster_visit(visit_rest, &choice);
	last_id = choice.last_id;
	for (int i = 0; i < choice.count; i++)
		wishes[i].places = Min(wishes[i].places,
							   Max(places / choice.count, 1));
	return choice.count;
}
