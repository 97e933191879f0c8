/*
 * webhook.c
 *		Loading the library: settings, shared memory, launcher, hooks.
 *
 * Loaded by shared_preload_libraries it delivers; loaded by a session alone it
 * still records events, which wait for a server with the library preloaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"

#include "aside.h"
#include "settings.h"
#include "shared.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static void
register_launcher(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "webhook", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "webhook_launcher_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "webhook launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "webhook launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

void
_PG_init(void)
{
	wh_settings_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	wh_shared_install();
	wh_aside_install();
	register_launcher();
}
