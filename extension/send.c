/*
 * send.c
 *		Sending: deliveries become requests, requests become results.
 *
 * The one user of libcurl in the worker; runs outside any transaction.
 */
#include "postgres.h"

#include <unistd.h>

#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "request.h"
#include "send.h"
#include "settings.h"

static HttpClient *client;
static Delivery *local_results; /* ended before they were sent */

/* Deliveries in hand without a result, for the day that this process must leave. */
static dlist_head in_hand = DLIST_STATIC_INIT(in_hand);
static int	in_hand_count;
static Delivery *unsent;		/* of these, what libcurl does not have yet */

static HttpOptions options;
static bool is_outdated;		/* the client has not these */

/*
 * Settings reach the requests that start from now on.  What is on the wire
 * ends as it began.  Where reloads come faster than that, we come again, but
 * whom we may talk to is known to the old client, too.
 */
static void
replace_client(void)
{
	HttpClient *old = client;

	client = wh_http_replace(old, &options);
	is_outdated = client == old;
}

bool
wh_send_configure(void)
{
	options.ca_file = wh_ca_file;
	wh_settings_policy(&options.policy);
	options.body_limit = wh_response_body_limit;
	options.max_connections = wh_settings_places();
	if (client == NULL)
	{
		options.descriptor = wh_http_open_descriptor();
		if (options.descriptor >= 0)
			client = wh_http_create(&options);
		return client != NULL;
	}
	replace_client();
	return true;
}

/* An attempt that ends here: its result is ours, not the client's. */
static void
end_locally(Delivery *delivery, HttpErrorClass error_class,
			const char *message)
{
	HttpResult *result = MemoryContextAllocZero(delivery->context,
												sizeof(HttpResult));

	result->error_class = error_class;
	strlcpy(result->error, message, sizeof(result->error));
	delivery->result = result;
	delivery->next = local_results;
	local_results = delivery;
}

static void
put_in_hand(Delivery *list)
{
	Delivery  **end = &unsent;

	while (*end)
		end = &(*end)->next;
	*end = list;
	for (Delivery *delivery = list; delivery; delivery = delivery->next)
	{
		dlist_push_tail(&in_hand, &delivery->in_hand);
		in_hand_count++;
	}
}

static void
take_from_hand(Delivery *delivery)
{
	dlist_delete(&delivery->in_hand);
	in_hand_count--;
}

/*
 * Does webhook._forgotten() stand for a body?  Whoever takes what a session
 * redacts at the same moment must not send that.
 */
static bool
is_forgotten(const Body *body)
{
	static const char forgotten[] = "{\"redacted\":true}";

	return body->length == sizeof(forgotten) - 1 &&
		memcmp(body->bytes, forgotten, body->length) == 0;
}

/* Why there can be no request, whatever the URL; NULL: there can. */
static const char *
find_obstacle(const Delivery *delivery)
{
	if (delivery->endpoint->key_count == 0)
		return "the endpoint has no secret";
	if (delivery->body->obstacle)
		return delivery->body->obstacle;
	if (is_forgotten(delivery->body))
		return "the payload was forgotten";
	return NULL;
}

/*
 * Open connections may be why nobody answered: a firewall that was restarted has
 * forgotten all of them, and each would use up another attempt.  Where one of
 * several requests is a retry the others use the oldest connections anyway, and
 * who answers with an error has no trouble with connections: a handshake for
 * each request would make failures dear.
 */
static bool
needs_connection(const Delivery *delivery)
{
	const Endpoint *endpoint = delivery->endpoint;

	if (endpoint->failing_since != 0)
		return endpoint->is_silent;
	return delivery->attempt > 1 && endpoint->in_flight == 1;
}

static void
send_one(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;
	StringInfoData head;
	HttpRequest request = {0};
	UrlVerdict	verdict;
	const char *obstacle;
	int			line_length;

	delivery->started_at = GetCurrentTimestamp();
	wh_guard_check_url(delivery->url, &options.policy, &verdict);
	if (!verdict.is_allowed)
	{
		bool		is_address = strcmp(verdict.message, WH_GUARD_BLOCKED) == 0;

		end_locally(delivery, is_address ? HTTP_BLOCKED : HTTP_INTERNAL,
					verdict.message);
		return;
	}
	obstacle = find_obstacle(delivery);
	if (obstacle)
	{
		end_locally(delivery, HTTP_INTERNAL, obstacle);
		return;
	}
	MemoryContextSwitchTo(delivery->context);
	initStringInfo(&head);
	wh_request_append_line(&head, endpoint);
	line_length = head.len;
	wh_request_append_headers(&head, delivery, delivery->started_at);
	delivery->headers = endpoint->masked_headers ?
		psprintf("%s%s", head.data, endpoint->masked_headers) : head.data;

	request.url = delivery->url;
	request.headers = head.data + line_length;
	request.secret_headers = endpoint->own_headers;
	request.body = delivery->body->bytes;
	request.body_length = delivery->body->length;
	request.timeout_ms = endpoint->timeout_ms;
	request.group = endpoint->group;
	request.is_failing = endpoint->failing_since != 0;
	request.is_alone = needs_connection(delivery);
	request.owner = delivery;
	if (!wh_http_start(client, &request))
		end_locally(delivery, HTTP_INTERNAL, "out of memory");
}

void
wh_send(Delivery *list)
{
	MemoryContext old = CurrentMemoryContext;

	put_in_hand(list);
	if (is_outdated)
		replace_client();
	while (unsent)
	{
		Delivery   *next = unsent->next;

		send_one(unsent);
		unsent = next;			/* only now: after an error it stays */
		MemoryContextSwitchTo(old);
	}
}

void
wh_send_run(void)
{
	wh_http_run(client);
}

Delivery *
wh_send_next_finished(void)
{
	Delivery   *delivery = local_results;
	HttpResult *result;

	if (delivery)
	{
		local_results = delivery->next;
		take_from_hand(delivery);
		delivery->ended_at = GetCurrentTimestamp();
		return delivery;
	}
	result = wh_http_next_result(client);
	if (result == NULL)
		return NULL;
	delivery = result->owner;
	delivery->ended_at = GetCurrentTimestamp();
	delivery->started_at += result->waited_us;
	delivery->result = result;
	delivery->is_from_client = true;
	take_from_hand(delivery);
	return delivery;
}

void
wh_send_release(Delivery *delivery)
{
	if (delivery->is_from_client)
		wh_http_release(delivery->result);
}

int
wh_send_in_flight(void)
{
	return in_hand_count;
}

int
wh_send_descriptor(void)
{
	return options.descriptor;
}

long
wh_send_timeout(void)
{
	return local_results ? 0 : wh_http_timeout(client);
}

int
wh_send_list(Delivery ***deliveries)
{
	dlist_iter	position;
	int			count = 0;

	*deliveries = palloc(in_hand_count * sizeof(Delivery *));
	dlist_foreach(position, &in_hand)
	{
		(*deliveries)[count++] = dlist_container(Delivery, in_hand, position.cur);
	}
	return count;
}

void
wh_send_reset(void)
{
	wh_http_destroy(client);
	client = NULL;
	if (options.descriptor >= 0)
		close(options.descriptor);
	options.descriptor = -1;
	dlist_init(&in_hand);
	in_hand_count = 0;
	local_results = unsent = NULL;
}
