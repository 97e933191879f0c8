/*
 * health.h
 *		Which endpoints have failed for so long that they are to be disabled.
 *
 * What matters after a restart is in webhook.failing, which is written when an
 * endpoint begins to fail or stops: a success of a sound one costs nothing.
 */
#ifndef WH_HEALTH_H
#define WH_HEALTH_H

#include "delivery.h"

/* Note how an attempt ended; memory only, needs no transaction. */
extern void wh_health_note(const Delivery *delivery);

/*
 * Write down what changed, and disable the hopeless.  In a transaction of its
 * own, if there is anything to write; after an error the next call tries again.
 */
extern void wh_health_judge(void);

#endif							/* WH_HEALTH_H */
