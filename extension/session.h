/*
 * session.h
 *		The worker's database session: short transactions as the owner role.
 */
#ifndef WH_SESSION_H
#define WH_SESSION_H

/*
 * In a background worker that starts: have ConfigReloadPending set by reloads.
 * It is set at first, as PostgreSQL starts background workers with SIGHUP
 * ignored: what came between the fork and this call is lost.
 */
extern void wh_session_heed_reloads(void);

/*
 * Connect this background worker to a database, with its signals unblocked and
 * every setting pinned that could change what its statements do.
 */
extern void wh_session_connect(Oid database);

/*
 * Begin a transaction as the owner of our objects, connected to SPI, with a
 * snapshot pushed that the transaction's first reads use.
 */
extern void wh_session_begin(const char *activity);

/*
 * Commit.  is_durable: returns when the commit is flushed, and replicated if
 * the server waits for standbys; otherwise a crash may take it back.
 */
extern void wh_session_commit(bool is_durable);

/* Whether this process is a worker of ours. */
extern bool wh_session_is_worker(void);

/* In a transaction: default_transaction_read_only made it read-only. */
extern bool wh_session_is_read_only(void);

/*
 * Somebody held a lock that we needed.  For some time after that has been
 * noted, rows should be looked at before they are waited for.
 */
extern void wh_session_note_lock(void);
extern bool wh_session_meets_locks(void);

/* After an error was caught: roll back and forget. */
extern void wh_session_abort(void);

/*
 * Whether other sessions may have committed something since the last call;
 * takes a snapshot, runs no statement.
 */
extern bool wh_session_has_changed(void);

#endif							/* WH_SESSION_H */
