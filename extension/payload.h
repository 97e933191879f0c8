/*
 * payload.h
 *		The request body: the envelope of the product text around the data.
 */
#ifndef WH_PAYLOAD_H
#define WH_PAYLOAD_H

#include "datatype/timestamp.h"

#include "names.h"
#include "outbox.h"

/*
 * Build {"event","timestamp","organization":{"id","name"},"data"} without
 * white space, in the server encoding, in the current memory context; "data"
 * is kept byte for byte.  names are those that the statement knows already.
 * Errors as documented at wh_outbox_add.
 */
extern text *wh_payload_build(Names *names, const OutboxEvent *event,
							  TimestampTz created_at);

#endif							/* WH_PAYLOAD_H */
