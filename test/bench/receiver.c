/*
 * The receiver of the benchmark: TLS, HTTP/1.1 with keep-alive but without
 * pipelining, one thread.
 *
 * It must never be the limit, so a request costs one read, one write and no
 * allocation.  Its path says what it gets: /blackhole nothing, ever;
 * /delay/MS 200 after that time; /fail 500; all others 200, at once.
 *
 *	receiver --cert FILE --key FILE [--port N]
 *			 [--addresses N --ca FILE --ca-key FILE]
 *
 * With --addresses it listens on every loopback address and has a certificate
 * of its own for each of the first N in 127.1.0.0/16 (127.1.0.1 to 127.1.0.250,
 * 127.1.1.1, ...), made when it starts.  It prints
 * "port N" and then takes commands on standard input, whose end ends it.  Times
 * are microseconds, of the epoch where they are points in time.
 *
 *	count				requests so far
 *	connections			connections accepted so far
 *	wait N SECONDS		until N are answered or the time is over: how many
 *						are, seconds since the first, its time, the last's,
 *						CPU used since the reset
 *	latencies [PATH]	min p50 p99 max of arrival minus the body's "t":N
 *	dump FILE			the body's "t":N and the arrival of each, in a file
 *	reset				forget all that was counted
 *
 * PATH is the whole path of a request; only those that begin with /ok count.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 256
#define MAX_ARRIVALS (1 << 26)	/* only what is used takes memory */
#define MAX_REQUEST 65536
#define PER_SUBNET 250			/* addresses used of each 127.1.n.0/24 */

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define ANSWER(status) \
	"HTTP/1.1 " status "\r\nContent-Type: text/plain\r\n" \
	"Content-Length: 100\r\n\r\n" HUNDRED

static const char answer_ok[] = ANSWER("200 OK");
static const char answer_fail[] = ANSWER("500 Internal Server Error");

typedef struct Connection
{
	SSL		   *ssl;
	int			fd;
	bool		is_waiting;		/* owes an answer, perhaps for ever */
	int64_t		due;			/* when it is sent, monotonic; 0: never */
	const char *answer;
	TAILQ_ENTRY(Connection) link;	/* in delayed, if due */
	size_t		used;
	char		request[MAX_REQUEST];	/* read, not yet consumed */
} Connection;

typedef struct
{
	int64_t		at;
	int64_t		made;			/* as the body says; -1: it has no "t" */
	uint64_t	path;			/* hash */
} Arrival;

static int	epoll;
static SSL_CTX *tls;
static X509 **own_certificate;	/* by number of the address */
static int	own_certificates;
static TAILQ_HEAD(DelayedHead, Connection) delayed =
TAILQ_HEAD_INITIALIZER(delayed);

static Arrival *arrivals;		/* requests for /ok... */
static struct
{
	int64_t		arrivals;
	int64_t		requests;
	int64_t		answers;
	int64_t		connections;
	int64_t		first_at;
	int64_t		last_at;
	int64_t		cpu_at_reset;
}			total;

static int64_t wait_target;
static int64_t wait_until;		/* monotonic; 0: no command waits */

static int64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static uint64_t
hash_path(const char *path, size_t length)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char) path[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* Keep the queue sorted: equal delays only ever append. */
static void
delay_answer(Connection *c)
{
	Connection *before = TAILQ_LAST(&delayed, DelayedHead);

	while (before && before->due > c->due)
		before = TAILQ_PREV(before, DelayedHead, link);
	if (before)
		TAILQ_INSERT_AFTER(&delayed, before, c, link);
	else
		TAILQ_INSERT_HEAD(&delayed, c, link);
}

static void
close_connection(Connection *c)
{
	if (c->due)
		TAILQ_REMOVE(&delayed, c, link);
	close(c->fd);
	SSL_free(c->ssl);
	ERR_clear_error();			/* or it is taken for the next one's */
	free(c);
}

static void
count_request(const char *path, size_t length, const char *body,
			  size_t body_length)
{
	int64_t		now = clock_us(CLOCK_REALTIME);
	const char *made = memmem(body, body_length, "\"t\":", 4);
	Arrival    *arrival = &arrivals[total.arrivals];

	if (total.requests++ == 0)
		total.first_at = now;
	if (strncmp(path, "/ok", 3) != 0)
		return;
	if (++total.arrivals == MAX_ARRIVALS)
		errx(1, "too many requests without a reset");
	arrival->at = now;
	arrival->made = made ? atoll(made + 4) : -1;
	arrival->path = hash_path(path, length);
}

static int
send_answer(Connection *c)
{
	c->is_waiting = false;
	c->due = 0;
	total.answers++;
	total.last_at = clock_us(CLOCK_REALTIME);
	/* So small that a socket which cannot take all of it is dead. */
	return SSL_write(c->ssl, c->answer, strlen(c->answer)) > 0 ? 0 : -1;
}

/* Answer as the path says; -1: the connection is over. */
static int
answer_request(Connection *c, const char *path)
{
	c->answer = strncmp(path, "/fail", 5) == 0 ? answer_fail : answer_ok;
	if (strncmp(path, "/delay/", 7) == 0)
	{
		c->due = clock_us(CLOCK_MONOTONIC) + atoll(path + 7) * 1000;
		delay_answer(c);
	}
	c->is_waiting = c->due || strncmp(path, "/blackhole", 10) == 0;
	return c->is_waiting ? 0 : send_answer(c);
}

static size_t
content_length(const char *header, const char *end)
{
	while ((header = memchr(header, '\n', end - header)) != NULL)
	{
		header++;
		if (strncasecmp(header, "Content-Length:", 15) == 0)
			return strtoul(header + 15, NULL, 10);
	}
	return 0;
}

/* Answer the request if all of it is here; -1: the connection is over. */
static int
take_request(Connection *c)
{
	const char *body = memmem(c->request, c->used, "\r\n\r\n", 4);
	const char *path;
	const char *path_end;
	size_t		length;
	size_t		arrived;

	if (body == NULL)
		return 0;
	body += 4;
	path = strchr(c->request, ' ');
	path_end = path ? strchr(++path, ' ') : NULL;
	length = content_length(c->request, body);
	arrived = c->request + c->used - body;
	if (path_end == NULL || arrived > length)
		return -1;
	if (arrived < length)
		return 0;
	c->used = 0;
	count_request(path, path_end - path, body, length);
	return answer_request(c, path);
}

/* Read and answer all that has come; -1: the connection is over. */
static int
serve(Connection *c)
{
	do
	{
		int			room = MAX_REQUEST - 1 - c->used;
		int			n = SSL_read(c->ssl, c->request + c->used, room);

		if (n <= 0)
			return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
		c->used += n;
		c->request[c->used] = '\0';
		if (c->is_waiting || take_request(c) < 0)
			return -1;
	} while (SSL_has_pending(c->ssl));
	return 0;
}

/* The certificate of the address that was dialled, where it has its own. */
static void
choose_certificate(SSL *ssl, int fd)
{
	struct sockaddr_in address;
	socklen_t	length = sizeof(address);
	uint32_t	ip;
	int			number;

	if (own_certificates == 0 ||
		getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		return;
	ip = ntohl(address.sin_addr.s_addr);
	number = (ip >> 8 & 255) * PER_SUBNET + (ip & 255) - 1;
	if (ip >> 16 != (127 << 8 | 1) || number < 0 || number >= own_certificates)
		return;
	if (SSL_use_certificate(ssl, own_certificate[number]) != 1)
		errx(1, "cannot use the certificate of address %d", number);
}

static void
accept_connections(int listener)
{
	int			fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
	{
		Connection *c = malloc(sizeof(Connection));
		struct epoll_event event = {.events = EPOLLIN,.data.ptr = c};

		if (c == NULL)
			err(1, "connection");
		memset(c, 0, offsetof(Connection, request));
		c->fd = fd;
		c->ssl = SSL_new(tls);
		if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1)
			errx(1, "cannot make a TLS connection");
		choose_certificate(c->ssl, fd);
		SSL_set_accept_state(c->ssl);
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		total.connections++;
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		err(1, "accept");
}

static void
answer_delayed(int64_t now)
{
	Connection *c;

	while ((c = TAILQ_FIRST(&delayed)) != NULL && c->due <= now)
	{
		TAILQ_REMOVE(&delayed, c, link);
		if (send_answer(c) < 0)
			close_connection(c);
	}
}

static int
compare_latencies(const void *a, const void *b)
{
	int64_t		left = *(const int64_t *) a;
	int64_t		right = *(const int64_t *) b;

	return (left > right) - (left < right);
}

/* Of one path, or of all when it is empty. */
static void
print_latencies(const char *path)
{
	uint64_t	hash = hash_path(path, strlen(path));
	int64_t    *sorted = malloc((total.arrivals + 1) * sizeof(int64_t));
	int64_t		n = 0;

	if (sorted == NULL)
		err(1, "latencies");
	for (int64_t i = 0; i < total.arrivals; i++)
		if (arrivals[i].made >= 0 && (!*path || arrivals[i].path == hash))
			sorted[n++] = arrivals[i].at - arrivals[i].made;
	qsort(sorted, n, sizeof(int64_t), compare_latencies);
	if (n == 0)
		puts("none");
	else
		printf("%jd %jd %jd %jd\n", sorted[0], sorted[(n - 1) / 2],
			   sorted[(n - 1) * 99 / 100], sorted[n - 1]);
	free(sorted);
}

static void
dump(const char *path)
{
	FILE	   *file = fopen(path, "w");

	if (file == NULL)
		err(1, "%s", path);
	for (int64_t i = 0; i < total.arrivals; i++)
		fprintf(file, "%jd %jd\n", arrivals[i].made, arrivals[i].at);
	if (fclose(file) != 0)
		err(1, "%s", path);
	puts("ok");
}

static void
reset(void)
{
	memset(&total, 0, sizeof(total));
	total.cpu_at_reset = clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

/* Each command is one event: the next is not read while one waits. */
static void
expect_command(int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLONESHOT,.data.ptr = stdin
	};

	fflush(stdout);
	if (epoll_ctl(epoll, operation, STDIN_FILENO, &event) != 0)
		warnx("no commands: standard input is not a pipe");
}

static void
do_command(void)
{
	char		line[1024];
	char		name[16] = "";
	char		argument[1000] = "";
	double		seconds;

	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(0);
	sscanf(line, "%15s %999s", name, argument);
	if (strcmp(name, "count") == 0)
		printf("%jd\n", total.requests);
	else if (strcmp(name, "connections") == 0)
		printf("%jd\n", total.connections);
	else if (strcmp(name, "latencies") == 0)
		print_latencies(argument);
	else if (strcmp(name, "dump") == 0)
		dump(argument);
	else if (strcmp(name, "reset") == 0)
		reset();
	else if (sscanf(line, "wait %jd %lf", &wait_target, &seconds) == 2)
		wait_until = clock_us(CLOCK_MONOTONIC) + (int64_t) (seconds * 1e6);
	else
		puts("what?");
	if (!wait_until)
		expect_command(EPOLL_CTL_MOD);
}

static void
end_wait(void)
{
	printf("%jd %.6f %jd %jd %jd\n", total.answers,
		   (total.last_at - total.first_at) / 1e6, total.first_at,
		   total.last_at,
		   clock_us(CLOCK_PROCESS_CPUTIME_ID) - total.cpu_at_reset);
	wait_until = 0;
	expect_command(EPOLL_CTL_MOD);
}

static void
run(int listener)
{
	struct epoll_event events[BATCH];

	for (;;)
	{
		int			pause = !TAILQ_EMPTY(&delayed) ? 1 : wait_until ? 10 : -1;
		int			n = epoll_wait(epoll, events, BATCH, pause);

		for (int i = 0; i < n; i++)
		{
			void	   *subject = events[i].data.ptr;

			if (subject == NULL)
				accept_connections(listener);
			else if (subject == stdin)
				do_command();
			else if (serve(subject) < 0)
				close_connection(subject);
		}
		if (!TAILQ_EMPTY(&delayed))
			answer_delayed(clock_us(CLOCK_MONOTONIC));
		if (wait_until && (total.answers >= wait_target ||
						   clock_us(CLOCK_MONOTONIC) >= wait_until))
			end_wait();
	}
}

static void
prepare_tls(const char *certificate, const char *key)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (tls == NULL ||
		SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
	{
		ERR_print_errors_fp(stderr);
		errx(1, "certificate or key");
	}
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(tls, 0);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(tls, 1);
}

static X509 *
make_certificate(int number, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509	   *certificate = X509_new();
	X509_EXTENSION *names;
	char		address[64];

	snprintf(address, sizeof(address), "IP:127.1.%d.%d",
			 number / PER_SUBNET, number % PER_SUBNET + 1);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), number + 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
	X509_set_pubkey(certificate,
					X509_get0_pubkey(SSL_CTX_get0_certificate(tls)));
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN",
							   MBSTRING_ASC, (unsigned char *) address, -1, -1,
							   0);
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, address);
	if (names == NULL || X509_add_ext(certificate, names, -1) != 1 ||
		X509_sign(certificate, issuer_key, EVP_sha256()) == 0)
		errx(1, "cannot make the certificate of %s", address);
	X509_EXTENSION_free(names);
	return certificate;
}

static void
make_certificates(int count, const char *ca, const char *ca_key)
{
	FILE	   *ca_file = fopen(ca, "r");
	FILE	   *key_file = fopen(ca_key, "r");
	X509	   *issuer;
	EVP_PKEY   *key;

	if (ca_file == NULL || key_file == NULL)
		err(1, "%s, %s", ca, ca_key);
	issuer = PEM_read_X509(ca_file, NULL, NULL, NULL);
	key = PEM_read_PrivateKey(key_file, NULL, NULL, NULL);
	own_certificate = calloc(count, sizeof(X509 *));
	if (issuer == NULL || key == NULL || own_certificate == NULL)
		errx(1, "certificate authority");
	for (int i = 0; i < count; i++)
		own_certificate[i] = make_certificate(i, issuer, key);
	own_certificates = count;
	X509_free(issuer);
	EVP_PKEY_free(key);
	fclose(ca_file);
	fclose(key_file);
}

/* Listen on 127.0.0.1, or on every address, but of the loopback device. */
static int
open_listener(int port, bool all_addresses)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(all_addresses ? INADDR_ANY : INADDR_LOOPBACK)
	};
	socklen_t	length = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int			on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0 ||
		bind(fd, (struct sockaddr *) &address, length) != 0 ||
		listen(fd, SOMAXCONN) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		err(1, "port %d", port);
	printf("port %d\n", ntohs(address.sin_port));
	return fd;
}

static void
prepare_process(void)
{
	struct rlimit limit;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	setvbuf(stdin, NULL, _IONBF, 0);	/* what epoll sees is all there is */
	arrivals = mmap(NULL, MAX_ARRIVALS * sizeof(Arrival),
					PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (arrivals == MAP_FAILED || epoll < 0)
		err(1, "start");
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'},
		{"addresses", required_argument, NULL, 'a'},
		{"cert", required_argument, NULL, 'c'},
		{"key", required_argument, NULL, 'k'},
		{"ca", required_argument, NULL, 'i'},
		{"ca-key", required_argument, NULL, 'j'},
		{0}
	};
	const char *value[128] = {['p'] = "0",['a'] = "0"};
	struct epoll_event event = {.events = EPOLLIN};
	int			option;
	int			addresses;
	int			listener;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		value[option & 127] = optarg ? optarg : "";
	addresses = atoi(value['a']);
	if (value['?'] || !value['c'] || !value['k'] ||
		(addresses > 0 && (!value['i'] || !value['j'])))
		errx(2, "needs --cert FILE --key FILE [--port N] "
			 "[--addresses N --ca FILE --ca-key FILE]");
	prepare_process();
	prepare_tls(value['c'], value['k']);
	if (addresses > 0)
		make_certificates(addresses, value['i'], value['j']);
	listener = open_listener(atoi(value['p']), addresses > 0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	expect_command(EPOLL_CTL_ADD);
	run(listener);
}
