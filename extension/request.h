/*
 * request.h
 *		From an event and an endpoint to the head of a signed request.
 */
#ifndef WH_REQUEST_H
#define WH_REQUEST_H

#include "lib/stringinfo.h"

#include "delivery.h"

/*
 * Append all header lines but Host, each ended by CR LF: contract 1, rows 3
 * and 4, and Standard Webhooks 1.0.0.  at is the moment of this attempt.
 */
extern void wh_request_append_headers(StringInfo out, const Delivery *delivery,
									  TimestampTz at);

/* Append the request line and the Host header that go before them. */
extern void wh_request_append_line(StringInfo out, const Endpoint *endpoint);

#endif							/* WH_REQUEST_H */
