/*
 * http.c
 *		Requests over libcurl's multi interface behind one readable descriptor.
 *
 * libcurl tells us the sockets it waits for; they live in an epoll set whose
 * descriptor the caller waits on beside its latch.  All signals are blocked
 * while libcurl runs, because its resolver threads inherit the mask.  Callbacks
 * write into memory that stands ready and return codes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "sockets.h"
#include "transfer.h"

#define EVENTS_PER_RUN 256
#define MAX_OLDER 16			/* clients that may still be busy */
#define LOOKUP_MS 20			/* between looks for threads that have ended */

/* Options from libcurl 8.20 on; those before it refuse them. */
#define RESOLVE_THREADS_MAX ((CURLMoption) 20)
#define QUICK_EXIT ((CURLMoption) 21)

static void destroy_idle(HttpClient *client);

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* libcurl: wait for this socket. */
static int
watch_socket(CURL *easy, curl_socket_t socket, int what, void *arg,
			 void *known)
{
	HttpClient *client = arg;
	char	   *transfer;

	if (what != CURL_POLL_REMOVE)
	{
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
		if (transfer)			/* not a handle of libcurl's own */
			((Transfer *) transfer)->socket = socket;
	}
	wh_socket_watch(client->epoll, socket, what,
					(uint64_t) client->number << 32 | (uint32_t) socket);
	return 0;
}

/* libcurl: call back after this time. */
static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	HttpClient *client = arg;

	client->timer_us = timeout_ms < 0 ? -1 :
		wh_clock_in(timeout_ms);
	return 0;
}

static Transfer *
get_transfer(HttpClient *client)
{
	Transfer   *transfer = client->idle;

	if (transfer)
	{
		client->idle = transfer->next;
		return transfer;
	}
	transfer = wh_transfer_create(client);
	if (transfer)
	{
		transfer->newer = client->all;
		client->all = transfer;
	}
	return transfer;
}

int
wh_http_open_descriptor(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

HttpClient *
wh_http_create(const HttpOptions *options)
{
	static int	last_number = 0;
	HttpClient *client = calloc(1, sizeof(HttpClient));

	if (client == NULL)
		return NULL;
	client->number = ++last_number;
	unsetenv("SSLKEYLOGFILE");
	client->options = *options;
	client->timer_us = -1;
	client->epoll = options->descriptor;
	if (curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK)
		client->multi = curl_multi_init();
	client->options.ca_file = strdup(options->ca_file[0] ? options->ca_file :
									 WH_HTTP_CA_FILE);
	if (!client->multi || !client->options.ca_file)
	{
		wh_http_destroy(client);
		return NULL;
	}
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS,
					  (long) options->max_connections);
	curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
					  (long) options->max_connections);
	curl_multi_setopt(client->multi, CURLMOPT_PIPELINING,
					  (long) CURLPIPE_NOTHING);
	curl_multi_setopt(client->multi, RESOLVE_THREADS_MAX,
					  (long) MAX_LOOKUPS * wh_lookup_threads());
	curl_multi_setopt(client->multi, QUICK_EXIT, 1L);
	return client;
}

HttpClient *
wh_http_replace(HttpClient *client, const HttpOptions *options)
{
	HttpClient *fresh;
	int			age = 1;

	destroy_idle(client);
	for (HttpClient *older = client->older; older; older = older->older)
		age++;
	fresh = age > MAX_OLDER ? NULL : wh_http_create(options);
	if (fresh == NULL)
	{
		client->options.policy = options->policy;
		client->is_outdated = true;
		return client;
	}
	fresh->older = client;
	return fresh;
}

/* An older client has done its work when all its results were released. */
static void
destroy_idle(HttpClient *client)
{
	HttpClient *older;

	while ((older = client->older) != NULL)
	{
		if (older->busy_count == 0)
		{
			client->older = older->older;
			older->older = NULL;
			wh_http_destroy(older);
		}
		else
			client = older;
	}
}

void
wh_http_destroy(HttpClient *client)
{
	Transfer   *transfer;
	sigset_t	saved;

	if (client == NULL)
		return;
	wh_http_destroy(client->older);
	block_signals(&saved);
	while ((transfer = client->all) != NULL)
	{
		client->all = transfer->newer;
		curl_multi_remove_handle(client->multi, transfer->easy);
		wh_transfer_destroy(transfer);
	}
	if (client->multi)
		curl_multi_cleanup(client->multi);
	restore_signals(&saved);
	free((char *) client->options.ca_file);
	free(client);
}

static void
put_away(HttpClient *client, Transfer *transfer)
{
	wh_transfer_clear(transfer);
	transfer->next = client->idle;
	client->idle = transfer;
	client->busy_count--;
}

bool
wh_http_start(HttpClient *client, const HttpRequest *request)
{
	Transfer   *transfer = get_transfer(client);

	if (transfer == NULL)
		return false;
	client->busy_count++;
	if (wh_transfer_prepare(transfer, request) &&
		curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK)
		return true;
	put_away(client, transfer);
	return false;
}

long
wh_http_timeout(const HttpClient *client)
{
	long		older = client->older ? wh_http_timeout(client->older) : -1;
	int64_t		left = -1;

	if (client->done)
		return 0;
	if (client->timer_us >= 0)
		left = wh_clock_until(client->timer_us);
	if (client->lookups.waiting_count > 0 && (left < 0 || left > LOOKUP_MS))
		left = LOOKUP_MS;
	return older >= 0 && (left < 0 || left > older) ? older : (long) left;
}

static void
hand_out(HttpClient *client, Transfer *transfer)
{
	transfer->next = client->done;
	client->done = transfer;
}

static void
collect_finished(HttpClient *client)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
	{
		char	   *private;
		Transfer   *transfer;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		transfer = (Transfer *) private;
		if (!transfer->is_deferred)
			wh_transfer_finish(transfer, code);
		curl_multi_remove_handle(client->multi, transfer->easy);
		if (transfer->is_deferred)
			wh_lookup_wait(transfer);
		else
			hand_out(client, transfer);
	}
}

/* Names that wait for a thread: it is the turn of some, and others give up. */
static void
continue_lookups(HttpClient *client)
{
	Transfer   *transfer;

	while ((transfer = wh_lookup_give_up_next(&client->lookups)) != NULL)
	{
		wh_transfer_give_up(transfer);
		hand_out(client, transfer);
	}
	while ((transfer = wh_lookup_call_next(&client->lookups)) != NULL)
	{
		wh_transfer_restart(transfer);
		if (curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK)
			continue;
		wh_transfer_finish(transfer, CURLE_OUT_OF_MEMORY);
		hand_out(client, transfer);
	}
}

static void
act_on_event(HttpClient *client, const struct epoll_event *event)
{
	curl_socket_t socket = (curl_socket_t) event->data.u64;
	int			what = 0;
	int			running;

	while (client && event->data.u64 >> 32 != (uint32_t) client->number)
		client = client->older;
	if (client == NULL || !wh_socket_is_wanted(socket))
		return;
	if (event->events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(client->multi, socket, what, &running);
}

/*
 * What has happened between two requests belongs to none.  Before any event is
 * acted on: then some have been dealt with, and requests start.
 */
static void
cut_unwanted(HttpClient *client, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++)
	{
		curl_socket_t socket = (curl_socket_t) events[i].data.u64;

		if (wh_socket_is_wanted(socket))
			continue;
		if (events[i].events & ~EPOLLOUT)
			wh_socket_cut(client->epoll, socket);
		else
			wh_socket_ignore_output(client->epoll, socket, events[i].data.u64);
	}
}

/* What a client does at the end of a run, whatever has happened. */
static void
finish_run(HttpClient *client)
{
	int			running;

	if (client->timer_us >= 0 && client->timer_us <= wh_clock_now())
	{
		client->timer_us = -1;
		curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0,
								 &running);
	}
	collect_finished(client);
	if (client->lookups.waiting_count > 0)
		continue_lookups(client);
}

void
wh_http_run(HttpClient *client)
{
	struct epoll_event events[EVENTS_PER_RUN];
	sigset_t	saved;
	int			count;

	block_signals(&saved);
	count = epoll_wait(client->epoll, events, EVENTS_PER_RUN, 0);
	cut_unwanted(client, events, count);
	for (int i = 0; i < count; i++)
		act_on_event(client, &events[i]);
	for (; client; client = client->older)
		finish_run(client);
	restore_signals(&saved);
}

HttpResult *
wh_http_next_result(HttpClient *client)
{
	Transfer   *transfer = client->done;

	if (client->older)
		destroy_idle(client);
	if (transfer == NULL)
		return client->older ? wh_http_next_result(client->older) : NULL;
	client->done = transfer->next;
	return &transfer->result;
}

void
wh_http_release(HttpResult *result)
{
	Transfer   *transfer = (Transfer *) result;

	put_away(transfer->client, transfer);
}

const char *
wh_http_curl_version(void)
{
	return curl_version_info(CURLVERSION_NOW)->version;
}

const char *
wh_http_tls_version(void)
{
	return curl_version_info(CURLVERSION_NOW)->ssl_version;
}
