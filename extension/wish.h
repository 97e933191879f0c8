/*
 * wish.h
 *		Taking: which endpoints are asked for due rows, in turn.
 */
#ifndef WH_WISH_H
#define WH_WISH_H

#include "queue.h"

#define WH_MAX_WISHES 500

/*
 * Choose endpoints that may have rows due now and have places, for so many
 * places in all; room is for WH_MAX_WISHES.  Returns how many there are.
 */
extern int	wh_wish_choose(DueWish *wishes, int places, TimestampTz now);

#endif							/* WH_WISH_H */
