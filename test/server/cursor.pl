# What makes the cursor exact: nothing is lost and nothing sent twice, in
# whatever order transactions begin, commit and are looked at.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('cursor', 'webhook.max_in_flight_per_endpoint = 500');
my $node = $t->node;

my $emitting = "select webhook.emit('review.completed', 'org_1', '{}')";

# Every event of the outbox arrived at a path exactly once.
sub arrived_once
{
	my ($path, $name) = @_;

	$t->wait_until_done(undef, 60);
	my %times = $t->receiver->arrivals(qr{^\Q$path\E$});
	my @lost = grep { !$times{$_} } split /\n/,
	  $t->sql('select id from webhook.event where not is_test');
	my @repeated = grep { $times{$_} > 1 } keys %times;

	is(scalar @lost, 0, "$name: nothing is lost")
	  or diag "lost: @lost[0 .. ($#lost > 9 ? 9 : $#lost)]";
	is(scalar @repeated, 0, "$name: nothing is sent twice");
}

# Wait until the worker has looked at the outbox after everything that is
# committed by now: an event that is emitted now has arrived.
sub wait_for_take
{
	my $id = $t->emit;

	Webhook::wait_until("event $id", undef,
		sub { my %times = $t->receiver->arrivals; $times{$id} });
}

$t->endpoint('/ok');
wait_for_take();

# commits_out_of_order: the first to emit commits last, so that its xid is
# below what the cursor has seen.  Needs the window's list of running xids.
my $a = $t->session;
my $b = $t->session;
$a->query_safe("begin; $emitting");
$b->query_safe("begin; $emitting");
wait_for_take();
$b->query_safe('commit');
wait_for_take();
wait_for_take();
$a->query_safe('commit');
arrived_once('/ok', 'commits out of order');

# a_transaction_open_across_many_takes
$a->query_safe("begin; $emitting");
wait_for_take() for 1 .. 10;
$a->query_safe($emitting);
wait_for_take() for 1 .. 10;
$a->query_safe('commit');
arrived_once('/ok', 'a long transaction');

# subtransactions_have_xids_of_their_own: rows carry that of the transaction,
# else the cursor would look for them in vain, or too early.
$a->query_safe("begin; savepoint one; $emitting; release one; savepoint two;
	$emitting; savepoint three; $emitting; rollback to two; savepoint four;
	$emitting");
wait_for_take();
$a->query_safe('release four; savepoint five');
wait_for_take();
$a->query_safe("$emitting; release five");
wait_for_take();
$a->query_safe('commit');
arrived_once('/ok', 'savepoints');
is($t->sql('select count(distinct e.xid) from webhook.event e
		join (select xid from webhook.event group by xid having count(*) = 3) x
		using (xid)'), '1', 'rows of subtransactions carry the xid of all');

# many_transactions_at_once
my $script = $node->basedir . '/emit.sql';
append_to_file($script, "begin;\n$emitting;\n\\sleep 1 ms\n$emitting;\ncommit;\n");
$node->command_ok([ 'pgbench', '--no-vacuum', '--client=8', '--transactions=50',
		'--file', $script, 'postgres' ], 'many sessions emit at once');
arrived_once('/ok', 'many transactions at once');

# a_window_is_read_in_pieces_while_small_xids_commit: three transactions have
# begun before the large one and commit at various moments of its reading.
my @late = map { $t->session } 1 .. 3;
$_->query_safe("begin; $emitting") for @late;
my $before = $t->receiver->journal;
$t->sql("$emitting from generate_series(1, 5000)");
for my $number (0 .. 2)
{
	$t->wait_for_journal($before + 200 + 1000 * $number);
	$late[$number]->query_safe("$emitting; commit");
	$t->sql($emitting);
}
arrived_once('/ok', 'a window in pieces');
$_->quit for $a, $b, @late;

# a_window_is_read_in_pieces_while_a_large_xid_commits: it is ahead of the position
# and belongs to the next window, which would read it again.
my ($large, $running) = map { $t->session } 1 .. 2;
$_->query_safe("begin; $emitting") for $large, $running;
$t->sql($emitting);
$before = $t->receiver->journal;
$large->query_safe("$emitting from generate_series(1, 5000); commit");
$t->wait_for_journal($before + 200);
$running->query_safe('commit');
arrived_once('/ok', 'a commit ahead of the position');
$_->quit for $large, $running;

# a_prepared_transaction_survives_a_restart
my $id = $t->sql("begin; $emitting; prepare transaction 'two phases'");
wait_for_take();
$node->restart;
wait_for_take();
my %times = $t->receiver->arrivals;
ok(!$times{$id}, 'a prepared transaction sends nothing');
$t->sql("commit prepared 'two phases'");
Webhook::wait_until('the prepared event', 6,
	sub { my %times = $t->receiver->arrivals; $times{$id} });
arrived_once('/ok', 'a transaction in two phases');

# one_place_is_enough
$t->configure('webhook.max_in_flight = 1');
$node->restart;
$t->sql("$emitting from generate_series(1, 20)");
arrived_once('/ok', 'one place in flight');

# queued_rows_of_many_endpoints_share_few_places: each look takes a few rows
# of each endpoint, and must not forget that there are more.
$t->configure('webhook.max_in_flight = 10');
$node->restart;
$t->sql("select webhook.set_organization('queued', 'x')");
$t->endpoint("/ok?queued$_", organization => 'queued') for 1 .. 5;
$t->sql("update webhook.endpoint set status = 'paused' where organization_id = 'queued'");
$t->sql("select webhook.emit('review.completed', 'queued', '{}') from generate_series(1, 30)");
$t->wait_for_sql('select count(*) = 150 from webhook.queue');
$t->sql("update webhook.endpoint set status = 'enabled' where organization_id = 'queued'");
$t->wait_for_journal(150, qr/queued/);
$t->wait_until_done;
is( $t->sql("select count(*) from webhook.delivery
		where organization_id = 'queued' and status = 'succeeded'"),
	150, 'queued rows of many endpoints all go through few places');
$t->configure('webhook.max_in_flight = 500');
$node->restart;

# one_event_for_thousands_of_endpoints: the position within a window must
# stand within an event.
$t->sql("select webhook.set_organization('many', 'Many')");
my $url = $t->receiver->url('/ok/many');
$t->sql("insert into webhook.endpoint (organization_id, url)
	select 'many', '$url' from generate_series(1, 3000)");
my @ids = map { $t->emit(organization => 'many') } 1 .. 2;
$t->wait_for_journal(6000, qr{/ok/many}, 60);
$t->wait_until_done;
%times = $t->receiver->arrivals(qr{/ok/many});
is_deeply(\%times, { map { $_ => 3000 } @ids },
	'each of 3000 endpoints got each event once');
is( $t->sql("select count(*), count(distinct (event_id, endpoint_id)),
		min(attempt), max(attempt)
		from webhook.attempt where organization_id = 'many'"),
	'6000|6000|1|1', 'and so says the log');

# a_delivery_queued_meanwhile_is_no_obstacle: somebody puts into the queue what
# the worker is about to take (a redelivery and a changed subscription at the
# same moment); neither is lost, and nothing comes twice.
$t->sql("select webhook.set_organization('race', 'x')");
my $raced = $t->endpoint('/ok/race', organization => 'race');
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
@ids = map { $t->emit(organization => 'race') } 1 .. 3;
$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
	values ('$ids[1]', $raced, now(), 'infinity', webhook._origin())");
$t->configure('webhook.enabled = on');
$t->wait_for_journal(2, qr{/ok/race});
$t->sql("update webhook.queue set next_attempt_at = now()");
$t->wait_for_journal(3, qr{/ok/race});
$t->wait_until_done;
%times = $t->receiver->arrivals(qr{/ok/race});
is_deeply(\%times, { map { $_ => 1 } @ids },
	'a delivery that was queued meanwhile arrives once, as do the others');

# an_endpoint_is_younger_than_an_event, although its transaction is older
$t->sql("select webhook.set_organization('late', 'x')");
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
my $session = $t->session;
$session->query_safe('begin; select pg_current_xact_id()');
my $early = $t->emit(organization => 'late');
my $url = $t->receiver->url('/ok/late');
$session->query_safe("select webhook.create_endpoint('late', '$url'); commit");
$session->quit;
my $after = $t->emit(organization => 'late');
$t->configure('webhook.enabled = on');
$t->wait_until_done;
is_deeply({ $t->receiver->arrivals(qr{/ok/late}) }, { $after => 1 },
	'an endpoint gets what was emitted after it was made, by whichever transaction');

# an_immediate_restart_loses_nothing: what was on the wire may come again,
# and the log tells which.
$t->sql("delete from webhook.endpoint; select webhook.set_organization('crash', 'x')");
$t->endpoint('/delay/5', organization => 'crash');
my $crash = $emitting =~ s/org_1/crash/r;
$t->sql("$crash from generate_series(1, 5000)");
for my $number (1 .. 2)
{
	$t->wait_for_journal(1000 * $number, qr{/delay});
	$node->stop('immediate');
	$node->start;
}
$t->wait_until_done(undef, 60);
%times = $t->receiver->arrivals(qr{/delay});
my @lost = grep { !$times{$_} } split /\n/,
  $t->sql("select id from webhook.event where organization_id = 'crash'");
is(scalar @lost, 0, 'a crash in a backlog of 5000: nothing is lost');
my %interrupted = map { $_ => 1 } split /\n/,
  $t->sql("select event_id from webhook.attempt where error_class = 'interrupted'");
my @unexplained =
  grep { $times{$_} > 1 && !$interrupted{$_} } keys %times;
is(scalar @unexplained, 0,
	'what came again has an interrupted attempt in the log');
cmp_ok(scalar(grep { $_ > 1 } values %times),
	'<', 2500, 'only what was on the wire comes again');
is( $t->sql("select count(*) from (select from webhook.delivery
		where organization_id = 'crash' and status = 'succeeded'
		group by event_id, endpoint_id having count(*) = 1) q"),
	'5000', 'each delivery has succeeded and is one row');

done_testing();
