/*
 * news.h
 *		Reading the outbox past a cursor, by index and without SQL.
 */
#ifndef WH_NEWS_H
#define WH_NEWS_H

#include "absent.h"
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

/* What is asked for, and what was found. */
typedef struct News
{
	int			limit;			/* of events */
	const Absent *absent;		/* events that are passed */
	int			absent_count;
	NewEvent   *events;
	int			count;
	int			passed;			/* and not among them */
	bool		has_more;		/* there may be more behind the last one */
} News;

/*
 * Events behind the cursor in its order, as the active snapshot sees them.  The
 * one at the position is among them while it has endpoints left.  After some
 * thousands that were passed the next is the last, whoever it is for, so that
 * the cursor can be set there.  Lives in the current memory context.
 *
 * Errors: 55000 when a partition has lost its columns or its index.
 */
extern void wh_news_read(const Cursor *cursor, News *news);

#endif							/* WH_NEWS_H */
