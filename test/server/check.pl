# webhook.check(): what is wrong with a server, each provoked once.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my ($faketime) = glob('/usr/lib/*/faketime/libfaketime.so.1');
my $t = Webhook->new('check', 'max_worker_processes = 8');
my $node = $t->node;
my $dir = PostgreSQL::Test::Utils::tempdir;

# Problems whose subject matches.
sub problems
{
	my ($subject) = @_;

	return $t->sql("select subject || ': ' || problem from webhook.check()
		where subject ~ '$subject' and hint <> '' order by 1");
}

# Change a setting, and wait until sessions see it.
sub change
{
	my ($name, $value) = @_;

	$t->configure("$name = '$value'");
	$t->wait_for_sql("select current_setting('$name') = '$value'");
}

sub write_file
{
	my ($path, $content) = @_;

	unlink $path;
	append_to_file($path, $content);
}

# nothing_is_wrong
$t->wait_for_workers;
$t->endpoint('/ok');
$t->emit;
$t->wait_until_done;
is(problems('.'), '', 'a server in use, of which nothing is wrong');

# certificates
my $ca = $t->sql('show webhook.ca_file');
write_file("$dir/empty.pem", '');
write_file("$dir/garbage.pem",
	"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n");
for my $case (
	[ "$dir/missing.pem", qr/the file cannot be read: No such file or directory/ ],
	[ "$dir/empty.pem", qr/the file has no certificate in it/ ],
	[ "$dir/garbage.pem", qr/the file has no certificate in it/ ],
	[ $ca =~ s/ca\.crt$/expired.crt/r, qr/every certificate in the file has expired/ ])
{
	my ($path, $problem) = @$case;

	change('webhook.ca_file', $path);
	like(problems('ca_file'), $problem, 'a CA file: ' . $path =~ s/.*\///r);
	unlike(problems('ca_file'), qr/\Q$dir\E|certs/, 'its path is not told');
}
change('webhook.ca_file', $ca);
is(problems('.'), '', 'and a good one again');

# settings
for my $case (
	[ 'webhook.allow_http', 'on', 'off', qr/requests without TLS can be read/ ],
	[ 'webhook.allow_addresses', '10.0.0.0/8, ::/0', '127.0.0.0/8', qr/allows every address/ ],
	[ 'webhook.retry_schedule', '24d, 24d', '1s', qr/^webhook.retry_schedule: retries take 1 mon 18 days,/ ],
	[ 'webhook.retry_schedule', '1s, 60', '1s', qr/^webhook.retry_schedule: it is 1s, 60: delays without a unit/ ],
	[ 'autovacuum', 'off', 'on', qr/^autovacuum: it is off/ ],
	[ 'webhook.enabled', 'off', 'on', qr{^worker 1/1: webhook.enabled is off}m ],
	[ 'webhook.workers', 8, 1, qr/^max_worker_processes: it is 8, and workers want 9/m ])
{
	my ($name, $wrong, $right, $problem) = @$case;

	change($name, $wrong);
	Webhook::wait_until("$name to be noticed", undef, sub { problems('.') =~ $problem });
	pass("$name = $wrong");
	change($name, $right);
}
$t->wait_for_sql("select not exists (select from webhook.check())", undef, 60);
pass('nothing is wrong any more');

# open_files
SKIP:
{
	my $pid = slurp_file($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;

	skip 'no prlimit here', 1
	  if system("prlimit --pid $pid --nofile=640:640 2>/dev/null") != 0;
	like(problems('in_flight'),
		qr/^webhook.max_in_flight: it is 500, but a process may have 640 files open and keeps to 440/,
		'a limit of open files that is too low');
}

# an_observer_may_ask
$t->sql("create role looker login; select webhook.grant_access('looker', 'observer')");
like($t->sql('set role looker; select count(*) from webhook.check()'), qr/^\d$/,
	'an observer may ask');

# tls_of_the_machine: OpenSSL configured so that nothing of today works.
write_file("$dir/openssl.cnf", <<'END');
openssl_conf = openssl_init
[openssl_init]
ssl_conf = ssl_sect
[ssl_sect]
system_default = system_default_sect
[system_default_sect]
MaxProtocol = TLSv1.1
END
{
	local $ENV{OPENSSL_CONF} = "$dir/openssl.cnf";
	$node->restart;
}
like(problems('TLS'), qr/^TLS: a TLS handshake with ourselves fails: /,
	'TLS that does not work');
$node->restart;
is(problems('TLS'), '', 'and that works again');

# without_the_preload
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(problems('.'), 'worker : the worker is not running; add webhook to shared_preload_libraries and restart the server',
	'a server that does not preload the library');
like($t->sql('select dashboard from webhook.dashboard'),
	qr/^no worker: webhook is not in shared_preload_libraries$/m, 'the dashboard says so as well');
like($t->sql('select webhook.openmetrics()'), qr/^webhook_waiting_events\{.*\} 0\n/m, 'and metrics are there');
is($t->sql('select count(*) from webhook.stat_database, webhook.stat_endpoint'), 0, 'without statistics');
$t->sql('select webhook.stat_reset()');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'webhook'");
$node->restart;

# the_clock_is_set
SKIP:
{
	skip 'no libfaketime here', 6 if !$faketime;

	write_file("$dir/clock", "+0\n");
	local $ENV{LD_PRELOAD} = $faketime;
	local $ENV{FAKETIME_TIMESTAMP_FILE} = "$dir/clock";
	local $ENV{FAKETIME_NO_CACHE} = 1;
	local $ENV{FAKETIME_DONT_FAKE_MONOTONIC} = 1;
	local $ENV{DONT_FAKE_MONOTONIC} = 1;
	$node->restart;
	is(problems('clock'), '', 'a clock that runs');
	write_file("$dir/clock", "-7200\n");
	like(problems('clock'),
		qr/^clock: it was set by -0[12]:\S+, noticed at .*\nclock: the newest event is ahead of it by 0[12]:/,
		'a clock that was set back');
	write_file("$dir/clock", "+0\n");
	like(problems('clock'), qr/^clock: it was set by 0[12]:\S+, noticed at [^\n]*$/,
		'and forward again');

	# lost_on_the_wire: a row that says so, and a worker that never heard of it.
	write_file("$dir/clock", "-7200\n");
	$node->restart;
	$t->wait_for_workers;
	$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, origin, attempts)
		select e.id, t.id, clock_timestamp(), webhook._origin(), 1
		  from webhook.event e, webhook.endpoint t limit 1");
	$t->emit;
	is(problems('queue'), '', 'a delivery that may be on the wire');
	write_file("$dir/clock", "+0\n");
	is(problems('queue'), 'queue: 1 deliveries are on the wire for longer than an attempt may take',
		'the same two hours later');
	$t->sql("select pg_terminate_backend(pid) from webhook.status");
	$t->wait_until_done;
	is(problems('queue'), '', 'a new worker sends it again');
}

done_testing();
