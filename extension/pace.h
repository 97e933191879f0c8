/*
 * pace.h
 *		How long the worker's work waits for company, so as to share a flush.
 */
#ifndef WH_PACE_H
#define WH_PACE_H

/* Milliseconds until what is new may be taken; 0: now. */
extern long wh_pace_time_to_take(void);

/* A take has been made; true: another one follows, whoever commits. */
extern bool wh_pace_note_take(bool has_found);

/* Milliseconds until the results in hand are to be recorded; 0: now. */
extern long wh_pace_time_to_record(void);

#endif							/* WH_PACE_H */
