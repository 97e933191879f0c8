/*
 * shared.h
 *		What backends, workers and the launcher know of each other.
 *
 * One struct in shared memory, two levels: a database that has (or may have)
 * our extension, and its workers.  Fields are read and written under "lock"
 * unless they are atomics or say otherwise.  No pointers to process memory.
 */
#ifndef WH_SHARED_H
#define WH_SHARED_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "stats.h"

#define WH_MAX_DATABASES 64
#define WH_MAX_WORKERS 32
#define WH_SHARDS 64
#define WH_ERROR_SIZE 192
#define WH_NO_PLACE "all %d places for databases are taken"
#define WH_NO_PROCESS "no free background worker slot: raise max_worker_processes"

/* Why a worker moves nothing, or that it moves. */
typedef enum WorkerState
{
	WORKER_NONE = 0,			/* no process, none wanted */
	WORKER_STARTING,			/* asked for; the process has not spoken yet */
	WORKER_RUNNING,
	WORKER_DRAINING,			/* finishes what is on the wire, then leaves */
	WORKER_OFF,					/* webhook.enabled is off */
	WORKER_COPY,				/* a copy that was not adopted */
	WORKER_CURSOR,				/* rows of webhook.cursor were deleted */
	WORKER_VERSION,				/* library and SQL objects differ */
	WORKER_READ_ONLY,			/* default_transaction_read_only is on */
	WORKER_FAILING				/* its last transaction failed */
} WorkerState;

/*
 * What a worker has heard of commits.  AWAITED: it will look whether there have
 * been any, and need not be woken for them.
 */
enum
{
	NEWS_NONE, NEWS_SOME, NEWS_AWAITED
};

typedef struct WorkerSlot
{
	pid_t		pid;			/* 0: no process; written by the worker */
	int			procno;			/* whose latch to set; -1: none */
	int			total;			/* how many workers share the shards */
	WorkerState state;			/* written by the worker, and by the launcher
								 * while pid is 0 */
	TimestampTz since;			/* when state changed */
	int64		next_start;		/* launcher: not earlier than this; see
								 * clock.h */
	int64		asked_at;		/* launcher: when it asked for the process */
	int			failures;		/* launcher: starts in a row that ended badly */
	pg_atomic_uint32 news;		/* committed events to look for: NEWS_... */
	pg_atomic_uint32 in_flight; /* written by the worker */
	pg_atomic_uint32 should_drain;	/* written by the launcher */
	char		last_error[WH_ERROR_SIZE];	/* written as state is */
	TimestampTz last_error_at;	/* 0: there was none */
} WorkerSlot;

typedef struct DatabaseSlot
{
	Oid			database;		/* InvalidOid: free */
	bool		is_wanted;		/* may have the extension: keep workers */
	uint64		wants;			/* how often that was said: what a look before
								 * the last time found does not count */
	bool		is_barred;		/* launcher: it does not let us connect */
	int			holds;			/* statements that need the workers away */
	pg_atomic_uint64 config_generation; /* committed configuration changes */
	pg_atomic_uint64 due_generation;	/* committed changes of due times */
	pg_atomic_uint64 prepared_generation;	/* COMMIT PREPAREDs */
	DatabaseStats stats;		/* see stats.h */
	WorkerSlot	workers[WH_MAX_WORKERS];
} DatabaseSlot;

typedef struct SharedState
{
	LWLock	   *lock;
	int			launcher_procno;	/* -1: none */
	pg_atomic_uint64 scout_wishes;	/* that somebody reads pg_shdepend */
	pg_atomic_uint64 scouted_wishes;	/* fulfilled; written by the scout */
	bool		lacks_scout;	/* launcher: there was no place for one */
	int64		clock_offset;	/* of the clock of the day; see inspect.c */
	int64		clock_jump;		/* the last one seen, in microseconds */
	TimestampTz clock_jumped_at;	/* when it was seen */
	DatabaseSlot databases[WH_MAX_DATABASES];
} SharedState;

/* NULL when the library was not preloaded: then nobody delivers. */
extern SharedState *wh_shared;

extern void wh_shared_install(void);

/*
 * The slot of a database, made when missing.  NULL when not preloaded or when
 * all slots are in use.  The caller holds no lock.
 */
extern DatabaseSlot *wh_shared_database(Oid database);

/* The same, but only when it exists; the caller holds the lock. */
extern DatabaseSlot *wh_shared_find(Oid database);

/* Whether one more database could have a slot; the caller holds the lock. */
extern bool wh_shared_has_place(void);

/* Mark a database as one that should have workers, and tell the launcher. */
extern void wh_shared_want(Oid database);

/* Whether this database is one that should have workers. */
extern bool wh_shared_is_wanted(Oid database);

/* Have the launcher send a scout; harmless when not preloaded. */
extern void wh_shared_want_scout(void);

/* Tell the workers of a database that committed events wait. */
extern void wh_shared_announce(DatabaseSlot *database);

/* Make the workers of a database look around; no news implied. */
extern void wh_shared_wake(DatabaseSlot *database);

extern void wh_shared_wake_launcher(void);

#endif							/* WH_SHARED_H */
