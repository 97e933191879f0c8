/*
 * eventid.h
 *		Event ids (UUIDv7, RFC 9562 section 5.7) and the moment in them.
 */
#ifndef WH_EVENTID_H
#define WH_EVENTID_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef struct EventStamp
{
	pg_uuid_t	id;
	TimestampTz created_at;		/* clock_timestamp(), the moment in id */
} EventStamp;

/* A new id; ids of one backend ascend while the clock does not go back. */
extern void wh_eventid_stamp(EventStamp *stamp);

#endif							/* WH_EVENTID_H */
