# Retention beside traffic: what is old goes, and emitters do not wait for it.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('retention');

# Partitions of two months ago and before, with an event each that was taken.
sub make_old
{
	my (@ages) = @_;

	for my $age (@ages)
	{
		$t->sql("set role webhook;
			select webhook._make_partition(now() - interval '$age days');
			insert into webhook.event (id, origin, xid, created_at, event_type, organization_id, payload)
			values (webhook._uuid_at(now() - interval '$age days'), webhook._origin(), '3',
			        now() - interval '$age days', 'review.created', 'org_1', '{}')");
	}
}

sub old_partitions
{
	return $t->sql("select count(*) from webhook._partitions('webhook.event')
		where to_at < now() - interval '30 days'");
}

# Given a worker that has had its look at partitions, and deliveries
my $endpoint = $t->endpoint('/ok');
$t->emit;
$t->wait_until_done;
$t->wait_for_sql("select count(*) >= 4 from webhook._partitions('webhook.event')");

# a_drop_does_not_wait_for_emitters
make_old(60);
my $emitter = $t->session;
$emitter->query_safe('begin');
$emitter->query_safe(q{select webhook.emit('review.created', 'org_1', '{}')});
is($t->sql('select webhook._drop_expired() is null'), 't',
	'a partition is not dropped while a transaction emits');
is(old_partitions(), 1, 'it is left for the next run');
is($t->sql('set role webhook; select webhook._maintain()'), 'f', 'which shall be soon');
$emitter->query_safe('commit');
is($t->sql('select webhook._drop_expired()'), 1, 'and drops it');

# a_drop_that_met_an_emitter_is_tried_soon: by the worker, whose first look was
# before its first delivery was recorded.
make_old(60);
my ($pid) = $t->worker_pids;
$emitter->query_safe(q{begin; select webhook.emit('review.created', 'org_1', '{}')});
$t->sql("select pg_terminate_backend($pid, 60000)");
my $event = $t->emit;
$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$event')");
is(old_partitions(), 1, 'a new worker cannot drop a partition while a transaction emits');
$emitter->query_safe('commit');
$emitter->quit;
$t->wait_for_sql("select count(*) = 0 from webhook._partitions('webhook.event')
	where to_at < now() - interval '30 days'");
pass('and does so when the transaction has ended');

# emitters_do_not_wait_for_drops: they would fail if they waited 45 ms for a lock.
# A machine that is busy may let a process stand that long; it has more tries.
sub no_emitter_waits_while
{
	my ($step) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir . '/emit.sql';

	append_to_file($script, "select webhook.emit('review.created', 'org_1', '{}');\n")
	  unless -e $script;
	local $ENV{PGOPTIONS} = '-c lock_timeout=45ms';
	for (1 .. 8)
	{
		my $before = $t->sql('select count(*) from webhook.event');
		my $offset = -s $t->node->logfile;
		my $emitters = IPC::Run::start(
			[   $t->node->installed_command('pgbench'), '-n', '-c', '2', '-T', '60',
				'-f', $script, $t->node->connstr('postgres') ],
			'>', \my $out, '2>&1');
		$t->wait_for_sql("select count(*) > $before + 20 from webhook.event");
		$step->();
		$emitters->kill_kill(grace => 5);
		return 1
		  if slurp_file($t->node->logfile, $offset) !~ /ERROR:  canceling statement due to lock timeout/;
	}
	return 0;
}
make_old(60, 70);
my $reader = $t->session;
$reader->query_safe('begin');
$reader->query_safe('select count(*) from webhook.event');
my $dropped = 0;
ok( no_emitter_waits_while(sub {
			$dropped += $t->sql('select count(webhook._drop_expired()) from generate_series(1, 20)');
		}),
	'while drops are tried again and again, no emitter waits for 45 ms');
is($dropped, 0, 'nothing is dropped beside somebody who reads');
$reader->query_safe('commit');
$reader->quit;
ok( no_emitter_waits_while(sub {
			make_old(60, 70, 80);
			Webhook::wait_until('the partitions to be dropped', undef,
				sub { $t->sql('select webhook._drop_expired()'); old_partitions() == 0 });
		}),
	'while partitions go, one by one, no emitter waits for 45 ms');

# what_cannot_be_dropped: the rest goes on, and somebody is told.  The worker,
# which may be trying again, leaves it to us.
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
make_old(60, 70, 80);
my ($foreign, $used) = split /\n/, $t->sql("select name from webhook._partitions('webhook.event') order by from_at limit 2");
$t->sql("create role somebody; alter table webhook.$foreign owner to somebody; create view kept as select from webhook.$used");
for (1 .. 2)
{
	like($t->sql_error('set role webhook; select webhook._maintain()'),
		qr/^no error/, 'partitions that cannot be dropped do no harm');
}
is($t->sql("select string_agg(name, ' ' order by from_at) from webhook._partitions('webhook.event')
		where to_at < now() - interval '30 days'"), "$foreign $used", 'the others go');
is($t->sql("select problem || '; ' || hint from webhook.check() where problem ~ 'belongs to'"),
	"$foreign belongs to role \"somebody\"; Workers cannot drop it.  Run: alter table webhook.$foreign owner to webhook",
	'webhook.check tells whose partition it is');
like(slurp_file($t->node->logfile), qr/WARNING:  could not drop partition "$used": .*\n.*DETAIL:  view public.kept depends on table webhook.$used/,
	'and the log what keeps one');
$t->sql("drop view kept; alter table webhook.$foreign owner to webhook; drop role somebody");
$t->sql('set role webhook; select webhook._maintain()') for 1 .. 2;
is(old_partitions(), 0, 'they go as soon as they can');
$t->configure('webhook.enabled = on');
$t->wait_for_workers;

# whoever_locks_a_table: the work is done a second later, and nothing has failed.
for my $table (qw(event attempt queue endpoint idempotency_key operation))
{
	my $locker = $t->session;

	$locker->query_safe("begin; lock table webhook.$table in access exclusive mode");
	is($t->sql("set lock_timeout = '250ms'; select webhook._maintain()"),
		'f', "$table locked: the worker's work on partitions is put off");
	$locker->query_safe('rollback');
	$locker->quit;
}

# a_waiting_delivery_expires_with_a_row: by the worker itself.
make_old(40);
$t->sql("update webhook.endpoint set status = 'paused' where id = $endpoint;
	insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
	select id, $endpoint, now() - interval '40 days', now() - interval '40 days', origin
	  from webhook.event where id < webhook._uuid_at(now() - interval '30 days')");
$t->node->restart;
$t->wait_for_sql("select exists (select from webhook.delivery_log
	where endpoint_id = $endpoint and status = 'cancelled'
	  and error = 'expired: the event is older than webhook.retention')");
is(old_partitions(), 1, 'the worker lets it expire, and its row stays to be seen');

# an_event_that_nobody_took_is_never_dropped
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
make_old(50);
$t->sql("update webhook.event set xid = pg_current_xact_id()
	where id = (select min(id::text)::uuid from webhook.event)");
$t->sql('select webhook._drop_expired()') for 1 .. 2;
is(old_partitions(), 2, 'an event that no worker has taken keeps its partition');

# an_event_that_commits_while_a_drop_waits_for_its_lock
make_old(70);
my $slow = $t->session;
$slow->query_safe(q{begin; insert into webhook.event (id, origin, xid, created_at, event_type, organization_id, payload)
	values (webhook._uuid_at(now() - interval '70 days 1 s'), webhook._origin(), pg_current_xact_id(), now(), 'review.created', 'org_1', '{}')});
my $dropper = $t->session;
$dropper->query_safe(q{do $$ begin execute replace(pg_get_functiondef('webhook._drop_expired'::regproc), '10ms', '30s'); end $$});
$dropper->query_until(qr/dropping/, "\\echo dropping\nselect 'dropped', webhook._drop_expired();\n");
$t->wait_for_sql("select exists (select from pg_locks where not granted and relation = 'webhook.event'::regclass)");
$slow->query_safe('commit');
like($dropper->query_safe('select 1'), qr/dropped\|\s/, 'while a drop waits an event is committed: nothing is dropped');
is(old_partitions(), 3, 'and its partition stays');
$_->quit for $slow, $dropper;

done_testing();
