/*
 * settings.c
 *		The webhook.* settings, their limits and their defaults.
 *
 * What decides whom we talk to is superuser-only, set in the configuration
 * files: the worker reads these, so a session's value would mean nothing.  One
 * setting is a session's: the organization that it narrows itself to.
 */
#include "postgres.h"

#include <limits.h>
#include <sys/resource.h>

#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "settings.h"
#include "shared.h"
#include "text.h"

#define OWN_FILES 200			/* PostgreSQL's in a worker, and to spare */

bool		wh_enabled;
int			wh_workers;
int			wh_timeout;
char	   *wh_retry_schedule;
int			wh_disable_after;
char	   *wh_header_prefix;
bool		wh_allow_http;
char	   *wh_allow_addresses;
char	   *wh_ca_file;
int			wh_max_in_flight;
int			wh_max_in_flight_per_endpoint;
int			wh_response_body_limit;
int			wh_payload_limit;
int			wh_log_headers;
int			wh_retention;
char	   *wh_instance;
char	   *wh_organization;

static const struct config_enum_entry log_headers_options[] = {
	{"failed", LOG_HEADERS_FAILED, false},
	{"all", LOG_HEADERS_ALL, false},
	{NULL, 0, false}
};

/* Split "1s, 10s, 60s"; -1 when malformed, else the number of delays. */
static int
parse_schedule(const char *value, int *delays, const char **hint)
{
	char	   *copy = pstrdup(value);
	char	   *rest = copy;
	char	   *item;
	int			count = 0;

	*hint = NULL;
	if (strspn(value, " \t") == strlen(value))
		return 0;
	while ((item = strsep(&rest, ",")) != NULL)
	{
		if (count == WH_MAX_RETRIES ||
			!parse_int(item, &delays[count], GUC_UNIT_MS, hint) ||
			delays[count] < 0)
		{
			count = -1;
			break;
		}
		count++;
	}
	pfree(copy);
	return count;
}

static bool
check_retry_schedule(char **newval, void **extra, GucSource source)
{
	int			delays[WH_MAX_RETRIES];
	const char *hint;

	if (parse_schedule(*newval, delays, &hint) >= 0)
		return true;
	GUC_check_errdetail("A retry schedule is a list of up to %d delays such as \"1s, 10s, 60s\".",
						WH_MAX_RETRIES);
	if (hint)
		GUC_check_errhint("%s", hint);
	return false;
}

/* Under each prefix there is a signature: no two may have the same name. */
static bool
prefix_is_free(List *prefixes, const char *prefix)
{
	ListCell   *cell;
	int			count = 0;

	if (pg_strcasecmp(prefix, "webhook") == 0)
	{
		GUC_check_errdetail("\"%s\" begins the names of the headers of Standard Webhooks.",
							prefix);
		return false;
	}
	foreach(cell, prefixes)
		count += pg_strcasecmp(prefix, lfirst(cell)) == 0;
	if (count > 1)
		GUC_check_errdetail("\"%s\" is there more than once; case does not count.",
							prefix);
	return count == 1;
}

/*
 * The server's own splitting takes quotes off, and a line break for a blank; who
 * makes headers of the list does neither.
 */
static bool
check_header_prefix(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	ListCell   *cell;

	if (strpbrk(copy, "\"\n\r\v\f") != NULL ||
		!SplitGUCList(copy, ',', &names) || names == NIL)
	{
		GUC_check_errdetail("A list of header name prefixes such as \"X-Jasper\" is expected.");
		return false;
	}
	foreach(cell, names)
	{
		const char *name = lfirst(cell);

		if (strlen(name) > 64 || !wh_text_header_name_is_valid(name))
		{
			GUC_check_errdetail("\"%s\" cannot begin the name of a header.",
								name);
			return false;
		}
		if (!prefix_is_free(names, name))
			return false;
	}
	return true;
}

static bool
check_allow_addresses(char **newval, void **extra, GucSource source)
{
	AddressRule rules[WH_GUARD_MAX_RULES];
	int			count;

	if (wh_guard_parse_rules(*newval, rules, &count))
		return true;
	GUC_check_errdetail("A list of up to %d networks such as \"10.1.0.0/16, fd00::/8\" is expected.",
						WH_GUARD_MAX_RULES);
	return false;
}

void
wh_settings_policy(GuardPolicy *policy)
{
	policy->allow_http = wh_allow_http;
	policy->own_port = PostPortNumber;
	(void) wh_guard_parse_rules(wh_allow_addresses, policy->rules,
								&policy->rule_count);
}

int
wh_settings_retry_schedule(int *delays)
{
	const char *hint;

	return parse_schedule(wh_retry_schedule, delays, &hint);
}

int64
wh_settings_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
		limit.rlim_cur == RLIM_INFINITY)
		return PG_INT64_MAX;
	return limit.rlim_cur;
}

/*
 * PostgreSQL closes files of its own when there are too many, but takes no
 * sockets into account, and an attempt without a socket would fail.
 */
int
wh_settings_places(void)
{
	static int64 files = 0;		/* asked once: this is called often */

	if (files == 0)
		files = wh_settings_open_files();
	return Max(Min(wh_max_in_flight, files - OWN_FILES), 1);
}

static void
define_delivery_settings(void)
{
	DefineCustomIntVariable("webhook.timeout",
							"Wall clock of one attempt, name look-up and TLS included.",
							NULL, &wh_timeout, 30000, 1, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("webhook.retry_schedule",
							   "Delays before each retry, each from the end of the failed attempt.",
							   "An empty list means one attempt.",
							   &wh_retry_schedule, "1s, 10s, 60s",
							   PGC_SIGHUP, GUC_LIST_INPUT,
							   check_retry_schedule, NULL, NULL);
	DefineCustomIntVariable("webhook.disable_after",
							"Disable an endpoint whose every attempt failed for this long.",
							"0 never disables.",
							&wh_disable_after, 5 * 24 * 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("webhook.header_prefix",
							   "Prefixes of the product's own header names.",
							   "The signature is sent under each; the first also names the User-Agent.",
							   &wh_header_prefix, "X-Jasper",
							   PGC_SIGHUP, GUC_LIST_INPUT,
							   check_header_prefix, NULL, NULL);
	DefineCustomIntVariable("webhook.response_body_limit",
							"Bytes of a response body that are kept.",
							NULL, &wh_response_body_limit, 16 * 1024, 0,
							1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.payload_limit",
							"Largest request body in bytes.",
							NULL, &wh_payload_limit, 1024 * 1024, 1024,
							64 * 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomEnumVariable("webhook.log_headers",
							 "Attempts whose headers are logged.",
							 NULL, &wh_log_headers, LOG_HEADERS_FAILED,
							 log_headers_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.retention",
							"How long events, attempts and idempotency keys are kept.",
							NULL, &wh_retention, 30 * 24 * 60, 60, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("webhook.enabled",
							 "Whether workers send anything.",
							 NULL, &wh_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.workers",
							"Workers per database; each owns a share of the endpoints.",
							NULL, &wh_workers, 1, 1, WH_MAX_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.max_in_flight",
							"Requests that one worker has on the wire at once.",
							NULL, &wh_max_in_flight, 500, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.max_in_flight_per_endpoint",
							"Requests to one endpoint that are on the wire at once.",
							NULL, &wh_max_in_flight_per_endpoint, 64, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_security_settings(void)
{
	DefineCustomBoolVariable("webhook.allow_http",
							 "Accept endpoints without TLS, for development.",
							 NULL, &wh_allow_http, false,
							 PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("webhook.allow_addresses",
							   "Networks that may be dialled although they are not public.",
							   NULL, &wh_allow_addresses, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_LIST_INPUT,
							   check_allow_addresses, NULL, NULL);
	DefineCustomStringVariable("webhook.ca_file",
							   "File of certificate authorities; empty means the system's.",
							   NULL, &wh_ca_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("webhook.instance",
							   "Part of the identity that tells a copy from the original.",
							   NULL, &wh_instance, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* It can only take away, so everybody may set it. */
static void
define_session_settings(void)
{
	DefineCustomStringVariable("webhook.organization",
							   "The only organization that the session acts for.",
							   "Empty leaves all that the role may act for.",
							   &wh_organization, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
}

void
wh_settings_define(void)
{
	define_delivery_settings();
	define_worker_settings();
	define_security_settings();
	define_session_settings();
	MarkGUCPrefixReserved("webhook");
}
