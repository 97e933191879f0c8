/*
 * guard.c
 *		Which addresses may be dialled.
 *
 * Asked about each socket address that libcurl is about to dial, from inside
 * its callback, and about literal addresses in URLs.  Pure C without locks,
 * transactions or palloc; see guard.h for the policy and guard_url.c for URLs.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"

#define lengthof(array) ((int) (sizeof(array) / sizeof((array)[0])))

static const AddressRule ipv4_mapped = {
	AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96
};
static const AddressRule ipv6_global = {AF_INET6, {0x20}, 3};

/*
 * IPv6 addresses with an IPv4 address inside, which a gateway somewhere may
 * dial for us: no rule opens them, however wide it is.
 */
static const AddressRule embedding_blocks[] = {
	{AF_INET6, {0}, 96},		/* IPv4-compatible, RFC 4291; with "::" */
	{AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96},	/* SIIT, RFC 2765 */
	{AF_INET6, {0, 0x64, 0xff, 0x9b}, 96},	/* NAT64, RFC 6052 */
	{AF_INET6, {0, 0x64, 0xff, 0x9b, 0, 1}, 48},	/* NAT64, RFC 8215 */
	{AF_INET6, {0x20, 0x01, 0, 0}, 32}, /* Teredo, RFC 4380 */
	{AF_INET6, {0x20, 0x02}, 16}	/* 6to4, RFC 3056 */
};

/* It looks IPv4-compatible, and is not. */
static const AddressRule ipv6_loopback = {
	AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128
};

/*
 * The IANA special-purpose registries (RFC 6890), all of them: also what is
 * marked as globally reachable there is no place for a web server.  For IPv6
 * only what lies inside 2000::/3; everything outside is refused anyway, which
 * covers loopback, IPv4-compatible, IPv4-translated (::ffff:0:0:0/96), NAT64
 * (64:ff9b::/96, 64:ff9b:1::/48), unique local, link-local and multicast.
 */
static const AddressRule special_blocks[] = {
	{AF_INET, {0}, 8},			/* this host, RFC 791 */
	{AF_INET, {10}, 8},			/* private, RFC 1918 */
	{AF_INET, {100, 64}, 10},	/* carrier-grade NAT, RFC 6598 */
	{AF_INET, {127}, 8},		/* loopback, RFC 1122 */
	{AF_INET, {168, 63, 129, 16}, 32},	/* Azure's host agent: the exception
										 * that no registry lists */
	{AF_INET, {169, 254}, 16},	/* link-local and cloud metadata, RFC 3927 */
	{AF_INET, {172, 16}, 12},	/* private, RFC 1918 */
	{AF_INET, {192, 0, 0}, 24}, /* IETF protocol assignments, RFC 6890 */
	{AF_INET, {192, 0, 2}, 24}, /* TEST-NET-1, RFC 5737 */
	{AF_INET, {192, 31, 196}, 24},	/* AS112, RFC 7535 */
	{AF_INET, {192, 52, 193}, 24},	/* AMT relays, RFC 7450 */
	{AF_INET, {192, 88, 99}, 24},	/* 6to4 relays, RFC 7526 */
	{AF_INET, {192, 168}, 16},	/* private, RFC 1918 */
	{AF_INET, {192, 175, 48}, 24},	/* AS112, RFC 7534 */
	{AF_INET, {198, 18}, 15},	/* benchmarking, RFC 2544 */
	{AF_INET, {198, 51, 100}, 24},	/* TEST-NET-2, RFC 5737 */
	{AF_INET, {203, 0, 113}, 24},	/* TEST-NET-3, RFC 5737 */
	{AF_INET, {224}, 4},		/* multicast, RFC 1112 */
	{AF_INET, {240}, 4},		/* reserved and broadcast, RFC 1112, RFC 919 */
	{AF_INET6, {0x20, 0x01}, 23},	/* Teredo, ORCHID and others, RFC 2928 */
	{AF_INET6, {0x20, 0x01, 0x0d, 0xb8}, 32},	/* documentation, RFC 3849 */
	{AF_INET6, {0x20, 0x02}, 16},	/* 6to4, RFC 3056 */
	{AF_INET6, {0x26, 0x20, 0x00, 0x4f, 0x80}, 48}, /* AS112, RFC 7534 */
	{AF_INET6, {0x3f, 0xff}, 20}	/* documentation, RFC 9637 */
};

static bool parse_rule(const char *text, size_t length, AddressRule *rule);
static bool parse_prefix(const char *text, int most, int *prefix);
static bool read_address(const struct sockaddr *address, AddressRule *target);
static void unwrap_mapped(AddressRule *rule);
static bool any_contains(const AddressRule *blocks, int count,
						 const AddressRule *address);
static bool contains(const AddressRule *block, const AddressRule *address);

bool
wh_guard_parse_rules(const char *list, AddressRule *rules, int *count)
{
	static const char separators[] = ", \t\r\n";
	const char *element = list + strspn(list, separators);

	*count = 0;
	while (*element != '\0')
	{
		size_t		length = strcspn(element, separators);

		if (*count == WH_GUARD_MAX_RULES ||
			!parse_rule(element, length, &rules[*count]))
		{
			*count = 0;
			return false;
		}
		(*count)++;
		element += length;
		element += strspn(element, separators);
	}
	return true;
}

static bool
parse_rule(const char *text, size_t length, AddressRule *rule)
{
	char		copy[INET6_ADDRSTRLEN + sizeof("/128")];
	struct sockaddr_storage address;
	char	   *slash;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';

	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!wh_guard_parse_address(copy, &address) ||
		!read_address((struct sockaddr *) &address, rule))
		return false;
	if (slash != NULL && !parse_prefix(slash + 1, rule->prefix, &rule->prefix))
		return false;
	unwrap_mapped(rule);
	return true;
}

static bool
parse_prefix(const char *text, int most, int *prefix)
{
	size_t		length = strlen(text);

	if (length < 1 || length > 3 || strspn(text, "0123456789") != length ||
		(text[0] == '0' && length > 1))
		return false;
	*prefix = atoi(text);
	return *prefix <= most;
}

bool
wh_guard_parse_address(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in in = {0};
	struct sockaddr_in6 in6 = {0};
	char		canonical[INET_ADDRSTRLEN];

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
	{
		in6.sin6_family = AF_INET6;
		memcpy(address, &in6, sizeof(in6));
		return true;
	}

	/* not every inet_pton refuses leading zeros, which may mean octal */
	if (inet_pton(AF_INET, text, &in.sin_addr) != 1 ||
		!inet_ntop(AF_INET, &in.sin_addr, canonical, sizeof(canonical)) ||
		strcmp(canonical, text) != 0)
		return false;
	in.sin_family = AF_INET;
	memcpy(address, &in, sizeof(in));
	return true;
}

bool
wh_guard_address_allowed(const struct sockaddr *address,
						 const GuardPolicy *policy)
{
	AddressRule target;

	if (!read_address(address, &target))
		return false;
	unwrap_mapped(&target);
	if (any_contains(embedding_blocks, lengthof(embedding_blocks), &target) &&
		!contains(&ipv6_loopback, &target))
		return false;
	if (any_contains(policy->rules, policy->rule_count, &target))
		return true;
	if (target.family == AF_INET6 && !contains(&ipv6_global, &target))
		return false;
	return !any_contains(special_blocks, lengthof(special_blocks), &target);
}

/*
 * Read a socket address as a block of one address, mapped or not.
 */
static bool
read_address(const struct sockaddr *address, AddressRule *target)
{
	memset(target, 0, sizeof(*target));
	target->family = address->sa_family;
	if (address->sa_family == AF_INET)
	{
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		memcpy(target->bytes, &in.sin_addr, 4);
		target->prefix = 32;
		return true;
	}
	if (address->sa_family == AF_INET6)
	{
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		memcpy(target->bytes, &in6.sin6_addr, 16);
		target->prefix = 128;
		return true;
	}
	return false;
}

static void
unwrap_mapped(AddressRule *rule)
{
	if (rule->prefix < 96 || !contains(&ipv4_mapped, rule))
		return;
	memmove(rule->bytes, rule->bytes + 12, 4);
	memset(rule->bytes + 4, 0, 12);
	rule->family = AF_INET;
	rule->prefix -= 96;
}

static bool
any_contains(const AddressRule *blocks, int count, const AddressRule *address)
{
	for (int i = 0; i < count; i++)
	{
		if (contains(&blocks[i], address))
			return true;
	}
	return false;
}

static bool
contains(const AddressRule *block, const AddressRule *address)
{
	int			whole = block->prefix / 8;
	int			shift = 8 - block->prefix % 8;

	if (block->family != address->family ||
		memcmp(block->bytes, address->bytes, whole) != 0)
		return false;
	return shift == 8 ||
		block->bytes[whole] >> shift == address->bytes[whole] >> shift;
}
