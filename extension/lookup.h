/*
 * lookup.h
 *		Name look-ups: how many at once, and whose turn it is.
 *
 * Private to the HTTP client.  libcurl has a thread for each look-up, from 8.20
 * on two of a pool, one for each kind of address, and nothing ends one before the
 * C library gives up, not even the end of its transfer: with a silent name server
 * that takes ten seconds and more.  So threads are counted, those that were left
 * behind too, and a transfer for which there is none waits, off libcurl's hands,
 * before its clock starts.
 *
 * Names differ in how many threads may be busy when they begin one: those that
 * got no address last time may fill half of them, so that new names find room
 * beside them, and names that were answered last time beside both.
 *
 * Of names that were not answered last time, the organizations have fair shares:
 * see fair.h.
 */
#ifndef WH_LOOKUP_H
#define WH_LOOKUP_H

#include <stdbool.h>

#include "fair.h"

#define MAX_LOOKUPS 64

typedef enum LookupClass
{
	LOOKUP_UNANSWERED,			/* no address last time */
	LOOKUP_NEW,
	LOOKUP_ANSWERED,
	LOOKUP_CLASSES
} LookupClass;

struct Transfer;

typedef struct LookupQueue
{
	struct Transfer *first;
	struct Transfer *last;
} LookupQueue;

typedef struct Lookups
{
	LookupQueue waiting[LOOKUP_CLASSES];
	int			waiting_count;
	int			called_count;	/* called up, thread not yet begun */
	int			live_count;		/* begun and not answered, transfer there */
	int			of_group[WH_GROUPS];	/* those, and those left behind */
	unsigned	left[MAX_LOOKUPS];	/* groups of those left behind, a ring */
	int			left_first;
	int			left_count;
} Lookups;

/* How many threads libcurl has for each. */
extern int	wh_lookup_threads(void);

/*
 * libcurl is about to look a name up; false: not now, wait for a call, or, when
 * its request was sent, never: an attempt is one request.
 */
extern bool wh_lookup_begin(struct Transfer *transfer);

/* An address was found. */
extern void wh_lookup_answered(struct Transfer *transfer);

/* Put a transfer that was told so at the end of its queue. */
extern void wh_lookup_wait(struct Transfer *transfer);

/* Take a transfer that may begin now out of its queue, or NULL. */
extern struct Transfer *wh_lookup_call_next(Lookups *lookups);

/* Take a transfer that has waited for its whole timeout, or NULL. */
extern struct Transfer *wh_lookup_give_up_next(Lookups *lookups);

/* The transfer is over: remember whether its name was answered. */
extern void wh_lookup_end(struct Transfer *transfer);

#endif							/* WH_LOOKUP_H */
