# A good sender: what receivers ask for and what endpoints allow is kept, and an
# endpoint that fails for long is disabled.

use strict;
use warnings;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('limits');
my $organizations = 0;

# An endpoint alone in an organization of its own.
sub lonely
{
	my ($url, %arguments) = @_;
	my $organization = 'only_' . ++$organizations;

	$t->sql("select webhook.set_organization('$organization', 'x')");
	return ($t->endpoint($url, organization => $organization, %arguments),
		$organization);
}

# Emit so many events in one transaction.
sub emit_many
{
	my ($count, $organization) = @_;

	$t->sql("select count(webhook.emit('review.completed', '$organization', '{}'))
		from generate_series(1, $count)");
}

sub wait_for_status
{
	my ($endpoint, $status, $count) = @_;
	$count //= 1;

	$t->wait_for_sql("select count(*) = $count from webhook.delivery
		where endpoint_id = $endpoint and status = '$status'");
}

# Seconds from the end of the first attempt to when the second is due.
sub first_delay
{
	my ($endpoint) = @_;

	wait_for_status($endpoint, 'pending');
	return $t->sql("select extract(epoch from next_attempt_at - (started_at + duration))
		from webhook.delivery d
		join webhook.attempt a using (event_id, endpoint_id)
		where endpoint_id = $endpoint and attempt = 1");
}

sub delay_after
{
	my ($url, $schedule) = @_;
	my ($endpoint, $organization) = lonely($url, retry_schedule => "'{$schedule}'");

	$t->emit(organization => $organization);
	return first_delay($endpoint);
}

# retry_after_in_seconds
my $delay = delay_after('/retry-after/120/429', '10ms');
cmp_ok($delay, '>=', 120, '429 with Retry-After: not earlier');
cmp_ok($delay, '<', 121, 'and not much later');
$delay = delay_after('/retry-after/120/503', '10ms');
cmp_ok($delay, '>=', 120, '503 with Retry-After: not earlier');

# retry_after_as_a_date
my $date = strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 300));
$delay = delay_after('/retry-after/' . $date =~ s/ /%20/gr . '/503', '10ms');
cmp_ok($delay, '>', 290, 'Retry-After as a date: until then');
cmp_ok($delay, '<=', 301, 'and not longer');

# retry_after_only_lengthens
$delay = delay_after('/retry-after/1/503', '1h');
cmp_ok($delay, '>=', 3600, 'a shorter Retry-After shortens nothing');
cmp_ok($delay, '<', 3602, 'and is not added');

# retry_after_is_capped
$delay = delay_after('/retry-after/99999999/503', '10ms');
cmp_ok($delay, '>=', 86400, 'Retry-After is honoured for a day');
cmp_ok($delay, '<', 86402, 'and no longer');

# retry_after_counts_with_429_and_503_only
$delay = delay_after('/retry-after/120/500', '1s');
cmp_ok($delay, '<', 3, 'Retry-After of a 500 is ignored');

# the_rate_is_kept: as the receiver sees it.
my ($endpoint, $organization) = lonely('/ok/rate', rate_limit => 20);
emit_many(41, $organization);
my @at = map { $_->{monotonic} } $t->wait_for_journal(41, qr{^/ok/rate$});
@at = sort { $a <=> $b } @at;
cmp_ok($at[40] - $at[0], '>=', 1.9, 'a rate limit of 20: 41 requests take 2 s');
cmp_ok($at[40] - $at[0], '<', 10, 'and not much longer');
my $most = 0;
for my $first (0 .. $#at)
{
	my $within = grep { $_ >= $at[$first] && $_ < $at[$first] + 1 } @at;

	$most = $within if $within > $most;
}
cmp_ok($most, '<=', 22, 'no second sees more than its share');

# others_do_not_wait_for_a_limit
my ($slow, $slow_organization) = lonely('/ok/slow', rate_limit => 0.01);
emit_many(5, $slow_organization);
my $fast = $t->endpoint('/ok/fast', organization => $slow_organization);
$t->emit(organization => $slow_organization);
$t->wait_for_journal(1, qr{^/ok/fast$});
is(scalar($t->receiver->journal(qr{^/ok/slow$})), 1,
	'one request of a hundred seconds has been made, and others flow');

# a_limit_that_is_raised_counts_at_once
$t->sql("update webhook.endpoint set rate_limit = null where id = $slow");
$t->wait_for_journal(6, qr{^/ok/slow$});
pass('without the limit what waited flows');

# so_many_requests_at_once
($endpoint, $organization) = lonely('/delay/200', max_in_flight => 2);
emit_many(9, $organization);
@at = map { $_->{monotonic} } $t->wait_for_journal(9, qr{^/delay/200$});
@at = sort { $a <=> $b } @at;
is(scalar(grep { $at[$_ + 2] - $at[$_] < 0.2 } 0 .. $#at - 2), 0,
	'max_in_flight = 2: never three at once');
cmp_ok((grep { $at[$_ + 1] - $at[$_] < 0.15 } 0 .. $#at - 1), '>=', 1,
	'but two');

# no_more_than_it_has_files: 200 are PostgreSQL's.
SKIP:
{
	my ($pid) = slurp_file($t->node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	skip 'no prlimit here', 3
	  if system("prlimit --pid $pid --nofile=240: 2>/dev/null") != 0;
	$t->configure('webhook.max_in_flight_per_endpoint = 500');
	$t->sql('select pg_terminate_backend(pid, 10000) from webhook.status');
	$t->wait_for_workers;
	($endpoint, $organization) = lonely('/delay/200?files');
	emit_many(600, $organization);
	@at = sort { $a <=> $b } map { $_->{monotonic} } $t->wait_for_journal(600, qr{files$});
	is(scalar(grep { $at[$_ + 40] - $at[$_] < 0.2 } 0 .. $#at - 40), 0,
		'a process that may have 240 files: never more than forty at once');
	wait_for_status($endpoint, 'succeeded', 600);
	is($t->sql("select count(*) from webhook.attempt where endpoint_id = $endpoint"),
		600, 'and no attempt failed');

	# also counting the connections that nobody uses
	system("prlimit --pid $pid --nofile=600:");
	$t->configure('webhook.allow_http = on');
	$t->sql('select pg_terminate_backend(pid, 10000) from webhook.status');
	$t->wait_for_workers;
	my $port = Webhook::Receiver->new(plain => 1, address => '::')->{port};
	my $failed = "from webhook.attempt where url ~ '^http:' and outcome is distinct from 'succeeded'";
	for my $net (1, 2)
	{
		$t->sql("select webhook.set_organization('net_$net', 'x');
			select webhook.create_endpoint('net_$net', format('http://127.$net.%s.%s:$port/delay/300', n / 200, 1 + n % 200))
			  from generate_series(1, 390) n");
		$t->emit(organization => "net_$net");
		$t->wait_for_sql("select count(*) >= 390 * $net from webhook.attempt where url ~ '^http:'", undef, 60);
	}
	is($t->sql("select count(*), coalesce(min(error), 'none') $failed"), '0|none',
		'a connection that nobody uses makes room for one that is needed');
	$t->configure('webhook.allow_http = off');
	$t->node->restart;
}

# limits_are_checked
like($t->sql_error("update webhook.endpoint set rate_limit = 0 where id = $slow"),
	qr/^23514/, 'a rate limit must be positive');
like($t->sql_error("update webhook.endpoint set max_in_flight = 0 where id = $slow"),
	qr/^23514/, 'and so must max_in_flight');

$t->sql('delete from webhook.endpoint');
$t->wait_until_done;

# Operational events: a listener in the organization, by exact name.
my ($failing, $watched) = lonely('/status/500?failing', retry_schedule => "'{10ms}'");
my $listener = $t->endpoint('/ok/listener', organization => $watched,
	events => "'{webhook.delivery_failed,webhook.endpoint_disabled}'");
my $everything = $t->endpoint('/ok/everything', organization => $watched);
my $elsewhere = $t->endpoint('/ok/elsewhere', organization => 'org_1',
	events => "'{webhook.delivery_failed}'");

# Bodies that a listener has, by their event.
sub told
{
	my ($event, $count) = @_;
	my @bodies = map { JSON::PP::decode_json($_->{body}) }
	  $t->wait_for_journal($count, qr{^/ok/listener$});

	return map { $_->{data} } grep { $_->{event} eq $event } @bodies;
}

# a_delivery_that_failed_is_told
my $event = $t->emit(organization => $watched);
my ($data) = told('webhook.delivery_failed', 1);
is_deeply(
	$data,
	{   event_id => $event,
		event => 'review.completed',
		endpoint_id => $failing,
		url => $t->receiver->url('/status/500?failing'),
		attempts => 2,
		response_status => 500,
		error => 'the receiver answered with status 500',
		error_class => 'http' },
	'webhook.delivery_failed says what failed');
is(scalar($t->receiver->journal(qr{^/ok/everything$})), 1,
	'it is not sent to who did not ask for it by name');
is(scalar($t->receiver->journal(qr{^/ok/elsewhere$})), 0,
	'nor to another organization');
is($t->sql("select count(*) from webhook.event_type where name like 'webhook.%'"),
	0, 'and is no row of the catalogue');

# failures_of_operational_events_are_not_told
my $deaf = $t->endpoint('/status/500?deaf', organization => $watched,
	events => "'{webhook.delivery_failed}'", retry_schedule => "'{}'");
$t->emit(organization => $watched);
wait_for_status($deaf, 'failed');
$t->wait_until_done;
is($t->sql("select count(*) from webhook.event
		where event_type = 'webhook.delivery_failed' and organization_id = '$watched'"),
	2, 'a failed delivery of webhook.delivery_failed makes none');

# a_disabled_endpoint_is_told
$t->sql("update webhook.endpoint set status = 'disabled',
	disabled_reason = 'asked for' where id = $deaf");
($data) = told('webhook.endpoint_disabled', 3);
is_deeply(
	$data,
	{   endpoint_id => $deaf,
		name => undef,
		url => $t->receiver->url('/status/500?deaf'),
		reason => 'asked for' },
	'webhook.endpoint_disabled says which and why');

# gone_is_told
my $gone = $t->endpoint('/gone', organization => $watched);
$t->emit(organization => $watched);
Webhook::wait_until('the news of 410', undef,
	sub { (told('webhook.endpoint_disabled', 3)) == 2 });
my (undef, $second) = told('webhook.endpoint_disabled', 3);
is($second->{reason}, 'the receiver answered 410 Gone', 'so is one by 410');

# gone_without_its_organization: nobody else waits for that.
my ($orphan, $deleted) = lonely('/gone?orphan');
my $bystander = $t->endpoint('/ok/bystander');
$t->sql("begin;
	select webhook.emit('review.completed', '$deleted', '{}');
	set local session_replication_role = replica;
	delete from webhook.organization where id = '$deleted';
	commit;");
$t->wait_for_sql("select status = 'disabled' from webhook.endpoint where id = $orphan");
$t->emit;
$t->wait_for_journal(1, qr{^/ok/bystander$});
pass('an endpoint without its organization is disabled by 410, and others get their events');

# gone_with_many_waiting, some of them for a retry, and with a limit that lets no
# more requests start: they are cancelled piece by piece, for others wait
# meanwhile, and who holds some does not stop that.
my ($crowded, $crowd) = lonely('/gone?many', rate_limit => 0.01);
$t->sql("update webhook.endpoint set status = 'paused' where id = $crowded");
emit_many(3000, $crowd);
$t->wait_for_sql("select count(*) = 3000 from webhook.queue where endpoint_id = $crowded");
$t->sql("update webhook.queue set next_attempt_at = now() + '1 day'
	where endpoint_id = $crowded and get_byte(uuid_send(event_id), 15) % 2 = 0");
my $holder = $t->session;
$holder->query_safe("begin; select count(*) from (select from webhook.queue where endpoint_id = $crowded
	order by next_attempt_at desc limit 600 for update) q");
$t->sql("update webhook.endpoint set status = 'enabled' where id = $crowded");
$t->wait_for_sql("select count(*) = 600 from webhook.queue where endpoint_id = $crowded");
pass('what waited is cancelled but for rows that are locked');
like($t->sql("select string_agg(distinct e.verdict || ': ' || e.explanation, ', ')
	from (select event_id from webhook.queue where endpoint_id = $crowded limit 5) q, webhook.explain(q.event_id) e"),
	qr/^cancelled: the endpoint was disabled$/, 'of which explain() says so, too');
$t->emit;
$t->wait_for_journal(2, qr{^/ok/bystander$});
my ($second_gone, $second_crowd) = lonely('/gone?second', rate_limit => 0.01);
emit_many(50, $second_crowd);
$t->wait_for_sql("select status = 'disabled' from webhook.endpoint where id = $second_gone");
$t->wait_for_sql("select count(*) = 0 from webhook.queue where endpoint_id = $second_gone");
pass('meanwhile others get their events, or an end');
$holder->query_safe('commit');
$holder->quit;
$t->wait_for_sql("select count(*) = 0 from webhook.queue where endpoint_id = $crowded");
is($t->sql("select count(*) from webhook.attempt where endpoint_id = $crowded"),
	3000, 'each is in the log');
cmp_ok($t->sql("select count(distinct xmin::text) from webhook.attempt
		where endpoint_id = $crowded and error = 'the endpoint was disabled'"),
	'>=', 6, 'by several transactions');

# enabled_again_meanwhile
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
	select event_id, endpoint_id, now(), now(), webhook._origin()
	  from webhook.attempt where endpoint_id = $crowded limit 1;
	update webhook.endpoint set status = 'enabled' where id = $crowded");
is($t->sql("select count(*) from webhook.queue where endpoint_id = $crowded"), 0,
	'who is enabled before all is cancelled gets nothing of it');
$t->configure('webhook.enabled = on');

# who_fails_is_written_down_once
$t->wait_until_done;
is($t->sql("select count(*) from webhook.failing where endpoint_id = $failing"),
	1, 'an endpoint that fails is in webhook.failing');
my $since = $t->sql("select since from webhook.failing where endpoint_id = $failing");
$t->emit(organization => $watched);
$t->wait_until_done;
is($t->sql("select since from webhook.failing where endpoint_id = $failing"),
	$since, 'since its first failure');
is($t->sql("select count(*) from webhook.failing where endpoint_id = $everything"),
	0, 'and one that succeeds is not');

# a_success_is_the_end_of_it
my ($moody, $mood) = lonely('/status/500,200', retry_schedule => "'{2s}'");
$t->emit(organization => $mood);
$t->wait_for_sql("select exists (select from webhook.failing where endpoint_id = $moody)");
wait_for_status($moody, 'succeeded');
$t->wait_for_sql("select not exists (select from webhook.failing where endpoint_id = $moody)");
pass('a success ends it');

# failing_for_long_disables: also when a restart was in between.
$t->sql("update webhook.endpoint set url = url || '_again' where id = $failing");
is($t->sql("select count(*) from webhook.failing where endpoint_id = $failing"),
	0, 'another URL is another chance');
$t->emit(organization => $watched);
$t->wait_for_sql("select exists (select from webhook.failing where endpoint_id = $failing)");
$t->wait_until_done;
$t->node->restart;
$t->configure("webhook.disable_after = 1s");
$t->wait_for_workers;
$t->wait_for_sql("select clock_timestamp() - since > '1.1s'
	from webhook.failing where endpoint_id = $failing");
$t->emit(organization => $watched);
$t->wait_for_sql("select status = 'disabled' from webhook.endpoint where id = $failing");
is($t->sql("select disabled_reason from webhook.endpoint where id = $failing"),
	'every attempt failed for 00:00:01', 'webhook.disable_after disables, with the reason');
Webhook::wait_until('the news of it', undef,
	sub { (told('webhook.endpoint_disabled', 3)) == 3 });
pass('which is told');

# enabling_it_is_another_chance
$t->configure("webhook.disable_after = 0");
$t->sql("update webhook.endpoint set status = 'enabled' where id = $failing");
is($t->sql("select count(*) from webhook.failing where endpoint_id = $failing"),
	0, 'enabled again, it starts anew');

# only_its_own_failure_judges_an_endpoint: not that time passes until another fails.
$t->node->append_conf('postgresql.conf', 'webhook.disable_after = 2s');
$t->node->restart;
$t->wait_for_workers;

# One that failed once, so long ago.
sub failing_for_long
{
	my ($url, $schedule) = @_;
	my ($id, $owner) = lonely($url, retry_schedule => "'{$schedule}'");

	$t->emit(organization => $owner);
	$t->wait_for_sql("select exists (select from webhook.failing
		where endpoint_id = $id and clock_timestamp() - since > '2.1s')");
	return ($id, $owner);
}

# Return when all that is to be judged has been.
sub let_another_fail
{
	my ($id, $owner) = lonely('/status/500?another', retry_schedule => "'{}'");

	$t->emit(organization => $owner);
	$t->wait_for_sql("select exists (select from webhook.failing where endpoint_id = $id)");
}

sub status_of
{
	return $t->sql("select status from webhook.endpoint where id = $_[0]");
}

my ($quiet, $silence) = failing_for_long('/status/500?quiet', '');
let_another_fail();
is(status_of($quiet), 'enabled', 'one that is not tried is not disabled');
$t->emit(organization => $silence);
$t->wait_for_sql("select status = 'disabled' from webhook.endpoint where id = $quiet");
pass('its next failure disables it');

$t->sql("update webhook.endpoint set url = url || '_again', status = 'enabled' where id = $quiet");
let_another_fail();
is(status_of($quiet), 'enabled', 'what failed before another chance does not count');

# on_the_wire_at_another_chance: what comes back was sent to the old URL, or before the pause.
my ($moved, $move) = failing_for_long('/delay/1000/500?moved', '');
my ($stopped, $stop) = failing_for_long('/delay/1000/500?stopped', '');
$t->emit(organization => $_) for $move, $stop;
$t->wait_for_journal(2, qr{[?]$_$}) for 'moved', 'stopped';
$t->sql("update webhook.endpoint set url = url || '_again' where id = $moved;
	update webhook.endpoint set status = 'paused' where id = $stopped");
wait_for_status($_, 'failed', 2) for $moved, $stopped;
let_another_fail();
is(status_of($moved), 'enabled', 'a request to the old URL does not count');
is(status_of($stopped), 'paused', 'nor one from before a pause');

my ($paused, $pause) = failing_for_long('/status/500?paused', '1h');
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
emit_many(3, $pause);
let_another_fail();
is(status_of($paused), 'paused', 'one that is paused stays so');
wait_for_status($paused, 'pending', 4);
pass('and so does what waits for it');

done_testing();
