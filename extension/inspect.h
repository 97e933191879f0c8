/*
 * inspect.h
 *		What webhook.check() asks of the process and of the machine.
 */
#ifndef WH_INSPECT_H
#define WH_INSPECT_H

/*
 * Notice in shared memory when the clock was set by more than five seconds
 * since the last call.
 */
extern void wh_inspect_clock(void);

#endif							/* WH_INSPECT_H */
