/*
 * header.h
 *		Headers of an endpoint's own: their values are secrets.
 */
#ifndef WH_HEADER_H
#define WH_HEADER_H

#include "roster.h"

/*
 * Make the lines of an endpoint from arrays of names and values, in its
 * context, and wipe the values.  Whatever may not be sent is left out: rows
 * can be older than the rules.
 */
extern void wh_header_load(Endpoint *endpoint, Datum names, Datum values);

#endif							/* WH_HEADER_H */
