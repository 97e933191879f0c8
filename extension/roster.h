/*
 * roster.h
 *		What a worker knows of its endpoints, in its own memory.
 *
 * Configuration is loaded when a delivery needs it and its revision is new.
 * In-flight counts, windows and due marks exist nowhere else.
 */
#ifndef WH_ROSTER_H
#define WH_ROSTER_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

#include "fair.h"
#include "sign.h"

#define WH_MAX_SECRETS 2

typedef struct Endpoint
{
	int64		id;				/* hash key */
	bool		is_listed;		/* was there when the table was last read */
	TransactionId listed_xmin;	/* of its row then: changes with the row */
	TransactionId unlisted_at;	/* when it was first missed; invalid: never */
	bool		is_disabled;	/* when the table was last read */
	unsigned	group;			/* the number of its organization */
	int64		revision;		/* of what is loaded; 0: nothing */
	MemoryContext context;		/* holds the strings; NULL: nothing loaded */
	char	   *organization_id;
	char	   *url;
	char	   *host;			/* value of the Host header */
	char	   *target;			/* path and query of the request line */
	char	   *own_headers;	/* lines, each ended by CR LF, secret; NULL:
								 * none */
	char	   *masked_headers; /* the same for people */
	int			timeout_ms;
	bool		is_paused;
	int			key_count;		/* newest first */
	SigningKey *keys[WH_MAX_SECRETS];
	TimestampTz key_expires_at[WH_MAX_SECRETS];

	int			max_in_flight;	/* 0: the setting */
	int64		start_interval; /* us between starts by its rate limit; 0:
								 * none */
	TimestampTz next_start;		/* by the rate limit, were there no bursts */

	int			in_flight;		/* requests on the wire */
	int			window;			/* how many there may be */
	TimestampTz next_due;		/* no queued row is due before; DT_NOEND: none
								 * is queued */
	int			due_places;		/* rows that the due look may still start: one
								 * less than it read, which keeps the mark */
	bool		is_served;		/* among those that started new events lately */
	uint64		piece;			/* the last one with a row for it */
	bool		had_places;		/* when that piece began */
	bool		is_cautious;	/* after a crash: one at a time */
	bool		is_held;		/* has a row that waits for one of others: a
								 * suspect, or a large body */

	TimestampTz succeeded_at;	/* last success; 0: none seen */
	TimestampTz failing_since;	/* first failure after it; 0: none */
	bool		is_hopeless;	/* failed for webhook.disable_after when it
								 * last failed, and not judged yet */
	bool		is_being_changed;	/* by somebody else while it was judged */
	bool		is_silent;		/* the last failure was not even answered */
	TimestampTz failing_stored; /* what webhook.failing says; 0: no row */
	TimestampTz stored_at;		/* when that was written */
} Endpoint;

extern void wh_roster_create(void);

/* The endpoint, made with nothing loaded when it is not known yet. */
extern Endpoint *wh_roster_get(int64 id);

/* Visit all; the callback must not add any. */
extern void wh_roster_visit(void (*visit) (Endpoint *endpoint, void *arg),
							void *arg);

/*
 * The table is read anew: call the first, then the second for each that is
 * there, with the xmin of its row, and the third with the snapshot that the
 * table was read with.  What has changed is looked at, and nothing else.  Those
 * are removed that have been missing since before that: transactions that knew
 * them have ended, and whatever they queued has been looked for.
 */
extern void wh_roster_unlist(void);
extern void wh_roster_list(Endpoint *endpoint, TransactionId xmin);
extern void wh_roster_remove_unlisted(Snapshot snapshot);

/* Is it disabled or deleted?  Then what is queued for it is to be cancelled. */
extern bool wh_roster_is_gone(const Endpoint *endpoint);

/* Forget what is loaded, wiping its secrets. */
extern void wh_roster_unload(Endpoint *endpoint);

/*
 * Set when the next queued row of an endpoint is due, and the earliest of all
 * endpoints that have places.  What is queued for one that is gone is due.
 */
extern void wh_roster_set_due(Endpoint *endpoint, TimestampTz due);
extern TimestampTz wh_roster_earliest_due(void);

/* Milliseconds until then, as far as nobody sets the wall clock meanwhile. */
extern long wh_roster_time_to_due(void);

/* Recompute the earliest; costs a visit of all endpoints. */
extern void wh_roster_refresh_earliest(void);

/* Nothing is known any more: of due times, or of configuration too. */
extern void wh_roster_forget_due(void);
extern void wh_roster_forget_config(void);

/* How many more requests may be started now. */
extern int	wh_roster_places(const Endpoint *endpoint);

/* Requests at once (0: the setting) and microseconds between starts (0: none). */
extern void wh_roster_set_limits(Endpoint *endpoint, int max_in_flight,
								 int64 start_interval);

/*
 * A request is as good as on the wire; true: its endpoint is not proven, which
 * is to be told when the request is over.
 */
extern bool wh_roster_note_start(Endpoint *endpoint);
extern void wh_roster_note_end(Endpoint *endpoint, bool was_unproven);

/* Which organization it belongs to: those of a number share what they may. */
extern void wh_roster_set_group(Endpoint *endpoint, const char *organization_id);

/* Note how an attempt ended: a window grows with successes. */
extern void wh_roster_note_result(Endpoint *endpoint, bool is_success);

#endif							/* WH_ROSTER_H */
