# What operators do: test, redeliver, rotate secrets, pause and disable.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('operate');
my $endpoint = $t->endpoint('/ok/main');

# Statuses of all deliveries at an endpoint, counted.
sub statuses
{
	my ($id) = @_;

	return $t->sql("select string_agg(status || ' ' || n, ', ' order by status)
		from (select status, count(*) as n from webhook.delivery
			where endpoint_id = $id group by status) q");
}

# test_sends_at_once, whatever the endpoint's status
for my $status ('enabled', 'paused', 'disabled')
{
	my $id = $t->endpoint("/ok/$status", events => "'{team.*}'");

	$t->sql("update webhook.endpoint set status = '$status' where id = $id");
	is( $t->sql("select status, duration > '0', response_body, error is null,
			error_class is null from webhook.test($id)"),
		'200|t|ok|t|t', "webhook.test works on an endpoint that is $status");
	my ($request) = $t->receiver->journal(qr{^/ok/$status$});
	is($request->{signature}, 'valid', "$status: its request is signed");
	like($request->{body}, qr/^\{"event":"webhook.test",/,
		"$status: and says what it is");
	is( $t->sql("select attempt, outcome, is_test from webhook.attempt a
			join webhook.event e on e.id = event_id where endpoint_id = $id"),
		'1|succeeded|t', "$status: and is logged");
	is(scalar($t->receiver->journal(qr{^/ok/$status$})), 1, "$status: once");
}

# a_test_event_is_never_fanned_out
$t->endpoint('/ok/listener', events => "'{webhook.test}'");
$t->sql("select webhook.test($endpoint)");
my $id = $t->emit;
Webhook::wait_until('a later event', undef,
	sub { my %times = $t->receiver->arrivals(qr/main/); $times{$id} });
is(scalar($t->receiver->journal(qr/listener/)), 0,
	'a test event reaches nobody else');

# test_sends_the_example_of_a_type
my $example = $t->sql(
	"select example from webhook.event_type where name = 'team.member_added'");
$t->sql("select webhook.test($endpoint, 'team.member_added')");
my ($request) = grep { $_->{body} =~ /"team.member_added"/ }
  $t->receiver->journal(qr/main/);
like($request->{body}, qr/"data":\Q$example\E\}$/,
	'webhook.test sends the example of a catalogue name');

# test_in_the_transaction_that_made_the_endpoint
my $url = $t->receiver->url('/ok/transaction');
is( $t->sql("begin;
		create temp table made as
			select * from webhook.create_endpoint('org_1', '$url');
		select t.status from made, webhook.test(endpoint_id) t;
		select outcome from webhook.attempt, made
			where attempt.endpoint_id = made.endpoint_id;
		rollback;"),
	"200\nsucceeded", 'webhook.test works in the transaction that made the endpoint');
is(scalar($t->receiver->journal(qr/transaction/)), 1, 'and sends');
is($t->sql("select count(*) from webhook.attempt where url = '$url'"),
	0, 'its log belongs to the transaction');

# two_sessions_create_an_endpoint_of_one_name, as two servers that start a release
my @servers = ($t->session, $t->session);
my $made = $servers[0]->query_safe("begin;
	select endpoint_id from webhook.create_endpoint('org_1', '$url/1', name => 'release')");
$servers[1]->query_until(qr/begun/, "\\echo begun
	select endpoint_id, secret is null, 'known' from webhook.create_endpoint('org_1', '$url/2', name => 'release',
		headers => '{\"X-A\": \"2\"}');\n");
$t->wait_for_sql("select count(*) = 1 from pg_stat_activity where wait_event = 'transactionid'");
$servers[0]->query_safe('commit');
is($servers[1]->query_until(qr/known|ERROR/, ''), "$made|t|known\n", 'the second one updates what the first one made');
$_->quit for @servers;
is( $t->sql("select url, count(distinct secret), count(distinct header.name) from webhook.endpoint
		join webhook.endpoint_secret on endpoint_id = id
		join webhook.endpoint_header header on header.endpoint_id = id
		where id = $made group by 1"),
	"$url/2|1|1", 'to what it was told, with one secret');
$t->sql("delete from webhook.endpoint where id = $made");

# a_failed_test_is_a_result_and_counts_nothing
my $failing = $t->endpoint('/status/500', events => "'{team.*}'");
is( $t->sql("select status, error, error_class from webhook.test($failing)"),
	'500|the receiver answered with status 500|http',
	'a failed test is a result');
is( $t->sql("select count(*) from webhook.queue where endpoint_id = $failing"),
	0, 'which is not retried');
my $gone = $t->endpoint('/gone', events => "'{team.*}'");
$t->sql("select webhook.test($gone)");
is($t->sql("select status from webhook.endpoint where id = $gone"),
	'enabled', 'a test never disables the endpoint');

# test_can_be_cancelled
my $hanging = $t->endpoint('/hang', events => "'{team.*}'");
like($t->sql_error("set statement_timeout = '300ms';
		select webhook.test($hanging)"),
	qr/57014/, 'webhook.test obeys statement_timeout');

# redeliver_continues_the_numbers
$t->sql("delete from webhook.endpoint where id <> $endpoint");
$t->wait_until_done;
is($t->sql("select webhook.redeliver('$id', $endpoint)"),
	2, 'redeliver returns the number of the next attempt');
$t->wait_until_done;
my @requests = grep { $_->{id} eq $id } $t->receiver->journal(qr/main/);
is_deeply([ map { $_->{attempt} } @requests ], [ 1, 2 ],
	'redelivered with the same id, the attempt numbers continue');
is($requests[0]{sha256}, $requests[1]{sha256}, 'and with the same bytes');
is( $t->sql("select status, attempts from webhook.delivery where event_id = '$id'"),
	'succeeded|2', 'it stays one row of webhook.delivery');

# redeliver_starts_the_schedule_anew
$failing = $t->endpoint('/status/500,500,500,500,200',
	retry_schedule => "'{10ms}'");
my $failed = $t->emit;
$t->wait_until_done;
is(statuses($failing), 'failed 1', 'a delivery fails after two attempts');
is($t->sql("select webhook.redeliver('$failed', $failing)"), 3, 'redelivered');
$t->wait_until_done;
is( $t->sql("select status, attempts from webhook.delivery
		where endpoint_id = $failing"),
	'failed|4', 'it has two more attempts');
$t->sql("select webhook.redeliver('$failed', $failing)");
$t->wait_until_done;
is( $t->sql("select status, attempts from webhook.delivery
		where endpoint_id = $failing"),
	'succeeded|5', 'and succeeds in the end');

# redeliver_to_an_endpoint_that_never_had_it
my $new = $t->endpoint('/ok/new');
is($t->sql("select webhook.redeliver('$id', $new)"), 1,
	'an event from before the endpoint is delivered by redeliver');
$t->wait_for_journal(1, qr/new/);

# a_pending_delivery_is_not_redelivered
$t->sql("delete from webhook.endpoint where id <> $endpoint");
my $waiting = $t->endpoint('/status/500', retry_schedule => "'{1h}'");
my $pending = $t->emit;
$t->wait_for_sql("select exists (select from webhook.delivery
	where endpoint_id = $waiting and status = 'pending' and attempts = 1)");
like($t->sql_error("select webhook.redeliver('$pending', $waiting)"),
	qr/^55000: the delivery is not finished yet/,
	'redeliver refuses a delivery that is pending');
$hanging = $t->endpoint('/hang', timeout => "'3s'");
my $sending = $t->emit;
$t->wait_for_journal(2, qr/hang/);
$t->wait_for_sql("select exists (select from webhook.delivery
	where endpoint_id = $hanging and status = 'sending')");
like($t->sql_error("select webhook.redeliver('$sending', $hanging)"),
	qr/^55000/, 'and one that is on the wire');
like($t->sql_error("select webhook.redeliver('$id', 0)"),
	qr/^P0002/, 'an endpoint that does not exist');
$t->sql("delete from webhook.endpoint where id <> $endpoint");

# rotation_signs_with_both_secrets
sub signers
{
	my $event = $t->emit;
	my ($request) = Webhook::wait_until("event $event", undef, sub {
		my @found = grep { $_->{id} eq $event } $t->receiver->journal(qr/main/);
		return @found ? \@found : undef;
	})->[0];

	is($request->{signature}, 'valid', 'the signature is valid');
	return $request->{signers};
}

sub rotate
{
	my ($arguments) = @_;

	$t->receiver->trust(
		$t->sql("select webhook.rotate_secret($endpoint$arguments)"));
}

# The receiver's list has secrets of earlier endpoints behind the newest ones.
$t->receiver->trust($t->sql("select webhook.secret($endpoint)"));
is_deeply(signers(), { own => [0], standard => [0] }, 'one secret, one signature');
rotate('');
is_deeply(signers(), { own => [0], standard => [ 0, 1 ] },
	'after a rotation: both, newest first; X-Jasper-Signature by the newest');
rotate('');
is_deeply(signers(), { own => [0], standard => [ 0, 1 ] },
	'a third rotation drops the oldest');
rotate(", overlap => '0'");
is_deeply(signers(), { own => [0], standard => [0] },
	'without overlap the old one ends at once');
rotate(", secret => 'a-secret-of-our-own'");
is_deeply(signers(), { own => [0], standard => [1] },
	'an imported secret that cannot sign Standard Webhooks leaves that to the older');
rotate('');

# a_paused_endpoint_accumulates
$t->wait_until_done;
$t->sql("update webhook.endpoint set status = 'paused' where id = $endpoint");
my @paused = map { $t->emit } 1 .. 3;
$t->wait_for_sql("select count(*) = 3 from webhook.delivery
	where endpoint_id = $endpoint and status = 'pending' and attempts = 0");
my %times = $t->receiver->arrivals(qr/main/);
is(scalar(grep { $times{$_} } @paused), 0, 'paused: deliveries wait');
$t->sql("update webhook.endpoint set status = 'enabled' where id = $endpoint");
$t->wait_until_done;
%times = $t->receiver->arrivals(qr/main/);
is(scalar(grep { $times{$_} } @paused), 3, 'enabled again: they flow');

# due_rows_leave_in_any_order: where statistics say that the queue has one row,
# the server joins from there, in the order of keys, not as rows are due.
$t->sql("update webhook.endpoint set status = 'paused' where id = $endpoint");
my @backwards = $t->emit;
$t->wait_for_sql("select count(*) = 1 from webhook.queue where endpoint_id = $endpoint");
$t->sql('vacuum analyze webhook.queue');
push @backwards, $t->emit, $t->emit;
$t->wait_for_sql("select count(*) = 3 from webhook.queue where endpoint_id = $endpoint");
$t->sql("update webhook.queue q set next_attempt_at = now() - n * interval '1 s'
	from (select event_id, row_number() over (order by event_id) as n from webhook.queue) r
	where r.event_id = q.event_id");
$t->sql("update webhook.endpoint set status = 'enabled' where id = $endpoint");
$t->wait_until_done;
%times = $t->receiver->arrivals(qr/main/);
is(scalar(grep { $times{$_} } @backwards), 3, 'rows that are due flow in any order');

# a_disabled_endpoint_gives_up_what_waits
$t->sql("update webhook.endpoint set status = 'paused' where id = $endpoint");
my @cancelled = map { $t->emit } 1 .. 2;
$t->wait_for_sql("select count(*) = 2 from webhook.delivery
	where endpoint_id = $endpoint and status = 'pending'");
$t->sql("update webhook.endpoint set status = 'disabled',
	disabled_reason = 'the customer left' where id = $endpoint");
is( $t->sql("select count(*), min(error), min(attempts) from webhook.delivery_log
		where status = 'cancelled' and endpoint_id = $endpoint"),
	'2|the endpoint was disabled|0', 'disabled: what waited is cancelled');
$id = $t->emit;
$t->wait_until_done;
is($t->sql("select count(*) from webhook.delivery where event_id = '$id'"),
	0, 'and nothing new is made');
like($t->sql_error("select webhook.redeliver('$id', $endpoint)"),
	qr/^55000: endpoint \d+ is disabled/, 'redeliver says so');
$t->sql("update webhook.endpoint set status = 'enabled' where id = $endpoint");
is( $t->sql("select disabled_at is null, disabled_reason is null
		from webhook.endpoint where id = $endpoint"),
	't|t', 'enabled again, the reason is gone');
$t->sql("select webhook.redeliver(event_id, endpoint_id) from webhook.delivery
	where status = 'cancelled' and endpoint_id = $endpoint");
$t->wait_until_done;
%times = $t->receiver->arrivals(qr/main/);
is(scalar(grep { $times{$_} } @cancelled), 2, 'redeliver brings back what was cancelled');

# webhook.status says what holds deliveries back, which is nothing wrong
$t->wait_for_sql('select reason is null from webhook.status');
$t->sql("update webhook.endpoint set status = 'paused' where id = $endpoint");
$t->emit;
$t->wait_for_sql("select reason = 'deliveries wait for endpoint $endpoint, which is paused' from webhook.status");
my $second = $t->endpoint('/ok/second');
$t->sql("update webhook.endpoint set status = 'paused' where id = $second");
$t->emit;
$t->wait_for_sql("select reason = 'deliveries wait for 2 endpoints that are paused' from webhook.status");
$t->sql("update webhook.endpoint set status = 'disabled'");
$t->wait_for_sql("select reason = 'every endpoint is disabled' from webhook.status");
is($t->sql('select count(*) from webhook.check()'), 0, 'a reason that is meant is not a problem');
$t->sql("update webhook.endpoint set status = 'enabled'");
is($t->sql('select reason from webhook.status'), '', 'enabled: no reason');

# without_the_library_test_works
$t->configure("shared_preload_libraries = ''");
$t->node->restart;
is($t->sql("select status, error is null from webhook.test($endpoint)"),
	'200|t', 'webhook.test works although the library is not preloaded');

done_testing();
