/*
 * http.h
 *		Requests over libcurl's multi interface behind one readable descriptor.
 *
 * Knows no SQL, no transaction and no server: plain C that never raises an
 * error.  Used by the worker, and by webhook.test in the calling backend; runs
 * outside any transaction in the first, inside the caller's in the second.
 * The process that created a client is the only one that may use it.
 */
#ifndef WH_HTTP_H
#define WH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard.h"

/* Where Debian and its like keep the system's authorities. */
#define WH_HTTP_CA_FILE "/etc/ssl/certs/ca-certificates.crt"

#define WH_HTTP_ERROR_SIZE 256

typedef enum HttpErrorClass
{
	HTTP_OK,					/* 200-299 with complete headers */
	HTTP_DNS,
	HTTP_CONNECT,
	HTTP_TLS,
	HTTP_TIMEOUT,
	HTTP_BLOCKED,				/* the address is not allowed */
	HTTP_STATUS,				/* a complete answer that is not 2xx */
	HTTP_PROTOCOL,				/* malformed, reset or closed */
	HTTP_INTERNAL				/* our own side: memory, descriptors,
								 * authorities */
} HttpErrorClass;

/* Fixed for the life of a client. */
typedef struct HttpOptions
{
	const char *ca_file;		/* empty: the system's */
	GuardPolicy policy;
	size_t		body_limit;		/* bytes of an answer that are kept */
	int			max_connections;	/* kept alive when idle */
	int			descriptor;		/* of wh_http_open_descriptor */
} HttpOptions;

/* Everything is copied except body, which must live until the result. */
typedef struct HttpRequest
{
	const char *url;
	const char *headers;		/* lines, each ended by CR LF */
	const char *secret_headers; /* more of them, whose values no result shows;
								 * NULL: none */
	const void *body;
	size_t		body_length;
	long		timeout_ms;
	unsigned	group;			/* of those who share look-ups: see fair.h */
	bool		is_failing;		/* nobody answered last time */
	bool		is_alone;		/* on a connection for nothing else */
	void	   *owner;			/* handed back in the result */
} HttpRequest;

/* Valid until wh_http_release or wh_http_destroy. */
typedef struct HttpResult
{
	void	   *owner;
	HttpErrorClass error_class;
	char		error[WH_HTTP_ERROR_SIZE];	/* empty after a success */
	int			status;			/* 0: no status line arrived */
	char	   *headers;		/* as received, then perhaps WH_ANSWER_CUT */
	size_t		headers_length;
	unsigned char *body;
	size_t		body_length;
	bool		is_truncated;	/* the body was longer than body_limit */
	int64_t		waited_us;		/* for a name look-up, before it started */
	int64_t		duration_us;	/* since then, monotonic clock */
} HttpResult;

typedef struct HttpClient HttpClient;

/* A descriptor that outlives clients; -1: out of descriptors. */
extern int	wh_http_open_descriptor(void);

/* NULL: out of memory or descriptors, or libcurl refused to start. */
extern HttpClient *wh_http_create(const HttpOptions *options);

/*
 * A client with other options, and new connections.  What the old one has in
 * flight ends under the old options, and is handed out by the new one.  The
 * old one itself when it cannot be replaced yet: too many are still busy, or
 * there is no memory.  Of the new options it has the policy then, and no request
 * uses a connection that was open.
 */
extern HttpClient *wh_http_replace(HttpClient *client,
								   const HttpOptions *options);

/* Ends what is in flight without a result; NULL allowed. */
extern void wh_http_destroy(HttpClient *client);

/* Start a request; false: out of memory, nothing started. */
extern bool wh_http_start(HttpClient *client, const HttpRequest *request);

/* Milliseconds until wh_http_run has work in any case; -1: no such time. */
extern long wh_http_timeout(const HttpClient *client);

/* Move bytes, when the descriptor is readable or time is up; never blocks. */
extern void wh_http_run(HttpClient *client);

/* The next finished request, or NULL. */
extern HttpResult *wh_http_next_result(HttpClient *client);

extern void wh_http_release(HttpResult *result);

/*
 * The Host header and the request target that libcurl sends for a URL; false
 * when it cannot be parsed or does not fit.
 */
extern bool wh_http_split_url(const char *url, char *host, size_t host_size,
							  char *target, size_t target_size);

/* libcurl's and OpenSSL's versions, for webhook.version(). */
extern const char *wh_http_curl_version(void);
extern const char *wh_http_tls_version(void);

#endif							/* WH_HTTP_H */
