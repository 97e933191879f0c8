/*
 * fair.h
 *		How many of a limited number one group may have: pure C.
 *
 * A group, which is all organizations with the same number, may have three
 * times what it leaves to the others.  So no number has to be reserved for
 * anybody, and yet nobody finds everything taken.
 */
#ifndef WH_FAIR_H
#define WH_FAIR_H

#include <stdbool.h>

#define WH_GROUPS 1024

static inline bool
wh_fair_has_room(int of_group, int of_all, int limit)
{
	return of_group < 3 * (limit - of_all);
}

#endif							/* WH_FAIR_H */
