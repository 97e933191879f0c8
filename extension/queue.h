/*
 * queue.h
 *		Every statement of the worker on the outbox, the queue and the log.
 *
 * Each function runs inside a transaction begun by wh_session_begin and ends
 * none, except where it says so.  What it returns is copied out of SPI.
 */
#ifndef WH_QUEUE_H
#define WH_QUEUE_H

#include "access/transam.h"

#include "delivery.h"

/* Up to where the outbox has been read: a window and a position in it. */
typedef struct Cursor
{
	int64		shards;			/* bit mask */
	Datum		low;			/* pg_snapshot, or 0: nothing was taken */
	Datum		high;			/* pg_snapshot, or 0: no window is open */
	uint64		low_xmax;		/* 0 when low is 0 */
	uint64	   *low_xip;		/* in order */
	int			low_xip_count;
	uint64		position_xid;	/* last event taken in the window */
	pg_uuid_t	position_id;
	int64		position_endpoint_id;	/* of that event; max: all of them */
	ItemPointerData tid;		/* of its row when last written: a hint */
	bool		is_unsaved;		/* its row lags behind, past events for nobody */
	MemoryContext context;		/* holds the Datums */
} Cursor;

/* A new event for one endpoint, or for none (endpoint_id 0). */
typedef struct NewRow
{
	uint64		xid;
	pg_uuid_t	event_id;
	TimestampTz created_at;
	char	   *event_type;
	text	   *payload;		/* perhaps toasted */
	int64		endpoint_id;
	int64		revision;
	bool		is_paused;
} NewRow;

/* A piece of the outbox: what is asked for, and what was found. */
typedef struct Piece
{
	int			event_limit;
	int			row_limit;		/* events times endpoints */
	bool		is_searching;	/* the last ones were for nobody: pass those
								 * like them, and do not count them */
	NewRow	   *rows;
	int			count;
	bool		has_passed;		/* some that have no row */
	bool		has_more;		/* there may be more behind the last row */
} Piece;

/* A queued delivery that may be due. */
typedef struct DueRow
{
	ItemPointerData tid;
	pg_uuid_t	event_id;
	int64		endpoint_id;
	int			attempts;
	bool		is_redelivery;
	int			interruptions;	/* by crashes, its last attempts in a row */
	TimestampTz next_attempt_at;
	TimestampTz created_at;
	char	   *event_type;		/* NULL: the event is gone */
	text	   *payload;
	int64		revision;
	bool		is_paused;
	bool		is_marked;		/* as on the wire, by wh_queue_mark_sending */
} DueRow;

/* What a due look asks of one endpoint. */
typedef struct DueWish
{
	int64		endpoint_id;
	TimestampTz mark;			/* nothing is due before */
	int			places;
} DueWish;

/* One row to insert; tid and is_new come back. */
typedef struct QueueRow
{
	pg_uuid_t	event_id;
	int64		endpoint_id;
	TimestampTz created_at;
	bool		is_sending;		/* else it waits, due at once */
	bool		is_new;			/* false: was there already */
	ItemPointerData tid;
} QueueRow;

/* Whether the extension is there and which one: its oid and version. */
extern Oid	wh_queue_extension(char **version);

/*
 * Whether this database may deliver: its identity row is the only one.  Writes
 * the first one.
 */
extern bool wh_queue_check_identity(void);

/* Whether every shard for which events were taken has a cursor. */
extern bool wh_queue_check_cursors(void);

/* Cursors of these shards, split where they reach beyond; one or more. */
extern int	wh_queue_load_cursors(int64 shards, Cursor **cursors);
extern void wh_queue_save_cursor(Cursor *cursor);
extern void wh_queue_split_cursors(int64 shards);
extern void wh_queue_merge_cursors(const Cursor *kept, const Cursor *gone);

/* The snapshot that the first reads of this transaction see. */
extern Datum wh_queue_snapshot(void);

/* Derive low_xmax and low_xip from low. */
extern void wh_queue_unpack_cursor(Cursor *cursor);

/*
 * New events in cursor order, times their endpoints.  A fresh window (high 0) is
 * read with the snapshot that wh_queue_snapshot returns.
 */
extern void wh_queue_read_new(const Cursor *cursor, Piece *piece);

/* Of a row that is not due by now, nothing but when it is due. */
extern int	wh_queue_read_due(const DueWish *wishes, int count,
							  TimestampTz now, DueRow **rows);

extern void wh_queue_insert(QueueRow *rows, int count);

/*
 * Count an attempt for each row and mark it as on the wire, unless somebody has
 * changed it meanwhile.
 */
extern void wh_queue_mark_sending(DueRow *rows, int count);

/* Load what the roster does not have; ids of the same shard owner. */
extern void wh_queue_load_endpoints(const int64 *ids, int count);

/*
 * Have all endpoints of these shards in the roster, with the limits that must
 * be known before their first request.
 */
extern void wh_queue_learn_endpoints(int64 shards);

/*
 * Have those in the roster, too, that are gone and left rows in the queue, as
 * after a crash: they are cancelled when they are looked at.
 */
extern void wh_queue_learn_queued(int64 shards);

/* Rows that a crash left on the wire: log them, and make them due. */
extern int	wh_queue_interrupt(int64 shards);

/* Delete the rows of deliveries that have ended; one may be gone already. */
extern void wh_queue_end(Delivery **deliveries, int count);

/*
 * The wall clock was set back, by step (us) while we ran, or before, by what
 * rows from the future tell: what waits shall wait no longer for it.
 */
extern void wh_queue_set_back(int64 shards, int64 step);

/*
 * Rows that are for nobody, or were cancelled: end them as cancelled.  Where
 * somebody has one locked, the endpoint has nothing due until locks are met
 * again.
 */
extern void wh_queue_cancel(const DueRow *rows, int count);

#endif							/* WH_QUEUE_H */
