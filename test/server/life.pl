# Workers come and go by themselves, with their databases, and whatever ends
# them loses nothing.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('life', 'max_worker_processes = 32');
my $node = $t->node;

sub arrived
{
	my ($id) = @_;
	my %times = $t->receiver->arrivals;

	return $times{$id} // 0;
}

sub wait_for_arrival
{
	my ($id, $seconds) = @_;

	return Webhook::wait_until("event $id", $seconds, sub { arrived($id) });
}

# two_databases_deliver_after_one_restart
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'webhook'");
$t->sql("create database second");
$t->install('second');
$t->endpoint('/ok/first');
$t->endpoint('/ok/second', database => 'second');
$node->restart;
my $first = $t->emit;
my $second = $t->emit(database => 'second');
wait_for_arrival($_) for $first, $second;
is_deeply(
	[ map { $_->{path} } sort { $a->{path} cmp $b->{path} } $t->receiver->journal ],
	[ '/ok/first', '/ok/second' ], 'two databases deliver, each its own');
is( $t->sql("select string_agg(distinct backend_type, ', ' order by backend_type)
		from pg_stat_activity where backend_type like 'webhook%'"),
	'webhook launcher, webhook worker',
	'their backend types are webhook launcher and webhook worker');

# create_extension_starts_a_worker
$t->sql("create database third");
is(scalar $t->worker_pids('third'), 0, 'no worker without the extension');
my $start = time;
$t->install('third');
$t->endpoint('/ok/third', database => 'third');
wait_for_arrival($t->emit(database => 'third'), 5);
cmp_ok(time - $start, '<', 3, 'CREATE EXTENSION in a running server delivers');

# create_extension_rolled_back_starts_none
$t->sql("create database fourth");
$t->sql("begin; create extension webhook; rollback", 'fourth');
$t->emit(database => 'third');
is(scalar $t->worker_pids('fourth'), 0, 'rolled back: no worker');

# drop_extension_ends_it_and_leaves_nothing
$t->sql('drop extension webhook', 'third');
Webhook::wait_until('the worker to leave', 5,
	sub { !$t->worker_pids('third') });
is( $t->sql("select count(*) from pg_class c join pg_namespace n
		on n.oid = relnamespace where nspname = 'webhook' or c.relname like '%webhook%'",
		'third'), 0, 'DROP EXTENSION leaves no relation');
is( $t->sql("select count(*) from pg_proc p left join pg_namespace n
		on n.oid = pronamespace
		where nspname = 'webhook' or probin like '%webhook%'", 'third'),
	0, 'no function');
is($t->sql("select count(*) from pg_namespace where nspname = 'webhook'", 'third'),
	0, 'no schema');
is( $t->sql("select count(*) from pg_shdepend where refobjid = 'webhook'::regrole
		and dbid = (select oid from pg_database where datname = 'third')", 'third'),
	0, 'nothing that the role webhook owns');
is($t->sql("select count(*) from pg_roles where rolname = 'webhook'"),
	1, 'the role stays');

# create_extension_again_delivers_again
$t->install('third');
$t->endpoint('/ok/again', database => 'third');
wait_for_arrival($t->emit(database => 'third'), 10);
pass('CREATE EXTENSION after DROP EXTENSION delivers again');

# a_template_clone_is_silent_until_adopted
$t->sql('update webhook.endpoint set status = $$paused$$', 'third');
my $waiting = $t->emit(database => 'third');
$t->wait_for_sql("select exists (select from webhook.queue)", 'third');
$t->sql('create database clone template third');
pass('CREATE DATABASE ... TEMPLATE works while a worker is connected');
$t->wait_for_workers(1, 'third');
$t->sql('update webhook.endpoint set status = $$enabled$$', 'clone');
$t->sql("select webhook._announce()", 'clone');
my $cloned = $t->emit(database => 'clone');
$t->wait_for_sql("select state = 'copy' from webhook.status", 'clone');
like($t->sql('select reason from webhook.status', 'clone'),
	qr/adopt/, 'the clone says that it is a copy, and what to do');
is(arrived($waiting) + arrived($cloned), 0, 'it sends nothing');
$t->sql('select webhook.adopt()', 'clone');
wait_for_arrival($_, 10) for $waiting, $cloned;
pass('after webhook.adopt() it delivers, the old and the new');

# drop_database_works_while_workers_are_connected
$start = time;
$t->sql('drop database clone');
$t->sql('drop database third');
cmp_ok(time - $start, '<', 3, 'DROP DATABASE works, workers step aside');
$t->sql('alter database second rename to renamed');
$t->wait_for_workers(1, 'renamed');
wait_for_arrival($t->emit(database => 'renamed'));
pass('ALTER DATABASE ... RENAME too, and they come back');
$t->sql('drop database renamed');

# disabled_by_setting_nothing_is_sent
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select state = 'off' from webhook.status");
my $off = $t->emit;
is($t->sql('select waiting_events, reason from webhook.status'),
	'1|webhook.enabled is off', 'webhook.status counts and explains');
$node->wait_for_log(qr/webhook worker of database "postgres" sends nothing: webhook.enabled is off/);
$t->configure('webhook.enabled = on');
$node->wait_for_log(qr/webhook worker of database "postgres" delivers again/);
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select state = 'off' from webhook.status");
$off = $t->emit;
$t->configure('webhook.enabled = on');
$node->restart;
wait_for_arrival($off, 10);
pass('after a restart, what was emitted meanwhile arrives');

# not_preloaded_it_installs_with_a_warning
$t->configure("shared_preload_libraries = ''");
$node->restart;
$t->sql('create database later');
my (undef, undef, $stderr) = $node->psql('later', 'create extension webhook');
like($stderr, qr/WARNING:  the webhook worker is not running/,
	'not preloaded: CREATE EXTENSION warns');
like($stderr, qr/HINT:  Add webhook to shared_preload_libraries and restart/,
	'and says what to do');
$t->sql("select webhook.set_organization('org_1', 'x')", 'later');
$t->endpoint('/ok/later', database => 'later');
my $later = $t->emit(database => 'later');
my $here = $t->emit;
like($t->sql('select state, reason from webhook.status', 'later'),
	qr/^none\|.*shared_preload_libraries/, 'webhook.status says it as well');
$t->configure("shared_preload_libraries = 'webhook'");
$node->restart;
wait_for_arrival($_, 10) for $later, $here;
pass('after a restart with the library both databases deliver');

# a_terminated_worker_is_back_within_5_s: its requests are taken back and
# sent by the next.
my ($pid) = $t->wait_for_workers;
$t->sql("delete from webhook.endpoint");
$t->endpoint('/delay/300', timeout => "'10s'");
$t->sql("select webhook.emit('review.completed', 'org_1', '{}')
	from generate_series(1, 200)");
$t->wait_for_journal(5, qr/delay/);
$start = time;
$t->sql("select pg_terminate_backend($pid)");
Webhook::wait_until('the next worker', 5,
	sub { my ($next) = $t->worker_pids; $next && $next != $pid });
cmp_ok(time - $start, '<', 5, 'a terminated worker is back within 5 s');
$t->wait_until_done(undef, 60);
is( $t->sql("select count(*) from webhook.delivery_log
		where url like '%delay%' and status = 'succeeded'"),
	200, 'nothing is lost');

# a_killed_worker_loses_nothing: the server restarts its processes.
$t->sql('delete from webhook.endpoint');
$t->endpoint('/delay/1000/200?kill', timeout => "'10s'");
$t->sql("select webhook.emit('review.completed', 'org_1', '{}')
	from generate_series(1, 60)");
$t->wait_for_journal(5, qr/kill/);
($pid) = $t->worker_pids;
kill KILL => $pid;
$t->wait_through_crashes("select count(*) = 1 from pg_stat_activity
	where datname = 'postgres' and backend_type = 'webhook worker' and pid <> $pid");
$t->wait_until_done(undef, 60);
my %times = $t->receiver->arrivals(qr/kill/);
is( $t->sql("select count(*) from webhook.delivery_log
		where url like '%kill' and status = 'succeeded'"),
	60, 'a killed worker: nothing is lost');
my %interrupted = map { $_ => 1 } split /\n/,
  $t->sql("select event_id from webhook.attempt where error_class = 'interrupted'");
is(scalar(grep { $times{$_} > 1 && !$interrupted{$_} } keys %times),
	0, 'what came again has an interrupted attempt in the log');
cmp_ok(scalar keys %interrupted, '>', 0, 'and some were interrupted');

# sigterm_with_hanging_requests
$t->sql('delete from webhook.endpoint');
$t->endpoint('/hang', timeout => "'1h'") for 1 .. 20;
$t->emit;
$t->wait_for_journal(20, qr/hang/);
($pid) = $t->wait_for_workers;
$start = time;
kill TERM => $pid;
Webhook::wait_until('the worker to end', 10, sub { !kill 0 => $pid });
cmp_ok(time - $start, '<', 1, 'SIGTERM ends a worker within a second');
$t->wait_for_journal(40, qr/hang/);
is($t->sql("select count(*) from webhook.attempt where url like '%hang'"),
	0, 'an orderly stop counts no attempt');
is_deeply([ sort { $a <=> $b } keys %{ { map { $_->{attempt} => 1 }
	  $t->receiver->journal(qr/hang/) } } ], [1], 'the next goes on with the same');

# fast_shutdown_with_hanging_requests
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<=', 2, 'fast shutdown takes 2 s at most');
$node->start;
$t->wait_for_journal(60, qr/hang/);
$t->sql('delete from webhook.endpoint');

# workers_change_under_load: what hangs would keep its worker from leaving.
$node->restart;
$t->endpoint("/ok/load/$_") for 1 .. 6;
my $script = $node->basedir . '/emit.sql';
append_to_file($script,
	"select webhook.emit('review.completed', 'org_1', '{}');\n\\sleep 1 ms\n");
my $load = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=4', '--transactions=500',
		'--file', $script, '--host', $node->host, '--port', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);
my $seen = 0;
for my $workers (3, 2, 5, 1, 3)
{
	$t->wait_for_journal($seen += 1000, qr{/ok/load});
	$t->configure("webhook.workers = $workers");
	$t->wait_for_sql("select count(*) = $workers and bool_and(state = 'running')
		from webhook.status");
	pass("webhook.workers = $workers");
}
$load->finish;
$t->wait_until_done(undef, 60);
my %requests;
$requests{"$_->{id} $_->{path}"}++ for $t->receiver->journal(qr{/ok/load});
is(scalar keys %requests, 6 * 2000, 'each event arrived at each endpoint');
is(scalar(grep { $_ != 1 } values %requests), 0, 'exactly once');
# Sooner than by the look that is made every 5 s.
$t->wait_for_sql('select count(*) = 3 from webhook.cursor', undef, 2);
pass('each worker has one cursor in the end');

done_testing();
