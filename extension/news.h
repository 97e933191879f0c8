/*
 * news.h
 *		Reading the outbox past a cursor, by index and without SQL.
 */
#ifndef WH_NEWS_H
#define WH_NEWS_H

#include "queue.h"

/* An event as it stands in the outbox. */
typedef struct NewEvent
{
	uint64		xid;
	pg_uuid_t	id;
	TimestampTz created_at;
	bool		is_test;
	Datum		event_type;		/* text */
	Datum		organization_id;	/* text */
	Datum		payload;		/* json, perhaps toasted */
} NewEvent;

/*
 * Events behind the cursor in its order, at most limit of them, as the active
 * snapshot sees them.  The one at the position is among them while it has
 * endpoints left.  Lives in the current memory context.
 *
 * Errors: 55000 when a partition has lost its columns or its index.
 */
extern int	wh_news_read(const Cursor *cursor, int limit, NewEvent **events);

#endif							/* WH_NEWS_H */
