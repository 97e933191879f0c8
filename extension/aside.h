/*
 * aside.h
 *		Stepping aside: statements that need a database without sessions.
 */
#ifndef WH_ASIDE_H
#define WH_ASIDE_H

/* Install the utility hook; in the postmaster, when preloaded. */
extern void wh_aside_install(void);

#endif							/* WH_ASIDE_H */
