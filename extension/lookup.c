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

/* Look-ups that may go on when one of each class begins */
static const int limits[LOOKUP_CLASSES] = {
	[LOOKUP_UNANSWERED] = 31, [LOOKUP_NEW] = 47, [LOOKUP_ANSWERED] = MAX_LOOKUPS - 1,
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
classify(uint64_t name, bool is_failing)
{
	uint64_t	known = known_names[(name >> 32) % KNOWN_NAMES];

	if ((known & ~UINT64_C(1)) != name)
		return is_failing ? LOOKUP_UNANSWERED : LOOKUP_NEW;
	return known & 1 ? LOOKUP_ANSWERED : LOOKUP_UNANSWERED;
}

int
wh_lookup_threads(void)
{
	static int	number;

	if (number == 0)
		number = curl_version_info(CURLVERSION_NOW)->version_num < 0x081400 ? 1 : 2;
	return number;
}

/*
 * Look-ups that this process's threads are for: all but the first are libcurl's.
 * One that has nothing to do any more counts until it ends, after two seconds.
 */
static int
count_looked_up(void)
{
	struct stat tasks;

	if (stat("/proc/self/task", &tasks) != 0)
		return 0;
	/* Not ".", ".." and the first */
	return ((int) tasks.st_nlink - 3 + wh_lookup_threads() - 1) /
		wh_lookup_threads();
}

static void
forget_lookup(Lookups *lookups, unsigned group)
{
	lookups->of_group[group]--;
}

/* Of the look-ups whose transfers left them, the oldest end first. */
static void
forget_ended(Lookups *lookups, int looked_up)
{
	while (lookups->left_count > 0 &&
		   lookups->left_count + lookups->live_count > looked_up)
	{
		forget_lookup(lookups, lookups->left[lookups->left_first]);
		lookups->left_first = (lookups->left_first + 1) % MAX_LOOKUPS;
		lookups->left_count--;
	}
}

/* Look-ups that go on or will. */
static int
count_busy(Lookups *lookups)
{
	int			looked_up = count_looked_up();

	forget_ended(lookups, looked_up);
	return (looked_up > lookups->live_count ? looked_up : lookups->live_count) +
		lookups->called_count;
}

static bool
has_room(const Lookups *lookups, const Transfer *transfer, int busy)
{
	LookupClass class = transfer->lookup_class;

	return busy <= limits[class] &&
		(class == LOOKUP_ANSWERED ||
		 wh_fair_has_room(lookups->of_group[transfer->group], busy,
						  limits[class] + 1));
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

	if (wh_transfer_is_sent(transfer))
		return false;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK ||
		!find_host(url, &host, &length) || is_address(host, length))
		return true;
	transfer->name = hash_name(host, length);
	transfer->lookup_class = classify(transfer->name, transfer->is_failing);
	if (!transfer->is_called &&
		(lookups->waiting[transfer->lookup_class].first != NULL ||
		 !has_room(lookups, transfer, count_busy(lookups))))
	{
		transfer->is_deferred = true;
		return false;
	}
	wh_lookup_answered(transfer);	/* an earlier one */
	if (!transfer->is_called)
		lookups->of_group[transfer->group]++;
	stop_calling(transfer);
	transfer->is_looking_up = true;
	lookups->live_count++;
	return true;
}

void
wh_lookup_answered(Transfer *transfer)
{
	Lookups    *lookups = &transfer->client->lookups;

	if (!transfer->is_looking_up)
		return;
	transfer->is_looking_up = false;
	lookups->live_count--;
	forget_lookup(lookups, transfer->group);
}

/* Its transfer ends, and its thread goes on, perhaps. */
static void
leave_behind(Transfer *transfer)
{
	Lookups    *lookups = &transfer->client->lookups;

	if (!transfer->is_looking_up || lookups->left_count == MAX_LOOKUPS)
	{
		wh_lookup_answered(transfer);
		return;
	}
	transfer->is_looking_up = false;
	lookups->live_count--;
	lookups->left[(lookups->left_first + lookups->left_count++) % MAX_LOOKUPS] =
		transfer->group;
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

/* Take the one behind another, or the first, out of its queue. */
static Transfer *
take_out(Lookups *lookups, LookupClass class, Transfer *before)
{
	LookupQueue *queue = &lookups->waiting[class];
	Transfer   *transfer = before ? before->next : queue->first;

	if (before)
		before->next = transfer->next;
	else
		queue->first = transfer->next;
	if (queue->last == transfer)
		queue->last = before;
	lookups->waiting_count--;
	return transfer;
}

/* The first of a queue that may begin; those of one group wait together. */
static Transfer *
take_ready(Lookups *lookups, LookupClass class, int busy)
{
	Transfer   *before = NULL;

	if (busy > limits[class])
		return NULL;
	for (Transfer *t = lookups->waiting[class].first; t; t = t->next)
	{
		if (has_room(lookups, t, busy))
			return take_out(lookups, class, before);
		before = t;
	}
	return NULL;
}

Transfer *
wh_lookup_call_next(Lookups *lookups)
{
	int			busy = count_busy(lookups);

	for (int class = LOOKUP_CLASSES - 1; class >= 0; class--)
	{
		Transfer   *transfer = take_ready(lookups, class, busy);

		if (transfer == NULL)
			continue;
		transfer->is_called = true;
		lookups->called_count++;
		lookups->of_group[transfer->group]++;
		return transfer;
	}
	return NULL;
}

static Transfer *
take_expired(Lookups *lookups, LookupClass class, int64_t now)
{
	Transfer   *before = NULL;

	for (Transfer *t = lookups->waiting[class].first; t; t = t->next)
	{
		if (now - t->started_us >= t->timeout_us)
			return take_out(lookups, class, before);
		before = t;
	}
	return NULL;
}

Transfer *
wh_lookup_give_up_next(Lookups *lookups)
{
	int64_t		now = wh_clock_now();

	for (int class = 0; class < LOOKUP_CLASSES; class++)
	{
		Transfer   *transfer = take_expired(lookups, class, now);

		if (transfer)
			return transfer;
	}
	return NULL;
}

void
wh_lookup_end(Transfer *transfer)
{
	if (transfer->is_called)
		forget_lookup(&transfer->client->lookups, transfer->group);
	stop_calling(transfer);
	leave_behind(transfer);
	if (transfer->name != 0)
		known_names[(transfer->name >> 32) % KNOWN_NAMES] = transfer->name |
			(transfer->is_dialled || transfer->is_blocked);
}
