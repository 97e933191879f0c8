/*
 * guard_test.c
 *		The URL and address policies, against vectors and case by case.
 *
 * guard_test ssrf-vectors.tsv, prints TAP.
 */
#include <arpa/inet.h>
#include <locale.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "tap.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))
#define COLUMNS 8

enum
{
	ID, KIND, INPUT, DNS, POLICY, VERDICT, STAGE, WHY
};

static const GuardPolicy strict;
static const GuardPolicy with_http = {.allow_http = true};

static bool
url_allowed(const char *url)
{
	UrlVerdict	verdict;

	wh_guard_check_url(url, &strict, &verdict);
	return verdict.is_allowed;
}

static bool
address_allowed(const char *text, const char *list)
{
	GuardPolicy policy = {0};
	struct sockaddr_storage address;

	if (!wh_guard_parse_rules(list, policy.rules, &policy.rule_count) ||
		!wh_guard_parse_address(text, &address))
	{
		printf("Bail out! cannot read %s or %s\n", text, list);
		exit(1);
	}
	return wh_guard_address_allowed((struct sockaddr *) &address, &policy);
}

/* Vectors */

static void
decode_escapes(char *text)
{
	char	   *out = text;
	unsigned int byte;

	while (*text != '\0')
	{
		if (sscanf(text, "\\x%2x", &byte) == 1)
		{
			*out++ = (char) byte;
			text += strlen("\\xNN");
		}
		else
			*out++ = *text++;
	}
	*out = '\0';
}

/*
 * Hosts whose refusal has to wait for the address at connect, because they are
 * names: P044 localhost, P045 foo.localhost, P081 intranet.  Hosts of one
 * label are accepted by contract.
 */
static bool
is_decided_at_connect(const char *id)
{
	return strcmp(id, "P044") == 0 || strcmp(id, "P045") == 0 ||
		strcmp(id, "P081") == 0;
}

static void
check_vector(char **column, const char *locale)
{
	bool		expected = strcmp(column[VERDICT], "allow") == 0;
	bool		is_allowed;

	if (strcmp(column[STAGE], "any") != 0 &&
		strcmp(column[STAGE], "create") != 0)
		return;
	decode_escapes(column[INPUT]);
	if (strcmp(column[KIND], "addr") == 0)
		is_allowed = address_allowed(column[INPUT], "");
	else if (strcmp(column[KIND], "url") == 0)
		is_allowed = url_allowed(column[INPUT]);
	else
		return;
	if (is_decided_at_connect(column[ID]))
		expected = true;
	check(is_allowed == expected, "%s %s: %s (%s)", column[ID],
		  expected ? "allowed" : "refused", column[WHY], locale);
}

static void
check_vectors(const char *path, const char *locale)
{
	FILE	   *file = fopen(path, "r");
	char		line[1024];

	if (file == NULL || setlocale(LC_ALL, locale) == NULL)
	{
		printf("Bail out! cannot open %s or use locale %s\n", path, locale);
		exit(1);
	}
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char	   *column[COLUMNS];
		char	   *rest = line;
		int			count = 0;

		line[strcspn(line, "\n")] = '\0';
		while (line[0] != '#' && rest != NULL && count < COLUMNS)
			column[count++] = strsep(&rest, "\t");
		if (count == COLUMNS)
			check_vector(column, locale);
	}
	fclose(file);
}

/* Addresses and rules */

static void
address_classes(void)
{
	static const struct
	{
		const char *address;
		bool		is_allowed;
	}			cases[] = {
		{"0.255.255.255", false}, {"1.0.0.0", true},
		{"9.255.255.255", true}, {"10.255.255.255", false},
		{"100.63.255.255", true}, {"100.127.255.255", false},
		{"126.255.255.255", true}, {"127.0.0.0", false},
		{"168.63.129.15", true}, {"168.63.129.16", false},
		{"169.253.255.255", true}, {"169.255.0.0", true},
		{"172.15.255.255", true}, {"172.16.0.0", false},
		{"191.255.255.255", true}, {"192.0.0.255", false},
		{"192.0.1.0", true}, {"192.0.3.0", true},
		{"192.31.196.1", false}, {"192.52.193.1", false},
		{"192.88.98.255", true}, {"192.88.99.1", false},
		{"192.169.0.0", true}, {"192.175.48.1", false},
		{"198.17.255.255", true}, {"198.19.255.255", false},
		{"198.20.0.0", true}, {"198.51.101.0", true},
		{"203.0.112.255", true}, {"203.0.114.0", true},
		{"239.255.255.255", false}, {"255.255.255.254", false},
		{"1fff:ffff::1", false}, {"2000::1", true},
		{"2001::1", false}, {"2001:1ff:ffff::1", false},
		{"2001:200::1", true}, {"2001:db9::1", true},
		{"2001:db7:ffff::1", true}, {"2003::1", true},
		{"2002:808:808::1", false}, {"2620:4f:8000::1", false},
		{"2620:4f:8001::1", true}, {"3fff:fff:ffff::1", false},
		{"3fff:1000::1", true}, {"4000::1", false}, {"5f00::1", false},
		{"::8.8.8.8", false}, {"::ffff:0:8.8.8.8", false},
		{"64:ff9b::8.8.8.8", false}, {"64:ff9b:1::1", false},
		{"febf::1", false}, {"::ffff:255.255.255.255", false}
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(address_allowed(cases[i].address, "") == cases[i].is_allowed,
			  "%s is %s", cases[i].address,
			  cases[i].is_allowed ? "allowed" : "refused");
}

static void
other_families_are_refused(void)
{
	struct sockaddr address = {0};

	address.sa_family = AF_UNIX;
	check(!wh_guard_address_allowed(&address, &strict),
		  "a Unix socket is refused");
	address.sa_family = AF_UNSPEC;
	check(!wh_guard_address_allowed(&address, &strict),
		  "an address without family is refused");
}

static void
rules_open_exceptions(void)
{
	static const struct
	{
		const char *list;
		const char *address;
		bool		is_allowed;
	}			cases[] = {
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"127.0.0.1/32", "127.0.0.1", true},
		{"10.0.0.0/8,192.168.1.0/24", "192.168.1.255", true},
		{" 10.0.0.0/8 , fd00::/8 ", "fd12::1", true},
		{"10.0.0.0/8 fd00::/8", "10.1.2.3", true},
		{"10.0.0.0/8", "fd12::1", false},
		{"192.168.1.0/25", "192.168.1.127", true},
		{"192.168.1.0/25", "192.168.1.128", false},
		{"10.9.8.7/8", "10.1.2.3", true},
		{"0.0.0.0/0", "169.254.169.254", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "::1", true},
		{"::/0", "10.0.0.1", false},
		{"::/0", "::ffff:10.0.0.1", false},
		{"10.0.0.0/8", "::ffff:10.0.0.1", true},
		{"::ffff:10.0.0.0/104", "10.0.0.1", true},
		{"::ffff:10.0.0.0/104", "::ffff:11.0.0.1", true},
		{"::ffff:10.0.0.0/104", "127.0.0.1", false},
		{"::ffff:0:0/96", "169.254.169.254", true},
		{"::ffff:0:0/95", "169.254.169.254", false},
		{"::1", "::1", true},
		{"fe80::/10", "febf::1", true},
		{"::1/128", "::1", true},
		{"::/0", "::", false},
		{"::7f00:1", "::7f00:1", false},
		{"::/0", "::7f00:1", false},
		{"::ffff:0:0:0/96", "::ffff:0:7f00:1", false},
		{"64:ff9b::/96", "64:ff9b::7f00:1", false},
		{"64:ff9b::/96", "64:ff9b::808:808", false},
		{"64:ff9b:1::/48", "64:ff9b:1:1::1", false},
		{"64:ff9b:2::/48", "64:ff9b:2::1", true},
		{"2001::/32", "2001:0:1::1", false},
		{"2001:1::/32", "2001:1::1", true},
		{"2002::/16", "2002:7f00:1::1", false},
		{"::/0", "2002:808:808::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"10.0.0.0/8", "8.8.8.8", true}
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(address_allowed(cases[i].address, cases[i].list) ==
			  cases[i].is_allowed, "rules \"%s\": %s is %s", cases[i].list,
			  cases[i].address, cases[i].is_allowed ? "allowed" : "refused");
}

static void
malformed_rules_are_refused(void)
{
	static const char *const lists[] = {
		"localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/08",
		"10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/0008", "/8",
		"10.0.0", "10", "010.0.0.0/8", "0x0a.0.0.0", "fe80::1%eth0", "[::1]",
		"10.0.0.0/8;192.168.0.0/16", "10.0.0.0/8, nonsense", "::/8x",
		"0000:0000:0000:0000:0000:ffff:192.168.100.100/12800",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/128"
	};
	AddressRule rules[WH_GUARD_MAX_RULES];
	int			count;

	for (size_t i = 0; i < lengthof(lists); i++)
	{
		count = 1;
		check(!wh_guard_parse_rules(lists[i], rules, &count) && count == 0,
			  "rules \"%s\" are malformed", lists[i]);
	}
}

static void
rules_are_limited(void)
{
	AddressRule rules[WH_GUARD_MAX_RULES];
	char		list[(WH_GUARD_MAX_RULES + 1) * 8 + 1] = "";
	int			count;

	check(wh_guard_parse_rules("", rules, &count) && count == 0,
		  "an empty list has no rules");
	check(wh_guard_parse_rules(" ,\t", rules, &count) && count == 0,
		  "a list of separators has no rules");
	for (int i = 0; i < WH_GUARD_MAX_RULES; i++)
		strcat(list, "1.2.3.4,");
	check(wh_guard_parse_rules(list, rules, &count) &&
		  count == WH_GUARD_MAX_RULES, "a full list is read");
	strcat(list, "1.2.3.4");
	check(!wh_guard_parse_rules(list, rules, &count) && count == 0,
		  "one rule too many is refused");
}

/* URLs */

static void
urls_are_allowed(void)
{
	static const char *const urls[] = {
		"https://a", "https://intranet", "https://localhost:8443/x",
		"https://hooks.example.com?x=1", "https://hooks.example.com:65535/",
		"https://a_b.example-1.com/@:[]%00", "hTTpS://Example.COM:80",
		"https://xn--bcher-kva.example/", "https://1e3.0xg.example/",
		"https://8.8.8.8/", "https://8.8.8.8:8443/x?y", "https://0x7f.com/",
		"https://127.0.0.1.example/", "https://1.2.3.4a/", "https://h.0ab/",
		"https://[2606:4700:4700::1111]/", "https://[2606:4700::AB]:8443",
		"https://[2606:4700:4700:0:0:0:0:1111]/x",
		"https://[::ffff:8.8.8.8]/", "https://h/a/../b//c?d?e&{f}~",
		"https://h/?u=https://user:pw@127.0.0.1:22/"
	};

	for (size_t i = 0; i < lengthof(urls); i++)
		check(url_allowed(urls[i]), "%s is allowed", urls[i]);
}

static void
urls_are_refused(void)
{
	static const struct
	{
		const char *url;
		const char *reason;
	}			cases[] = {
		{"", "scheme is not https"},
		{"https:", "scheme is not https"},
		{"https:/h/", "scheme is not https"},
		{"hooks.example.com", "scheme is not https"},
		{"httpss://h/", "scheme is not https"},
		{"http://h/", "scheme is not https"},
		{"https:///h/", "host is missing"},
		{"https://?x", "host is missing"},
		{"https://:443/", "host is missing"},
		{" https://h/", "character is not allowed"},
		{"https://h/\n", "character is not allowed"},
		{"https://h/\t", "character is not allowed"},
		{"https://h/\x7f", "character is not allowed"},
		{"https://h/\xc3\xa9", "character is not allowed"},
		{"https://h/a\\b", "backslash is not allowed"},
		{"https://h/#", "fragment is not allowed"},
		{"https://h#f", "fragment is not allowed"},
		{"https://@h/", "user name or password is not allowed"},
		{"https://:@h/", "user name or password is not allowed"},
		{"https://a@b@h/", "user name or password is not allowed"},
		{"https://h@?x", "user name or password is not allowed"},
		{"https://h./", "host name is malformed"},
		{"https://h../", "host name is malformed"},
		{"https://a..b/", "host name is malformed"},
		{"https://./", "host name is malformed"},
		{"https://127.0.0.1./", "host name is malformed"},
		{"https://h%41/", "character is not allowed in host name"},
		{"https://h,i/", "character is not allowed in host name"},
		{"https://h;x/", "character is not allowed in host name"},
		{"https://::1/", "port number is malformed"},
		{"https://[::1/", "bracket is not closed"},
		{"https://[]/", "IPv6 address is malformed"},
		{"https://[2606:4700::%31]/", "IPv6 address is malformed"},
		{"https://[2606:4700::1%25lo]/", "IPv6 address is malformed"},
		{"https://[8.8.8.8]/", "IPv6 address is malformed"},
		{"https://[v1.x]/", "IPv6 address is malformed"},
		{"https://[2606:4700::1]x/", "port number is malformed"},
		{"https://[2606:4700::1].example/", "port number is malformed"},
		{"https://8.8.8/", "IPv4 address is malformed"},
		{"https://08.8.8.8/", "IPv4 address is malformed"},
		{"https://8.8.8.0x8/", "IPv4 address is malformed"},
		{"https://8.8.8.8.8/", "IPv4 address is malformed"},
		{"https://example.123/", "IPv4 address is malformed"},
		{"https://example.0X/", "IPv4 address is malformed"},
		{"https://h:/", "port number is malformed"},
		{"https://h:x/", "port number is malformed"},
		{"https://h:+443/", "port number is malformed"},
		{"https://h:443:443/", "port number is malformed"},
		{"https://h:0443/", "port number is malformed"},
		{"https://h:0/", "port number out of range"},
		{"https://h:1/", "port is not allowed"},
		{"https://h:65536/", "port number out of range"},
		{"https://h:4294967739/", "port number out of range"}
	};
	UrlVerdict	verdict;

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		char		expected[sizeof(verdict.message)];

		wh_guard_check_url(cases[i].url, &strict, &verdict);
		snprintf(expected, sizeof(expected), "invalid endpoint URL: %s",
				 cases[i].reason);
		check(!verdict.is_allowed && strcmp(verdict.message, expected) == 0,
			  "URL %d is refused: %s", (int) i + 1, cases[i].reason);
	}
}

static void
http_is_a_setting(void)
{
	UrlVerdict	verdict;

	wh_guard_check_url("HTTP://h/", &with_http, &verdict);
	check(verdict.is_allowed, "http is allowed where the setting says so");
	wh_guard_check_url("https://h/", &with_http, &verdict);
	check(verdict.is_allowed, "https is still allowed then");
	wh_guard_check_url("http://127.0.0.1/", &with_http, &verdict);
	check(!verdict.is_allowed, "http to a literal loopback is still refused");
	wh_guard_check_url("ftp://h/", &with_http, &verdict);
	check(!verdict.is_allowed, "ftp is still refused then");
}

static void
literal_addresses_obey_the_rules(void)
{
	GuardPolicy policy = {0};
	UrlVerdict	verdict;

	wh_guard_check_url("https://10.0.0.5/", &strict, &verdict);
	check(strcmp(verdict.message, "address is not allowed") == 0,
		  "a literal private address has the message of a blocked attempt");
	check(strcmp(verdict.detail,
				 "The address 10.0.0.5 is not a public one.") == 0,
		  "its detail names the address");

	wh_guard_parse_rules("10.0.0.0/8", policy.rules, &policy.rule_count);
	wh_guard_check_url("https://10.0.0.5/", &policy, &verdict);
	check(verdict.is_allowed && verdict.message[0] == '\0' &&
		  verdict.detail[0] == '\0' && verdict.hint[0] == '\0',
		  "a rule opens it, and the verdict says nothing");
	wh_guard_check_url("https://[::ffff:10.0.0.5]/", &policy, &verdict);
	check(verdict.is_allowed, "the rule opens the mapped form");
	wh_guard_check_url("https://10.0.0.5:5432/", &policy, &verdict);
	check(!verdict.is_allowed, "the rule opens no refused port");
}

static void
ports_are_refused(void)
{
	static const char *const ports[] = {
		"22", "23", "25", "53", "110", "111", "135", "139", "143", "389",
		"445", "465", "587", "636", "873", "993", "995", "2049", "2375",
		"2379", "3306", "5432", "6379", "6443", "9200", "11211", "27017"
	};
	static const GuardPolicy own = {.own_port = 6543};
	char		url[64];
	UrlVerdict	verdict;

	for (size_t i = 0; i < lengthof(ports); i++)
	{
		snprintf(url, sizeof(url), "https://h:%s/", ports[i]);
		check(!url_allowed(url), "port %s is refused", ports[i]);
	}
	check(url_allowed("https://h:6543/"), "another port is allowed");
	wh_guard_check_url("https://h:6543/", &own, &verdict);
	check(!verdict.is_allowed, "but not when it is the server's own");
	wh_guard_check_url("https://h:99999/", &strict, &verdict);
	check(strcmp(verdict.detail, "The port is 99999.") == 0,
		  "the detail names a port out of range");
}

static void
lengths_are_limited(void)
{
	char		url[WH_GUARD_MAX_URL + 2] = "https://h/";
	char		label[65];

	memset(url + strlen(url), 'x', sizeof(url) - 1 - strlen(url));
	check(!url_allowed(url), "a URL of one byte too many is refused");
	url[WH_GUARD_MAX_URL] = '\0';
	check(url_allowed(url), "the longest URL is allowed");

	memset(label, 'x', 64);
	label[64] = '\0';
	snprintf(url, sizeof(url), "https://%s/", label);
	check(!url_allowed(url), "a label of 64 bytes is refused");
	label[63] = '\0';
	snprintf(url, sizeof(url), "https://%s/", label);
	check(url_allowed(url), "a label of 63 bytes is allowed");
	snprintf(url, sizeof(url), "https://%s.%s.%s.%.61s/", label, label, label,
			 label);
	check(url_allowed(url), "a host of 253 bytes is allowed");
	snprintf(url, sizeof(url), "https://%s.%s.%s.%.62s/", label, label, label,
			 label);
	check(!url_allowed(url), "a host of 254 bytes is refused");
}

static void
messages_keep_secrets(void)
{
	static const char *const urls[] = {
		"http://h/TOKEN", "https:/h/TOKEN", "https://TOKEN@h/TOKEN",
		"https://10.0.0.1/TOKEN?TOKEN", "https://h:99999/TOKEN",
		"https://h:22/TOKEN", "https://h:TOKEN/", "https://h/TOKEN#TOKEN",
		"https://h/TOKEN\n", "https://h/TOKEN\\", "TOKEN://h/",
		"https://1.2/TOKEN", "https://[TOKEN]/TOKEN", "https://[TOKEN"
	};
	UrlVerdict	verdict;

	for (size_t i = 0; i < lengthof(urls); i++)
	{
		wh_guard_check_url(urls[i], &strict, &verdict);
		check(!verdict.is_allowed && strstr(verdict.message, "TOKEN") == NULL &&
			  strstr(verdict.detail, "TOKEN") == NULL &&
			  strstr(verdict.hint, "TOKEN") == NULL &&
			  verdict.detail[strlen(verdict.detail) - 1] == '.' &&
			  verdict.hint[strlen(verdict.hint) - 1] == '.',
			  "refusal %d explains itself without the URL", (int) i + 1);
	}
}

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		fprintf(stderr, "usage: guard_test ssrf-vectors.tsv\n");
		return 2;
	}
	check_vectors(argv[1], "C");
	check_vectors(argv[1], "C.UTF-8");
	check(tests > 150, "the vectors were read");
	address_classes();
	other_families_are_refused();
	rules_open_exceptions();
	malformed_rules_are_refused();
	rules_are_limited();
	urls_are_allowed();
	urls_are_refused();
	http_is_a_setting();
	literal_addresses_obey_the_rules();
	ports_are_refused();
	lengths_are_limited();
	messages_keep_secrets();
	printf("1..%d\n", tests);
	return failures > 0;
}
