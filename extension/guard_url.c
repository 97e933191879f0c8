/*
 * guard_url.c
 *		Which URLs may be endpoints.
 *
 * Asked when an endpoint is made or changed, and before each attempt.  Pure C
 * without locks, transactions or palloc; see guard.h for the policy.
 *
 * A URL is read here by a grammar that is much narrower than RFC 3986, and
 * then by libcurl, which will dial it: both must find the same scheme, host
 * and port.  Nothing is repaired or guessed, because what one parser repairs
 * another reads as a different host.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "guard.h"

#define MAX_HOST 253			/* RFC 1035, 2.3.4: 255 octets on the wire */
#define MAX_LABEL 63
#define MAX_PORT_DIGITS 5

#define DIGITS "0123456789"
#define HEX_DIGITS DIGITS "ABCDEFabcdef"
#define HOST_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS "._-"

#define PORT_HINT "Use a port between 1 and 65535, or leave out the colon."

/* What was typed, as far as it decides where a request goes */
typedef struct UrlParts
{
	const char *scheme;			/* in lower case */
	char		host[MAX_HOST + 1]; /* without brackets */
	bool		is_bracketed;
	struct sockaddr_storage address;	/* of the host when it is a literal */
	char		port[MAX_PORT_DIGITS + 1];	/* typed or the scheme's */
} UrlParts;

/* The list that guard.h explains */
static const unsigned short refused_ports[] = {
	1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77,
	79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123,
	135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526,
	530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 993,
	995, 1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306,
	3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900, 5985, 5986, 6000,
	6379, 6432, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042,
	9092, 9200, 9300, 10080, 10250, 11211, 27017
};

static bool check_characters(const char *url, UrlVerdict *verdict);
static bool read_scheme(const char *url, const GuardPolicy *policy,
						UrlParts *parts, UrlVerdict *verdict);
static bool read_authority(const char *url, UrlParts *parts,
						   UrlVerdict *verdict);
static bool read_port(const char *text, size_t length, UrlParts *parts,
					  UrlVerdict *verdict);
static bool check_port(const UrlParts *parts, const GuardPolicy *policy,
					   UrlVerdict *verdict);
static bool check_host(UrlParts *parts, const GuardPolicy *policy,
					   UrlVerdict *verdict);
static bool check_name(const char *host, UrlVerdict *verdict);
static bool is_number(const char *label);
static bool compare_with_curl(const char *url, const UrlParts *parts,
							  UrlVerdict *verdict);
static bool same_host(CURLU *parsed, const UrlParts *parts);
static bool same_part(CURLU *parsed, CURLUPart part, const char *typed);
static bool refuse(UrlVerdict *verdict, const char *reason, const char *hint,
				   const char *detail,...)
			__attribute__((format(printf, 4, 5)));

void
wh_guard_check_url(const char *url, const GuardPolicy *policy,
				   UrlVerdict *verdict)
{
	UrlParts	parts;

	memset(&parts, 0, sizeof(parts));
	memset(verdict, 0, sizeof(*verdict));
	verdict->is_allowed = check_characters(url, verdict) &&
		read_scheme(url, policy, &parts, verdict) &&
		read_authority(url, &parts, verdict) &&
		check_port(&parts, policy, verdict) &&
		check_host(&parts, policy, verdict) &&
		compare_with_curl(url, &parts, verdict);
}

static bool
check_characters(const char *url, UrlVerdict *verdict)
{
	size_t		length = strnlen(url, WH_GUARD_MAX_URL + 1);

	if (length > WH_GUARD_MAX_URL)
		return refuse(verdict, "too long", "Use a shorter URL.",
					  "The limit is %d bytes.", WH_GUARD_MAX_URL);
	for (size_t i = 0; i < length; i++)
	{
		if (url[i] <= ' ' || url[i] > '~')
			return refuse(verdict, "character is not allowed",
						  "Write such characters percent-encoded in the path "
						  "or query, and in a host name as Punycode (xn--).",
						  "Byte %d is a space, a control character or not "
						  "ASCII.", (int) i + 1);
	}
	if (strchr(url, '\\') != NULL)
		return refuse(verdict, "backslash is not allowed",
					  "Use slashes, and write a backslash in the path or query "
					  "as %5C.",
					  "A backslash separates parts of a URL for some programs "
					  "and not for others.");
	if (strchr(url, '#') != NULL)
		return refuse(verdict, "fragment is not allowed",
					  "Leave out the # and what follows, or write it as %23.",
					  "A fragment is never sent to a server.");
	return true;
}

static bool
read_scheme(const char *url, const GuardPolicy *policy, UrlParts *parts,
			UrlVerdict *verdict)
{
	if (curl_strnequal(url, "https://", strlen("https://")))
		parts->scheme = "https";
	else if (!curl_strnequal(url, "http://", strlen("http://")))
		return refuse(verdict, "scheme is not https",
					  "Use a URL such as https://example.com/webhooks.",
					  "The URL does not start with https://.");
	else if (!policy->allow_http)
		return refuse(verdict, "scheme is not https",
					  "Use https://.  For development, a superuser can set "
					  "webhook.allow_http to on.",
					  "The scheme is http.");
	else
		parts->scheme = "http";
	return true;
}

/*
 * Split what stands between the slashes and the path into host and port.
 */
static bool
read_authority(const char *url, UrlParts *parts, UrlVerdict *verdict)
{
	const char *host = url + strlen(parts->scheme) + strlen("://");
	const char *end = host + strcspn(host, "/?");
	const char *host_end;

	if (memchr(host, '@', end - host) != NULL)
		return refuse(verdict, "user name or password is not allowed",
					  "Leave out everything up to the @: requests are signed, "
					  "and a token can stand in the path.",
					  "The part before the path contains an @.");

	parts->is_bracketed = (*host == '[');
	if (parts->is_bracketed)
		host++;
	host_end = memchr(host, parts->is_bracketed ? ']' : ':', end - host);
	if (host_end == NULL && parts->is_bracketed)
		return refuse(verdict, "bracket is not closed",
					  "Write an IPv6 address as in https://[2001:db8::1]/.",
					  "There is no ] before the path.");
	if (host_end == NULL)
		host_end = end;
	if (host_end - host > MAX_HOST)
		return refuse(verdict, "host name is too long",
					  "Use a shorter host name.",
					  "The limit is %d bytes.", MAX_HOST);

	memcpy(parts->host, host, host_end - host);
	if (parts->is_bracketed)
		host_end++;
	return read_port(host_end, end - host_end, parts, verdict);
}

static bool
read_port(const char *text, size_t length, UrlParts *parts,
		  UrlVerdict *verdict)
{
	const char *digits = text +1;
	size_t		count = length - 1;

	if (length == 0)
	{
		strcpy(parts->port, strcmp(parts->scheme, "https") == 0 ? "443" : "80");
		return true;
	}
	if (*text !=':' || count == 0 || strspn(digits, DIGITS) != count)
		return refuse(verdict, "port number is malformed", PORT_HINT,
					  "What follows the host is not a colon and digits.");
	if (*digits == '0' && count > 1)
		return refuse(verdict, "port number is malformed", PORT_HINT,
					  "The port starts with a zero.");
	if (count > MAX_PORT_DIGITS)
		return refuse(verdict, "port number out of range", PORT_HINT,
					  "The port has more than %d digits.", MAX_PORT_DIGITS);
	memcpy(parts->port, digits, count);
	return true;
}

static bool
check_port(const UrlParts *parts, const GuardPolicy *policy,
		   UrlVerdict *verdict)
{
	int			port = atoi(parts->port);
	bool		is_refused = port == policy->own_port;

	if (port < 1 || port > 65535)
		return refuse(verdict, "port number out of range", PORT_HINT,
					  "The port is %d.", port);
	for (size_t i = 0; i < sizeof(refused_ports) / sizeof(*refused_ports); i++)
		is_refused |= refused_ports[i] == port;
	if (is_refused)
		return refuse(verdict, "port is not allowed",
					  "Use the port of a web server, such as 443 or 8443.",
					  "Port %d belongs to another kind of service.", port);
	return true;
}

static bool
check_host(UrlParts *parts, const GuardPolicy *policy, UrlVerdict *verdict)
{
	struct sockaddr *address = (struct sockaddr *) &parts->address;
	bool		is_literal;

	is_literal = wh_guard_parse_address(parts->host, &parts->address);
	if (parts->is_bracketed &&
		!(is_literal && address->sa_family == AF_INET6))
		return refuse(verdict, "IPv6 address is malformed",
					  "Write an IPv6 address as in https://[2001:db8::1]/, "
					  "without a zone.",
					  "What stands in brackets is not an IPv6 address.");
	if (!is_literal)
		return check_name(parts->host, verdict);
	if (wh_guard_address_allowed(address, policy))
		return true;

	refuse(verdict, "",
		   "Use a public address.  A superuser can open exceptions with "
		   "webhook.allow_addresses.",
		   "The address %s is not a public one.", parts->host);
	strcpy(verdict->message, WH_GUARD_BLOCKED);
	return false;
}

static bool
check_name(const char *host, UrlVerdict *verdict)
{
	const char *label = host;

	if (*host == '\0')
		return refuse(verdict, "host is missing",
					  "Use a URL such as https://example.com/webhooks.",
					  "Nothing stands between the slashes and the path.");
	if (strspn(host, HOST_CHARACTERS) != strlen(host))
		return refuse(verdict, "character is not allowed in host name",
					  "Write other letters as Punycode (xn--), and an IPv6 "
					  "address in brackets.",
					  "A host name has letters, digits, hyphens, underscores "
					  "and full stops.");
	for (;;)
	{
		size_t		length = strcspn(label, ".");

		if (length == 0 || length > MAX_LABEL)
			return refuse(verdict, "host name is malformed",
						  "Leave out a full stop at the start or the end, and "
						  "write one between two labels.",
						  "Each label of a host name has 1 to %d characters.",
						  MAX_LABEL);
		if (label[length] == '\0')
			break;
		label += length + 1;
	}
	if (is_number(label))
		return refuse(verdict, "IPv4 address is malformed",
					  "Write four decimal numbers from 0 to 255 without "
					  "leading zeros, such as 192.0.2.1.",
					  "The host \"%s\" ends in a number.", host);
	return true;
}

/*
 * The "ends in a number" check of the WHATWG URL standard, for the last label:
 * what looks like one may become an address, here or in another parser.
 */
static bool
is_number(const char *label)
{
	if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
		return label[2 + strspn(label + 2, HEX_DIGITS)] == '\0';
	return label[strspn(label, DIGITS)] == '\0';
}

/*
 * Read the URL once more with the parser that will be used to dial.  No URL is
 * known that passes the grammar above and fails here; the next libcurl may
 * find one.
 */
static bool
compare_with_curl(const char *url, const UrlParts *parts, UrlVerdict *verdict)
{
	CURLU	   *parsed = curl_url();
	bool		is_same;

	is_same = parsed != NULL &&
		curl_url_set(parsed, CURLUPART_URL, url,
					 CURLU_DISALLOW_USER) == CURLUE_OK &&
		same_part(parsed, CURLUPART_SCHEME, parts->scheme) &&
		same_part(parsed, CURLUPART_PORT, parts->port) &&
		same_host(parsed, parts);
	curl_url_cleanup(parsed);
	if (!is_same)
		return refuse(verdict, "libcurl does not read it as typed",
					  "Use a URL such as https://example.com/webhooks.",
					  "The scheme, the host or the port differs.");
	return true;
}

/*
 * libcurl writes IPv6 addresses in its own way, so literals are compared by
 * value.
 */
static bool
same_host(CURLU *parsed, const UrlParts *parts)
{
	struct sockaddr_storage address;
	char	   *host;
	size_t		length;
	bool		is_same;

	if (!parts->is_bracketed)
		return same_part(parsed, CURLUPART_HOST, parts->host);
	if (curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return false;

	length = strlen(host);
	is_same = length > 2 && host[0] == '[' && host[length - 1] == ']';
	if (is_same)
	{
		host[length - 1] = '\0';
		is_same = wh_guard_parse_address(host + 1, &address) &&
			memcmp(&address, &parts->address, sizeof(address)) == 0;
	}
	curl_free(host);
	return is_same;
}

static bool
same_part(CURLU *parsed, CURLUPart part, const char *typed)
{
	char	   *read;
	bool		is_same;

	if (curl_url_get(parsed, part, &read, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return false;
	is_same = curl_strequal(read, typed);
	curl_free(read);
	return is_same;
}

/*
 * Fill in the verdict; always false, so that a check can end in it.
 */
static bool
refuse(UrlVerdict *verdict, const char *reason, const char *hint,
	   const char *detail,...)
{
	va_list		arguments;

	snprintf(verdict->message, sizeof(verdict->message),
			 "invalid endpoint URL: %s", reason);
	snprintf(verdict->hint, sizeof(verdict->hint), "%s", hint);
	va_start(arguments, detail);
	vsnprintf(verdict->detail, sizeof(verdict->detail), detail, arguments);
	va_end(arguments);
	return false;
}
