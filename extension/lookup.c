/*
 * lookup.c
 *		Name look-ups: how many at once, and whose turn it is.
 *
 * Runs outside any transaction, wh_lookup_begin inside a callback of libcurl.
 */
#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "transfer.h"

#define KNOWN_NAMES 8192

/* Threads that may be busy when a look-up of each class begins */
static const int limits[LOOKUP_CLASSES] = {
	[LOOKUP_UNANSWERED] = 31, [LOOKUP_NEW] = 47, [LOOKUP_ANSWERED] = 63,
};

/*
 * What became of names: a hash whose lowest bit says that the name was
 * answered.  One name may displace another, which then is new again.
 */
static uint64_t known_names[KNOWN_NAMES];

static bool
find_host(const char *url, const char **host, size_t *length)
{
	const char *start = strstr(url, "://");

	if (start == NULL || start[3] == '[')
		return false;
	*host = start + 3;
	*length = strcspn(*host, ":/?");
	return true;
}

static bool
is_address(const char *host, size_t length)
{
	char		copy[sizeof("255.255.255.255")];
	struct sockaddr_storage address;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, host, length);
	copy[length] = '\0';
	return wh_guard_parse_address(copy, &address);
}

/* FNV-1a, without the lowest bit, never 0. */
static uint64_t
hash_name(const char *name, size_t length)
{
	uint64_t	hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char) tolower(name[i])) *
			UINT64_C(1099511628211);
	return (hash | 2) & ~UINT64_C(1);
}

static LookupClass
classify(uint64_t name)
{
	uint64_t	known = known_names[(name >> 32) % KNOWN_NAMES];

	if ((known & ~UINT64_C(1)) != name)
		return LOOKUP_NEW;
	return known & 1 ? LOOKUP_ANSWERED : LOOKUP_UNANSWERED;
}

/* This process's threads beside the first, all of them libcurl's. */
static int
count_threads(void)
{
	struct stat tasks;

	if (stat("/proc/self/task", &tasks) != 0)
		return 0;
	return (int) tasks.st_nlink - 3;	/* ".", ".." and the first */
}

static bool
has_room(const Lookups *lookups, LookupClass class)
{
	return count_threads() + lookups->called_count <= limits[class];
}

static void
stop_calling(Transfer *transfer)
{
	if (transfer->is_called)
		transfer->client->lookups.called_count--;
	transfer->is_called = false;
}

bool
wh_lookup_begin(Transfer *transfer)
{
	Lookups    *lookups = &transfer->client->lookups;
	const char *host;
	char	   *url;
	size_t		length;

	if (curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK ||
		!find_host(url, &host, &length) || is_address(host, length))
		return true;
	transfer->name = hash_name(host, length);
	transfer->lookup_class = classify(transfer->name);
	if (!transfer->is_called &&
		(lookups->waiting[transfer->lookup_class].first != NULL ||
		 !has_room(lookups, transfer->lookup_class)))
	{
		transfer->is_deferred = true;
		return false;
	}
	stop_calling(transfer);
	return true;
}

void
wh_lookup_wait(Transfer *transfer)
{
	Lookups    *lookups = &transfer->client->lookups;
	LookupQueue *queue = &lookups->waiting[transfer->lookup_class];

	transfer->next = NULL;
	if (queue->first)
		queue->last->next = transfer;
	else
		queue->first = transfer;
	queue->last = transfer;
	lookups->waiting_count++;
}

static Transfer *
take_first(Lookups *lookups, LookupClass class)
{
	Transfer   *transfer = lookups->waiting[class].first;

	lookups->waiting[class].first = transfer->next;
	lookups->waiting_count--;
	return transfer;
}

Transfer *
wh_lookup_call_next(Lookups *lookups)
{
	for (int class = LOOKUP_CLASSES - 1; class >= 0; class--)
	{
		Transfer   *transfer;

		if (lookups->waiting[class].first == NULL || !has_room(lookups, class))
			continue;
		transfer = take_first(lookups, class);
		transfer->is_called = true;
		lookups->called_count++;
		return transfer;
	}
	return NULL;
}

Transfer *
wh_lookup_give_up_next(Lookups *lookups)
{
	int64_t		now = wh_clock_now();

	for (int class = 0; class < LOOKUP_CLASSES; class++)
	{
		Transfer   *transfer = lookups->waiting[class].first;

		if (transfer && now - transfer->started_us >= transfer->timeout_us)
			return take_first(lookups, class);
	}
	return NULL;
}

void
wh_lookup_end(Transfer *transfer)
{
	stop_calling(transfer);
	if (transfer->name != 0)
		known_names[(transfer->name >> 32) % KNOWN_NAMES] = transfer->name |
			(transfer->is_dialled || transfer->is_blocked);
}
