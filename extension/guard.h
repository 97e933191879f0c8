/*
 * guard.h
 *		Which URLs may be endpoints and which addresses may be dialled.
 *
 * In a delivery's life the guard speaks twice.  The URL policy is asked when
 * an endpoint is created or changed, and again before each attempt, because
 * settings change.  The address policy is asked about every socket address
 * that libcurl is about to dial, on every attempt: only there are DNS answers
 * known, and only there can they no longer change.
 *
 * Needs no transaction and takes no lock: libc and libcurl's URL parser only,
 * no PostgreSQL header, so that it may run inside a libcurl callback and under
 * a fuzzer.  No verdict depends on the locale.
 */
#ifndef WH_GUARD_H
#define WH_GUARD_H

#include <stdbool.h>
#include <sys/socket.h>

#define WH_GUARD_MAX_RULES 64
#define WH_GUARD_MAX_URL 2048	/* bytes */

/* The one message about a refused address, whatever the reason */
#define WH_GUARD_BLOCKED "address is not allowed"

/*
 * A block of addresses.  IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2) are
 * always held as the IPv4 addresses that they stand for.
 */
typedef struct AddressRule
{
	int			family;			/* AF_INET or AF_INET6 */
	unsigned char bytes[16];	/* network byte order, unused ones zero */
	int			prefix;			/* leading bits that count */
} AddressRule;

/* What the settings and the server say; the rest is fixed. */
typedef struct GuardPolicy
{
	bool		allow_http;
	int			own_port;		/* where the server itself listens; 0: nowhere */
	AddressRule rules[WH_GUARD_MAX_RULES];	/* exceptions */
	int			rule_count;
} GuardPolicy;

/*
 * The parts are ready for errmsg, errdetail and errhint, with "%s" because
 * they may contain percent signs, and empty when the URL is allowed.  They
 * name at most the host or the port: the rest of a URL may carry a token.
 */
typedef struct UrlVerdict
{
	bool		is_allowed;
	char		message[128];
	char		detail[320];
	char		hint[192];
} UrlVerdict;

/*
 * Read a list of addresses and CIDR blocks, separated by commas or white
 * space, into an array with room for WH_GUARD_MAX_RULES.
 *
 * Bits right of the prefix are ignored, as in pg_hba.conf.  False, and no
 * rules, when an element is malformed or there are too many; an empty list is
 * well-formed.
 */
extern bool wh_guard_parse_rules(const char *list, AddressRule *rules,
								 int *count);

/*
 * Read an address without a zone, IPv4 only in its one canonical form; the
 * other fields of the result are zero.  False when it is not one.
 */
extern bool wh_guard_parse_address(const char *text,
								   struct sockaddr_storage *address);

/*
 * May this address be dialled?
 *
 * Yes for global unicast, and for whatever a rule contains; never for a family
 * other than IPv4 and IPv6, and never, by no rule, for IPv6 addresses that
 * another machine turns into IPv4 ones: IPv4-compatible, SIIT, NAT64, 6to4 and
 * Teredo.  An IPv4-mapped address is judged as IPv4, by IPv4 rules: "::/0" does
 * not open 10.0.0.0/8.  The port is not looked at, because no DNS answer can
 * change what the URL policy has seen.  The address must be as long as its
 * family says.
 */
extern bool wh_guard_address_allowed(const struct sockaddr *address,
									 const GuardPolicy *policy);

/*
 * May this URL be an endpoint?
 *
 * - At most WH_GUARD_MAX_URL bytes of visible ASCII without a backslash.
 * - https://, or http:// where that is allowed, then a host, then perhaps a
 *   port, path and query.  No user information and no fragment, empty or not.
 * - The host is an IPv6 address in brackets without a zone, an IPv4 address in
 *   its one canonical form, or a name of labels from [A-Za-z0-9_-] in the
 *   lengths of RFC 1035.  One label is enough: what it resolves to is decided
 *   by the address policy.  A full stop at the end is refused, so that a name
 *   has one spelling for DNS, SNI, certificates and logs.
 * - A name whose last label is a number, decimal or hexadecimal, is an address
 *   to some parsers and a name to others, and refused.
 * - A literal address obeys the address policy.
 * - The port, when there is a colon, is a decimal number from 1 to 65535
 *   without leading zeros, and not one of these:
 *   the "bad ports" of the Fetch standard, which no browser would open
 *   (https://fetch.spec.whatwg.org/#port-blocking), and further ports where
 *   databases, caches, queues, file shares and control planes listen: 445,
 *   873, 1433, 1521, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5672, 5900,
 *   5985, 5986, 6379, 6432, 6443, 9042, 9092, 9200, 9300, 10250, 11211, 27017;
 *   and not the server's own.
 * - libcurl reads the same scheme, host and port as were typed.
 */
extern void wh_guard_check_url(const char *url, const GuardPolicy *policy,
							   UrlVerdict *verdict);

#endif
