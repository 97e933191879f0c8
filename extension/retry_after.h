/*
 * retry_after.h
 *		How long a receiver asks to be left alone: Retry-After of an answer.
 *
 * In a delivery's life: when an attempt has failed, before its retry is
 * scheduled.  Needs no transaction and takes no lock: libc only, no PostgreSQL
 * header.  No result depends on the locale or the time zone.
 */
#ifndef WH_RETRY_AFTER_H
#define WH_RETRY_AFTER_H

#include <stddef.h>
#include <stdint.h>

/* What asks for more gets this: a day, in seconds */
#define WH_RETRY_AFTER_MAX 86400

#define WH_RETRY_AFTER_NONE (-1)

/*
 * Seconds to wait from now (Unix time) on, by the first Retry-After among the
 * header lines of an answer: seconds or one of the three dates of RFC 9110,
 * 5.6.7.  0 for a date that has passed, WH_RETRY_AFTER_NONE when there is no
 * such field or when it is malformed.
 */
extern int	wh_retry_after_seconds(const char *headers, size_t length,
								   int64_t now);

#endif
