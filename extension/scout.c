/*
 * scout.c
 *		The scout: looks once which databases have our objects, and leaves.
 *
 * Only a process inside some database can read pg_shdepend; which one does not
 * matter, since it is of the whole server.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_shdepend.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"

#include "shared.h"
#include "worker.h"

/* Mark the databases in which the role "webhook" owns something. */
static void
scout(Oid role)
{
	Relation	rel = table_open(SharedDependRelationId, AccessShareLock);
	bool		is_found[WH_MAX_DATABASES] = {false};
	uint64		wants[WH_MAX_DATABASES];
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	for (int i = 0; i < WH_MAX_DATABASES; i++)
		wants[i] = wh_shared->databases[i].wants;
	ScanKeyInit(&keys[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&keys[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, SharedDependReferenceIndexId, true, NULL, 2,
							  keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);
		DatabaseSlot *slot;

		if (form->deptype != SHARED_DEPENDENCY_OWNER || !OidIsValid(form->dbid))
			continue;
		slot = wh_shared_database(form->dbid);
		if (slot)
			is_found[slot - wh_shared->databases] = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	LWLockAcquire(wh_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WH_MAX_DATABASES; i++)
	{
		/* One that was announced meanwhile stays: we have not seen it. */
		if (is_found[i])
			wh_shared->databases[i].is_wanted = true;
		else if (wh_shared->databases[i].wants == wants[i])
			wh_shared->databases[i].is_wanted = false;
	}
	LWLockRelease(wh_shared->lock);
}

void
webhook_scout_main(Datum arg)
{
	WorkerArguments arguments;
	uint64		wishes;
	Oid			role;

	memcpy(&arguments, MyBgworkerEntry->bgw_extra, sizeof(arguments));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(arguments.database, InvalidOid,
											  0);

	/* Before we look: what is wished for meanwhile is for the next one. */
	wishes = pg_atomic_fetch_add_u64(&wh_shared->scout_wishes, 0);
	StartTransactionCommand();
	role = get_role_oid("webhook", true);
	if (OidIsValid(role))
		scout(role);
	CommitTransactionCommand();
	pg_atomic_write_u64(&wh_shared->scouted_wishes, wishes);
	wh_shared_wake_launcher();
}
