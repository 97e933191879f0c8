/*
 * payload.h
 *		The request body: the envelope of the product text around the data.
 */
#ifndef WH_PAYLOAD_H
#define WH_PAYLOAD_H

#include "datatype/timestamp.h"

#include "outbox.h"

/*
 * Build {"event","timestamp","organization":{"id","name"},"data"} without
 * white space, in the server encoding, in the current memory context; "data"
 * is kept byte for byte.  Errors as documented at wh_outbox_add.
 */
extern text *wh_payload_build(const OutboxEvent *event,
							  TimestampTz created_at);

#endif							/* WH_PAYLOAD_H */
