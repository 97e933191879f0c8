/*
 * worker.h
 *		Entry points of our background processes, by name for the server.
 */
#ifndef WH_WORKER_H
#define WH_WORKER_H

#include "postgres.h"

/* Argument: database oid in bgw_extra, then the worker's index. */
typedef struct WorkerArguments
{
	Oid			database;
	int			index;
	int			total;
} WorkerArguments;

extern PGDLLEXPORT void webhook_worker_main(Datum arg);
extern PGDLLEXPORT void webhook_launcher_main(Datum arg);
extern PGDLLEXPORT void webhook_scout_main(Datum arg);

#endif							/* WH_WORKER_H */
