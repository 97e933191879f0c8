/*
 * slot.h
 *		The worker's own place in shared memory, and what it lets others see.
 */
#ifndef WH_SLOT_H
#define WH_SLOT_H

#include "shared.h"
#include "worker.h"

/* Claim the slot; exits the process when another one has it. */
extern void wh_slot_claim(const WorkerArguments *arguments);

extern DatabaseSlot *wh_slot_database(void);
extern WorkerSlot *wh_slot_mine(void);

/* Tell what the worker does; since changes with the state only. */
extern void wh_slot_set_state(WorkerState state);

/* Keep the message of an error for webhook.status, and its time. */
extern void wh_slot_set_error(const char *message);

/*
 * Whether to look at everything, because transactions in two phases committed
 * of which nobody knows what they did; once a second at most, and how many
 * milliseconds until then (-1: there is nothing to look at).
 */
extern bool wh_slot_notice_prepared(void);
extern long wh_slot_time_to_prepared(void);

/*
 * News of commits.  The first says whether there may be some; the second whether
 * there were, and from then on commits are news again; with the third the worker
 * will ask for them by itself, and need not be woken until then.
 */
extern bool wh_slot_may_have_news(void);
extern bool wh_slot_take_news(void);
extern void wh_slot_await_news(void);

/*
 * The extension is not here: nobody needs workers in this database, unless
 * somebody has said otherwise since wh_slot_wants returned that number.
 */
extern uint64 wh_slot_wants(void);
extern void wh_slot_unwanted(uint64 wants);

#endif							/* WH_SLOT_H */
