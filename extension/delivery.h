/*
 * delivery.h
 *		One event for one endpoint, while a worker has it in hand.
 */
#ifndef WH_DELIVERY_H
#define WH_DELIVERY_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "storage/itemptr.h"
#include "utils/uuid.h"

#include "body.h"
#include "http.h"
#include "roster.h"

typedef struct Delivery
{
	MemoryContext context;		/* holds this struct and all it points to */
	struct Delivery *next;		/* in whichever list it is on */
	pg_uuid_t	event_id;
	Endpoint   *endpoint;
	const char *event_type;
	Body	   *body;			/* NULL: the event is gone */
	ItemPointerData tid;		/* of its queue row: a hint */
	int			attempt;		/* the one being made */
	bool		is_redelivery;	/* somebody asked for it again */
	bool		is_unproven;	/* when it started: see roster.c */
	bool		is_suspect;		/* of crashing the worker: see plan.c */
	TimestampTz created_at;
	TimestampTz started_at;
	TimestampTz ended_at;		/* when its result was there, not earlier */
	char	   *url;			/* what was used, even if it changes */
	char	   *organization_id;
	char	   *headers;		/* the request's head as sent */
	HttpResult *result;			/* NULL until it is finished */
	bool		is_ended;		/* recorded, and no retry follows */
	bool		is_from_client; /* the result is the HTTP client's memory */
	dlist_node	in_hand;		/* while it has no result: see send.c */
} Delivery;

#endif							/* WH_DELIVERY_H */
