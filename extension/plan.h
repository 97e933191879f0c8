/*
 * plan.h
 *		Taking: which rows may start, as far as the endpoints have places.
 *
 * A plan is made from rows that were read and carried out by rows that are
 * written, inside one transaction.  Deliveries outlive it only when it commits.
 */
#ifndef WH_PLAN_H
#define WH_PLAN_H

#include "queue.h"

typedef struct TakePlan
{
	QueueRow   *rows;			/* to insert */
	Delivery  **row_delivery;	/* delivery of each row, or NULL */
	int			row_count;
	DueRow	   *sending;		/* due rows to mark */
	Delivery  **sending_delivery;
	int			sending_count;
	Delivery   *list;			/* carried out: what may be sent */
	DueRow	   *gone;			/* due rows for nobody, or cancelled */
	int			gone_count;
	int64	   *load;			/* endpoints to load */
	int			load_count;
	DueWish    *wishes;			/* endpoints that were asked for due rows */
	int			wish_count;
	TimestampTz now;			/* of the due look */
	int			places;			/* left */
	int			wanted_count;	/* new rows for endpoints that had places */
	int64		met;			/* shards of the new rows */
	bool		has_found_idle; /* a new row is for an idle endpoint */
	bool		is_full;		/* a row waits for a place at its endpoint */
} TakePlan;

extern void wh_plan_begin(TakePlan *plan, int places);

/* Read the due rows of endpoints that may have some and have places. */
extern void wh_plan_due(TakePlan *plan);

/* New rows of a piece, in cursor order; returns the number of events. */
extern int	wh_plan_new_rows(TakePlan *plan, const NewRow *rows, int count);

/* Endpoints whose rows were held may have them looked at again. */
extern void wh_plan_let_go(void);

/* The suspect that was on the wire is over: the next one may go. */
extern void wh_plan_clear_suspect(void);

/*
 * Places left at the endpoints of these shards that new events were started for
 * lately.
 */
extern int	wh_plan_served_places(int64 shards);

/* Whether carrying it out would write anything. */
extern bool wh_plan_has_rows(const TakePlan *plan);

/* Write the plan down and make the list of what may be sent. */
extern Delivery *wh_plan_carry_out(TakePlan *plan);

/* An error: the endpoints are as before, and nothing was planned. */
extern void wh_plan_forget(TakePlan *plan);

#endif							/* WH_PLAN_H */
