/*
 * lone.h
 *		One endpoint and one body, loaded by an ordinary session.
 */
#ifndef WH_LONE_H
#define WH_LONE_H

#include "delivery.h"

/*
 * The endpoint as it is now, with its signing keys; the caller ends with
 * wh_roster_unload.  Inside SPI; an error when it does not exist.
 */
extern Endpoint *wh_lone_endpoint(int64 id);

/* Text as a request body in UTF-8, in the current context. */
extern Body *wh_lone_body(const char *payload);

#endif							/* WH_LONE_H */
