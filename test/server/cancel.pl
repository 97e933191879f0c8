# Cancelling: what is cancelled is not sent (again), whether it waits, is on the
# wire, or no worker has taken it yet.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('cancel', "webhook.retry_schedule = '100ms, 100ms'");

sub delivery
{
	my ($event, $endpoint) = @_;

	return $t->sql("select concat_ws(' ', status, attempts, is_redelivery) from webhook.delivery
		where event_id = '$event' and endpoint_id = $endpoint");
}

sub requests
{
	my ($event, $path) = @_;

	return scalar(grep { $_->{id} eq $event } $t->receiver->journal($path));
}

# Emit to an endpoint that is slow to answer; its request is on the wire.
sub emit_slowly
{
	my ($path, %arguments) = @_;
	my $endpoint = $t->endpoint($path, events => "'{team.member_added}'", timeout => "'20s'", %arguments);
	my $event = $t->emit(event => 'team.member_added');

	$t->wait_for_journal(1, qr/\Q$path\E/);
	return ($event, $endpoint);
}

# on_the_wire_and_failing: no attempt follows, and nobody is told of a failure.
my $told = $t->endpoint('/ok/told', events => "'{webhook.delivery_failed}'");
my ($event, $endpoint) = emit_slowly('/delay/4000/500?failing');
is($t->sql("select webhook.cancel('$event', $endpoint)"), 1,
	'on the wire: cancel counts it');
is($t->sql("select webhook.cancel('$event')"), 0, 'on the wire: once');
is(delivery($event, $endpoint), 'sending 1 f', 'on the wire: it ends as it ends');
is($t->sql("select explanation from webhook.explain('$event') where endpoint_id = $endpoint"),
	'attempt 1 is on the wire; cancelled by hand, no other follows', 'on the wire: explain says so');
$t->wait_until_done;
is(delivery($event, $endpoint), 'cancelled 1 f', 'it failed: cancelled');
is( $t->sql("select attempt, outcome, response_status, error_class from webhook.attempt
		where event_id = '$event' and endpoint_id = $endpoint"),
	'1|cancelled|500|http', 'it failed: the log has the answer');
is(requests($event, qr/failing/), 1, 'it failed: it is not sent again');
is(scalar($t->receiver->journal(qr/told/)), 0, 'it failed: which is no webhook.delivery_failed');
$t->sql("delete from webhook.endpoint where id in ($endpoint, $told)");

# on_the_wire_and_succeeding
($event, $endpoint) = emit_slowly('/delay/1500/200?good');
is($t->sql("select webhook.cancel('$event')"), 1, 'on the wire at all endpoints');
$t->wait_until_done;
is(delivery($event, $endpoint), 'succeeded 1 f', 'it succeeded: so it did');
$t->sql("delete from webhook.endpoint where id = $endpoint");

# on_the_wire_when_the_worker_stops: not given back to be sent again
($event, $endpoint) = emit_slowly('/hang?stop');
$t->sql("select webhook.cancel('$event')");
my ($pid) = $t->worker_pids;
$t->sql("select pg_terminate_backend($pid)");
$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$event')");
is( $t->sql("select outcome, error_class from webhook.attempt where event_id = '$event'"),
	'cancelled|interrupted', 'the worker stopped: cancelled');
$t->wait_until_done;
is(requests($event, qr/stop/), 1, 'the worker stopped: it is not sent again');
$t->sql("delete from webhook.endpoint where id = $endpoint");

# not_taken_yet: at one endpoint, at all
my $one = $t->endpoint('/ok/one');
my $two = $t->endpoint('/ok/two');
my $paused = $t->endpoint('/ok/paused');
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
my ($some, $all, $none, $again) = map { $t->emit } 1 .. 4;
is($t->sql("select webhook.cancel('$some', $one)"), 1, 'not taken: cancel at one endpoint');
is($t->sql("select webhook.cancel('$some', $one)"), 0, 'not taken: once');
is(delivery($some, $one), 'cancelled 0 f', 'not taken: it is cancelled at once');
is($t->sql("select error from webhook.delivery_log where event_id = '$some' and endpoint_id = $one"),
	'cancelled by hand', 'not taken: the log says why at once');
is($t->sql("select explanation from webhook.explain('$some') where endpoint_id = $one"),
	'cancelled by hand', 'not taken: explain says so');
is(delivery($some, $two), 'pending 0 f', 'not taken: the others get it');
is($t->sql("select webhook.cancel('$all')"), 3, 'not taken: cancel at all');
is($t->sql("select webhook.cancel('$none', 0)"), 0, 'not taken: an endpoint that does not exist');
is($t->sql("select webhook.cancel('$again', $one)"), 1, 'not taken: another');
is($t->sql("select webhook.redeliver('$again', $one)"), 1,
	'what was cancelled can be redelivered at once');
is(delivery($again, $one), 'pending 0 f', 'and waits again');
$t->configure('webhook.enabled = on');
$t->wait_for_sql("select count(*) = 0 from webhook.queue where endpoint_id <> $paused");
is(join(' ', map { requests($_, qr/one/) } $some, $all, $none, $again), '0 0 1 1',
	'what was cancelled before it was taken is not sent');
is(join(' ', map { requests($_, qr/two/) } $some, $all, $none, $again), '1 0 1 1',
	'what was not is sent, once');
is( $t->sql("select endpoint_id, outcome, error, attempt from webhook.attempt
		where event_id = '$all' and endpoint_id <> $paused order by 1"),
	"$one|cancelled|cancelled by hand|0\n$two|cancelled|cancelled by hand|0", 'the log says why');
is(delivery($all, $paused), 'cancelled 0 f', 'at a paused endpoint it shows as cancelled');
$t->sql("update webhook.endpoint set status = 'enabled' where id = $paused");
$t->wait_until_done;
is(join(' ', map { requests($_, qr/paused/) } $some, $all, $none, $again), '1 0 1 1',
	'and is not sent when the endpoint is enabled');

# in_a_transaction_that_stays_open: nobody waits for it, and it is heard when it
# commits.
my ($busy, $waiting) = emit_slowly('/delay/1000/500?open', retry_schedule => "'{1h}'");
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
my ($untaken, $kept) = map { $t->emit } 1 .. 2;
my $session = $t->session;
$session->query_safe("begin");
is($session->query_safe("select webhook.cancel('$untaken', $paused)"), 1, 'open: not taken');
is($session->query_safe("select webhook.cancel('$untaken', $paused)"), 0, 'open: once');
is($session->query_safe("select webhook.cancel('$busy', $waiting)"), 1, 'open: on the wire');
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
$t->configure('webhook.enabled = on');
$t->wait_for_sql("select count(*) = 4 from webhook.delivery where event_id in ('$untaken', '$kept')
	and endpoint_id in ($one, $two) and status = 'succeeded'");
$t->wait_for_sql("select status = 'pending' from webhook.delivery where event_id = '$busy' and endpoint_id = $waiting");
is(delivery($untaken, $paused), 'pending 0 f', 'open: the others get theirs, and it is not cancelled yet');
$session->query_safe("commit");
is(delivery($untaken, $paused), 'cancelled 0 f', 'committed: cancelled');
$session->query_safe("begin");
is($session->query_safe("select webhook.cancel('$kept')"), 1, 'given: another');
$session->query_safe("rollback");
$session->quit;
$t->sql("update webhook.endpoint set status = 'enabled' where id = $paused");
$t->wait_until_done;
is(join(' ', map { requests($_, qr/paused/) } $untaken, $kept), '0 1', 'rolled back: it is sent');
is(delivery($busy, $waiting), 'cancelled 1 f', 'what was on the wire is not sent again');
$t->sql("delete from webhook.endpoint where id = $waiting");

# emitted_and_cancelled_in_one_transaction
$event = $t->sql("begin; create temp table e as select webhook.emit('review.completed', 'org_1', '{}') as id;
	select webhook.cancel(id) from e; select id from e; commit");
($event) = $event =~ /^3\n(.*)$/ or diag $event;
$t->wait_until_done;
is($t->sql("select count(*) from webhook.delivery where event_id = '$event' and status = 'cancelled'"),
	3, 'emitted and cancelled in one transaction: cancelled');
is(requests($event, qr/./), 0, 'and not sent');

# while_workers_take: who cancels and who sends agree.
my $failing = $t->endpoint('/status/500?race', retry_schedule => "'{1s}'");
$t->sql("create table cancelled (event_id uuid, at_ok bigint, at_failing bigint)");
my $script = PostgreSQL::Test::Utils::tempdir . '/cancel.sql';
append_to_file($script, <<"END");
select webhook.emit('review.completed', 'org_1', '{}') as id \\gset
select webhook.cancel(':id', $one) as at_ok \\gset
insert into cancelled values (':id', :at_ok, webhook.cancel(':id', $failing));
END
my ($out, $err);
IPC::Run::run(
	[   $t->node->installed_command('pgbench'), '-n', '-c', '3', '-t', '300',
		'-f', $script, $t->node->connstr('postgres') ],
	'>', \$out, '2>', \$err) or diag $err;
$t->wait_until_done(undef, 60);
is($t->sql('select count(*) from cancelled'), 900, 'given: 900 events were cancelled while workers took them');
is( $t->sql("select count(*) from (select from webhook.delivery join cancelled using (event_id)
		group by event_id, endpoint_id having count(*) <> 1) d"),
	0, 'each pair shows once');
is( $t->sql("select string_agg(distinct concat_ws(' ', at_failing, status), ', ')
		from cancelled join webhook.delivery using (event_id) where endpoint_id = $failing"),
	'1 cancelled', 'what failed was cancelled');
is( $t->sql("select string_agg(distinct concat_ws(' ', at_ok, status, attempts), ', ')
		from cancelled join webhook.delivery using (event_id)
		where endpoint_id = $one and (at_ok, status) not in ((1, 'cancelled'), (1, 'succeeded'), (0, 'succeeded'))"),
	'', 'what was not cancelled succeeded');
my %path = ("$one" => '/ok/one', "$failing" => '/status/500?race');
my %unsent = map { my ($id, $at) = split /\|/; ("$id $path{$at}" => 1) } split /\n/,
  $t->sql("select event_id, endpoint_id from webhook.delivery join cancelled using (event_id)
	where endpoint_id in ($one, $failing) and attempts = 0");
my @sent = map { "$_->{id} $_->{path}" } $t->receiver->journal;
is(scalar(grep { $unsent{$_} } @sent), 0, 'what was cancelled without an attempt was not sent');
note(scalar(keys %unsent) . ' of 1800 were cancelled before an attempt');
is( $t->sql("select count(*) from cancelled c where (select count(*) from webhook.delivery d
		where d.event_id = c.event_id and d.endpoint_id in ($two, $paused) and d.status = 'succeeded') <> 2"),
	0, 'the others got all of them');
my %times;
$times{$_}++ for @sent;
is(join(' ', grep { $times{$_} > 1 } keys %times), '', 'nothing was sent again');

# no_trouble: a worker that finds what it takes cancelled makes nothing of it.
unlike(PostgreSQL::Test::Utils::slurp_file($t->node->logfile), qr/could not do its work/,
	'the worker had no trouble with any of it');

# by_an_old_snapshot: in it nothing was taken, and who got it would get it again.
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
$untaken = $t->emit;
my $old = $t->node->background_psql('postgres', on_error_stop => 0);
$old->query_safe('begin isolation level repeatable read; select from webhook.cursor');
$t->configure('webhook.enabled = on');
$t->wait_for_workers;
$t->wait_until_done;
is($old->query_safe("select webhook.cancel('$untaken', $one)"), 1, 'old snapshot: cancel counts it');
$old->query('\set VERBOSITY sqlstate', verbose => 0);
$old->query('commit');
like($old->{stderr}, qr/ERROR:  40001/, 'old snapshot: serialization failure');
$old->quit;
$t->wait_until_done;
is(requests($untaken, qr/one|two|paused/), 3, 'old snapshot: each got it once');
is(delivery($untaken, $one), 'succeeded 1 f', 'old snapshot: and shows once');

# prepared: what was cancelled is locked until it is committed.
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
my $prepared = $t->emit;
$t->sql("begin; select webhook.cancel('$prepared', $one); prepare transaction 'cancel'");
$t->configure('webhook.enabled = on');
$t->wait_for_sql("select state = 'failing' from webhook.status");
$t->sql("commit prepared 'cancel'");
$t->wait_until_done;
is(delivery($prepared, $one), 'cancelled 0 f', 'prepared and committed: cancelled');
is(delivery($prepared, $two), 'succeeded 1 f', 'and the others get it');

done_testing();
