/*
 * trouble.h
 *		Failed transactions of a worker: rolled back, told, and waited for.
 */
#ifndef WH_TROUBLE_H
#define WH_TROUBLE_H

#include "postgres.h"

/*
 * Run a step of the worker's turn, in this memory context.  False when it
 * failed: then nothing should be tried before wh_trouble_pause has passed,
 * which is at once when somebody else was just faster.
 */
extern bool wh_trouble_run(void (*step) (void), MemoryContext context);

/* Milliseconds until work may go on; 0: it may. */
extern long wh_trouble_pause(void);

#endif							/* WH_TROUBLE_H */
