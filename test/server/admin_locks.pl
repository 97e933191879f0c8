# Locks of others, on tables and on rows, and maintenance of our tables: what
# does not need them goes on, and nothing is lost or sent twice.  LOCK_SECONDS
# says how long each table is locked.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('admin_locks');
my $node = $t->node;
my $main = $t->endpoint('/ok/main');
my @events;
my $locked_for = $ENV{LOCK_SECONDS} // 0;

sub arrived
{
	my ($id) = @_;
	my %times = $t->receiver->arrivals;

	return $times{$id} // 0;
}

sub emit_and_wait
{
	my ($what) = @_;
	my $id = $t->emit;

	push @events, $id;
	Webhook::wait_until("$what: event $id", 30, sub { arrived($id) });
}

sub worker_failed_for_lock
{
	my ($table) = @_;

	$t->wait_for_sql("select state = 'failing'
			and reason ~ 'process \\d+ holds a lock on table webhook.$table'
		from webhook.status");
}

# While a table is locked, emitters wait for nobody.
sub hold_the_lock
{
	my ($table) = @_;
	my $end = time + $locked_for;
	my ($slowest, $next) = (0, 0);
	my $emitter = $t->session;

	$emitter->query_safe("set statement_timeout = '5s'");
	Webhook::wait_until("$table to be locked for long", $locked_for + 30, sub {
		my $start = time;

		return 0 if $start < $next;
		push @events, $emitter->query_safe("select webhook.emit('review.completed', 'org_1', '{}')");
		$slowest = time - $start if time - $start > $slowest;
		$next = $start + 0.2;
		return time >= $end;
	});
	$emitter->quit;
	cmp_ok($slowest, '<', 2, "$table locked: emit does not wait");
}

# each_of_our_tables_is_locked for a while
my $session;
for my $table (qw(endpoint endpoint_secret queue cursor identity attempt))
{
	emit_and_wait($table);
	$t->endpoint("/delay/1500/200?$table", timeout => "'10s'",
		retry_schedule => "'{}'", events => "'{team.member_added}'");
	my $slow = $t->emit(event => 'team.member_added');
	push @events, $slow;
	$t->wait_for_journal(1, qr/delay.*$table/);
	$session = $t->session;
	$session->query_safe("begin; lock table webhook.$table in access exclusive mode");
	if ($table ne 'identity' && $table ne 'endpoint_secret')
	{
		push @events, $t->emit;
		worker_failed_for_lock($table);
	}
	if ($table eq 'endpoint')
	{
		$t->wait_for_sql("select count(*) = 1 from webhook.attempt where event_id = '$slow'");
		pass('what has been answered is recorded while endpoints are locked');
	}
	hold_the_lock($table);
	my ($pid) = $t->worker_pids;
	my $start = time;
	kill TERM => $pid;
	Webhook::wait_until('the worker to end', 10, sub { !kill 0 => $pid });
	cmp_ok(time - $start, '<', 1, "$table locked: a stop is immediate");
	$session->query_safe('rollback');
	$session->quit;
	$t->wait_until_done;
}

# it_is_over: the error of a worker stays, with its time.
is( $t->sql("select state, last_error, last_error_at between now() - interval '1 hour' and now() from webhook.status"),
	'running|canceling statement due to lock timeout|t', 'webhook.status: what it was, and when');
is( $t->sql("select string_agg(coalesce(webhook._trouble('lock timeout', at, now()), 'over'), ', ' order by at)
		from unnest(array[now() - interval '1 min', now() - interval '1 s', now() + interval '1 min']) at"),
	'over, lock timeout, lock timeout', 'an error from before is not the reason of the present state');
is($t->sql("select webhook._trouble(null, null, now()) is null and webhook._trouble('no slot', now(), null) = 'no slot'"),
	't', 'no error; a worker that never ran');
my $log = slurp_file($node->logfile);
cmp_ok(scalar(() = $log =~ /could not do its work/g), '<=', 12 + $locked_for / 10,
	'each worker complains once a minute');

# the_outbox_is_locked: emit waits for it, and only emit does.
$session = $t->session;
$session->query_safe('begin; lock table webhook.event in access exclusive mode');
my $outbox_locked = time;
like($t->sql_error("set lock_timeout = '200ms';
	select webhook.emit('review.completed', 'org_1', '{}')"), qr/^55P03/, 'emit waits for the outbox');
is($t->sql('select waiting_events is null from webhook.status'), 't',
	'webhook.status does not');
Webhook::wait_until('the outbox to be locked for long', $locked_for + 30, sub {
	$t->sql("select state from webhook.status where waiting_events is not null") eq ''
		or die 'webhook.status waited';
	return time >= $outbox_locked + $locked_for;
});
$session->query_safe('rollback');
emit_and_wait('after a lock of the outbox');

# rows_that_wait_are_locked: others are delivered
my $other = $t->endpoint('/ok/other');
$t->sql("update webhook.endpoint set status = 'paused' where id = $other");
my $waiting = $t->emit;
push @events, $waiting;
$t->wait_for_sql("select count(*) = 1 from webhook.queue where endpoint_id = $other");
$session->query_safe("begin; select from webhook.queue for update");
$t->sql("update webhook.endpoint set status = 'enabled' where id = $other");
emit_and_wait('rows locked') for 1 .. 5;
pass('rows of the queue are locked: others are delivered');
$session->query_safe('rollback');
$t->wait_until_done;

# an_endpoint_is_being_disabled in a transaction that stays open
$t->sql("update webhook.endpoint set status = 'paused' where id = $other");
push @events, $t->emit;
$t->wait_for_sql("select count(*) = 1 from webhook.queue where endpoint_id = $other");
$t->sql("update webhook.endpoint set status = 'enabled' where id = $other;
	update webhook.endpoint set status = 'paused' where id = $other");
$session->query_safe("begin; update webhook.endpoint set status = 'disabled' where id = $other");
emit_and_wait('an endpoint is being disabled') for 1 .. 5;
$session->query_safe('rollback');
$t->sql("update webhook.endpoint set status = 'enabled' where id = $other");
$t->wait_until_done;

# an_endpoint_that_recovers_is_being_changed in a transaction that stays open
my $moody = $t->endpoint('/status/500,200?moody', retry_schedule => "'{3s}'", events => "'{billing.*}'");
push @events, $t->emit(event => 'billing.credits_low');
$t->wait_for_sql("select exists (select from webhook.failing where endpoint_id = $moody)");
$session->query_safe("begin; update webhook.endpoint set url = url || '_new' where id = $moody");
my $trouble = $t->sql('select last_error_at from webhook.status');
$t->wait_for_sql("select exists (select from webhook.attempt where endpoint_id = $moody and outcome = 'succeeded')");
emit_and_wait('an endpoint that recovers is being changed') for 1 .. 5;
is($t->sql('select last_error_at from webhook.status'), $trouble,
	'an endpoint that recovers is being changed: the worker does not wait for that');
$session->query_safe('rollback');
emit_and_wait('the change is over');
$t->wait_for_sql("select not exists (select from webhook.failing where endpoint_id = $moody)");
pass('and its recovery is written down later');
$t->sql("delete from webhook.endpoint where id = $moody");

# a_row_that_is_on_the_wire_is_locked: what others were answered is recorded
my $slow = $t->endpoint('/delay/2000/200?row', timeout => "'10s'", events => "'{billing.*}'");
my $locked = $t->emit(event => 'billing.credits_low');
push @events, $locked;
$t->wait_for_journal(1, qr/row/);
$session->query_safe("begin; select from webhook.queue where endpoint_id = $slow for update");
$t->wait_for_sql('select in_flight = 0 from webhook.status');
for my $round (1 .. 5)
{
	push @events, $t->emit;
	$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$events[-1]' and endpoint_id = $main)");
}
pass('a row on the wire is locked: the others are recorded');
is($t->sql("select count(*) from webhook.attempt where event_id = '$locked' and endpoint_id = $slow"), 0,
	'its own attempt is not');
$session->query_safe('rollback');
$t->wait_until_done;
is($t->sql("select string_agg(format('%s %s', attempt, outcome), ', ') from webhook.attempt
	where event_id = '$locked' and endpoint_id = $slow"), '1 succeeded', 'and is when the lock has gone');

$session->quit;

# maintenance_of_our_tables under load
my $before = $t->receiver->journal;
my $script = $node->basedir . '/emit.sql';
append_to_file($script, "select webhook.emit('review.completed', 'org_1', '{}');\n\\sleep 10 ms\n");
my $load = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=2', '--time=300', '--file', $script,
		'--host', $node->host, '--port', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);
for my $statement (
	'vacuum full webhook.queue', 'vacuum full webhook.endpoint', 'vacuum (full, analyze) webhook.cursor',
	'vacuum full webhook.attempt', 'vacuum freeze webhook.event', 'vacuum full webhook.event',
	'reindex table webhook.queue', 'reindex table concurrently webhook.queue',
	'reindex table concurrently webhook.event', 'reindex schema webhook',
	'cluster webhook.queue using queue_pkey', 'analyze')
{
	my ($status, undef, $stderr) = $node->psql('postgres', $statement);
	is($status, 0, $statement) or diag($stderr);
}
$load->kill_kill(grace => 5);
$t->wait_until_done(undef, 60);
my %requests;
my @journal = $t->receiver->journal;
$requests{"$_->{id} $_->{path}"}++ for @journal[ $before .. $#journal ];
is(scalar(grep { $_ != 1 } values %requests), 0, 'nothing is sent twice');
is( $t->sql("select count(*) from webhook.event e where not is_test and not exists (
		select from webhook.delivery d where d.event_id = e.id and d.endpoint_id = $main
			and d.status = 'succeeded') and event_type = 'review.completed'"),
	0, 'nothing is lost');
my %times = $t->receiver->arrivals;
is(scalar(grep { !$times{$_} } @events), 0, 'of all');

# truncated_and_deleted_in_flight: attempts end, nothing comes back
$t->sql('delete from webhook.endpoint');
my $end = $t->endpoint('/delay/700/500?end', timeout => "'10s'");
for my $statement ('truncate webhook.queue', 'delete from webhook.queue',
	'truncate webhook.event, webhook.queue', "delete from webhook.endpoint where id = $end")
{
	my $count = $t->receiver->journal(qr/end/);
	my $id = $t->emit;
	$t->wait_for_journal($count + 1, qr/end/);
	$t->sql($statement);
	$t->wait_for_sql("select count(*) = 1 and bool_and(outcome = 'failed') from webhook.attempt where event_id = '$id'");
	$t->wait_until_done;
	is(scalar($t->receiver->journal(qr/end/)), $count + 1, "$statement: the attempt ends, with no other");
	is($t->sql('select count(*) from webhook.queue'), 0, 'and nothing is left');
}
my ($in_flight) = map { $_->{in_flight} } $t->rows('select in_flight from webhook.status');
is($in_flight, 0, 'nothing is on the wire');
$t->endpoint('/ok/last');
emit_and_wait('at last');

# a_type_changes_while_a_watch_is_prepared, which waits for a lock
$t->sql("create table lookup as select true as ok; create table watched (j jsonb); create type pair as (a text, b text);
	select webhook.watch('watched', 'review.created', '(jsonb_populate_record(null::pair, new.j)).b',
		condition => '(select ok from lookup)')");
$session = $t->session;
my $changing = $t->session;
$changing->query_safe('begin; lock table lookup in access exclusive mode');
$session->query_until(qr/begun/, "\\echo begun\ninsert into watched values ('{\"b\": \"org_1\"}');\n");
$t->wait_for_sql("select exists (select from pg_locks where relation = 'lookup'::regclass and not granted)");
$changing->query_safe('alter type pair drop attribute b, add attribute b text; commit');
$session->query("insert into watched values ('{\"b\": \"org_1\"}')");
is($t->sql("select count(*) from webhook.event where event_type = 'review.created'"), 2,
	'a type changes while a watch is prepared: no change is refused');
$_->quit for $session, $changing;

done_testing();
