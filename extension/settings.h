/*
 * settings.h
 *		The webhook.* settings.
 */
#ifndef WH_SETTINGS_H
#define WH_SETTINGS_H

#include "guard.h"

#define WH_MAX_RETRIES 32

typedef enum LogHeaders
{
	LOG_HEADERS_FAILED, LOG_HEADERS_ALL
} LogHeaders;

extern bool wh_enabled;
extern int	wh_workers;
extern int	wh_timeout;			/* ms */
extern char *wh_retry_schedule;
extern int	wh_disable_after;	/* s */
extern char *wh_header_prefix;
extern bool wh_allow_http;
extern char *wh_allow_addresses;
extern char *wh_ca_file;
extern int	wh_max_in_flight;	/* see wh_settings_places() */
extern int	wh_max_in_flight_per_endpoint;
extern int	wh_response_body_limit; /* bytes */
extern int	wh_payload_limit;	/* bytes */
extern int	wh_log_headers;
extern int	wh_retention;		/* min */
extern char *wh_instance;
extern char *wh_organization;	/* empty: all that the role may act for */

extern void wh_settings_define(void);

/* What the guard has to know of the settings. */
extern void wh_settings_policy(GuardPolicy *policy);

/* The default retry schedule in ms; returns the number of delays. */
extern int	wh_settings_retry_schedule(int *delays);

/* Files that a process may have open at once; PG_INT64_MAX: any number. */
extern int64 wh_settings_open_files(void);

/*
 * Requests that this process may have on the wire at once, at least 1:
 * webhook.max_in_flight, or fewer where that many files cannot be open.
 */
extern int	wh_settings_places(void);

#endif							/* WH_SETTINGS_H */
