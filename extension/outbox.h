/*
 * outbox.h
 *		Recording events: the one INSERT into webhook.event.
 *
 * Runs in the caller's transaction.  Looks at no endpoint, waits for nothing
 * but the outbox table itself, and makes the workers look after commit.
 */
#ifndef WH_OUTBOX_H
#define WH_OUTBOX_H

#include "eventid.h"

/* Columns of webhook.event, in the order of schema.sql. */
enum EventColumn
{
	EVENT_ID, EVENT_ORIGIN, EVENT_XID, EVENT_CREATED_AT, EVENT_IS_TEST,
	EVENT_TYPE, EVENT_ORGANIZATION, EVENT_PAYLOAD, EVENT_COLUMNS
};

typedef struct OutboxEvent
{
	text	   *type;			/* a row of webhook.event_type, unless
								 * is_internal */
	text	   *organization;	/* a row of webhook.organization */
	text	   *data;			/* JSON object, already validated as JSON */
	bool		is_internal;	/* may be under "webhook." */
	bool		is_test;		/* never fanned out */
} OutboxEvent;

typedef struct OutboxWriter OutboxWriter;

/*
 * Open the outbox for any number of events of one statement.  Lives in the
 * current memory context; an error needs no clean-up.
 */
extern OutboxWriter *wh_outbox_open(void);

/*
 * Record an event under a stamp just made.  Errors: 22023 for an unknown type or
 * data that is no object, 23503 for an unknown organization, 54000 for a
 * payload over webhook.payload_limit, 22021 for text that is not UTF-8 in a
 * SQL_ASCII database.
 */
extern void wh_outbox_add(OutboxWriter *writer, const OutboxEvent *event,
						  const EventStamp *stamp);

extern void wh_outbox_close(OutboxWriter *writer);

/*
 * Which installation this is, for xids: made from the system identifier and the
 * oids of the database and of the outbox, so that a dump that is restored into
 * the database where it was made is a copy like any other.
 */
extern int32 wh_outbox_origin(void);

/* After commit, make workers look for news / configuration / due times. */
extern void wh_commit_announce_events(void);
extern void wh_commit_announce_prepared(void);
extern void wh_commit_announce_config(void);
extern void wh_commit_announce_due(void);

/* After commit, make the launcher start workers for this database. */
extern void wh_commit_announce_installation(void);

/* After commit, make the launcher look which databases have workers. */
extern void wh_commit_announce_database(void);

#endif							/* WH_OUTBOX_H */
