/*
 * front.h
 *		Taking: up to where the outbox has been read, for which endpoints.
 *
 * Mostly there is one front for all endpoints of a worker.  Where some of them
 * have more than they can take, others are not to wait behind that: the front
 * is split by shards, the busy ones keep their place and the others go on.  Who
 * has caught up is driven up to one snapshot with the others that have, and
 * becomes one with them, as after a change of webhook.workers.
 */
#ifndef WH_FRONT_H
#define WH_FRONT_H

#include "queue.h"

/*
 * Looking ahead, past the events of full endpoints, gets one part in so many of
 * the time, and less and less when it finds nothing that can start: what it
 * passes must be written to the queue and read again.
 */
#define WH_LOOK_AHEAD_SHARE 5

typedef struct Front
{
	Cursor		cursor;
	bool		is_merging;		/* on its way to where several meet */
	bool		has_news;		/* something may have been committed */
	bool		has_window;		/* the window goes on behind the piece */
	bool		was_full;		/* the last piece had to spill */
	bool		is_looking_ahead;	/* the last piece passes full endpoints */
	int			rows_per_wanted;	/* in the last piece with any */
	int			fan_out;		/* rows per event in the last piece */
	int64		look_ahead_at;	/* not before; this one and the next: clock.h */
	int64		read_at;		/* not before, if others find rows; 0: now */
	int			look_ahead_share;
	int64		searched;		/* us, since a row was found */
	int64		behind_since;	/* 0: it has caught up */
	int64		met;			/* shards of the rows found since then */
} Front;

/*
 * Inside a transaction: the fronts of these shards, as they were stored; true:
 * one was.
 */
extern bool wh_front_load(int64 shards);

extern int	wh_front_count(void);

/*
 * Split and merge where that is due, in transactions of its own.  First thing
 * in a take, outside of one.
 */
extern void wh_front_arrange(void);

/* Whatever has been committed, all have to look. */
extern void wh_front_note_news(void);

/*
 * The front whose turn it is, and a copy to read with; or NULL: none has
 * anything to read, or places for it.
 */
extern Front *wh_front_choose(Front *copy);

/*
 * A piece was read and committed: the copy becomes the front.  It took so many
 * microseconds and met rows of these shards.
 */
extern void wh_front_note_piece(Front *front, const Front *copy, int64 took,
								int64 met);

/* A copy whose cursor outlives the transaction; to be freed if it is not used. */
extern Front wh_front_copy(const Front *from);
extern void wh_front_free(Front *front);

/* Looks past full endpoints, for which a part of the time is set aside. */
extern bool wh_front_may_look_ahead(const Front *front);
extern void wh_front_note_end(void);

/* Whether another take would find events without further news. */
extern bool wh_front_has_more(void);

/* Whether there are some for which it is not the time, as behind full endpoints. */
extern bool wh_front_is_waiting(void);

/*
 * Whether a cursor has moved past events for nobody without being saved, which
 * costs a commit: with the next rows for somebody, or by wh_front_save.
 */
extern bool wh_front_is_unsaved(void);
extern void wh_front_save(void);

#endif							/* WH_FRONT_H */
