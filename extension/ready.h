/*
 * ready.h
 *		Getting a worker ready: what must hold before it may send.
 */
#ifndef WH_READY_H
#define WH_READY_H

#include "shared.h"

/*
 * What keeps this worker from sending, or WORKER_RUNNING.  Ends the process
 * when the extension is not here.  In a transaction of its own.
 */
extern WorkerState wh_ready_check(void);

/*
 * Own the shards of this worker, index of total, for as long as the process
 * lives, waiting for the owner before; then load its cursors and endpoints.
 */
extern void wh_ready_start(int index, int total);

/* Partitions ahead and retention; false: somebody was in the way. */
extern bool wh_ready_maintain(void);

/*
 * Where the wall clock was set back, what is to wait until some time of it
 * would wait longer than it should.  (Set forward, it lets things go early.)
 */
extern void wh_ready_notice_clock(void);

#endif							/* WH_READY_H */
