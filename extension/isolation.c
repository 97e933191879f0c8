/*
 * isolation.c
 *		What a transaction with an old snapshot cannot see: newer attempts.
 *
 * Runs in the caller's transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(webhook_check_isolation);

static int64
count_attempts(Datum *arguments, Snapshot snapshot)
{
	Oid			types[] = {UUIDARRAYOID, INT8ARRAYOID};
	SPIPlanPtr	plan = SPI_prepare("select count(*) from webhook.attempt a"
								   " where a.event_id = any ($1)"
								   " and a.endpoint_id = any ($2)", 2, types);
	bool		is_null;

	if (plan == NULL ||
		SPI_execute_snapshot(plan, arguments, NULL, snapshot, InvalidSnapshot,
							 true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count attempts");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &is_null));
}

/*
 * _check_isolation(event_ids, endpoint_ids)
 *
 * For whoever has just queued deliveries of these events to these endpoints.
 * What was queued already and is there still has met the primary key.  What
 * came and went since the transaction's snapshot has left attempts, which only
 * a new snapshot shows.
 */
Datum
webhook_check_isolation(PG_FUNCTION_ARGS)
{
	Datum		arguments[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};

	if (!IsolationUsesXactSnapshot())
		PG_RETURN_VOID();
	SPI_connect();
	if (count_attempts(arguments, GetTransactionSnapshot()) !=
		count_attempts(arguments, GetLatestSnapshot()))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent deliveries"),
				 errhint("The transaction might succeed if retried.")));
	SPI_finish();
	PG_RETURN_VOID();
}
