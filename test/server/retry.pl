# What fails is tried again on schedule, or not, and is logged by its class.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('retry');
my $max_late = 0.5;

# The attempts of an event, in order, once its delivery has ended.
sub attempts_of
{
	my ($event) = @_;

	$t->wait_for_sql(
		"select exists (select from webhook.delivery
		  where event_id = '$event' and completed_at is not null)");
	return $t->rows(
		"select attempt, response_status, error, error_class, outcome,
			extract(epoch from started_at) as started,
			extract(epoch from duration) as took
		 from webhook.attempt where event_id = '$event' order by attempt");
}

# An organization of its own for each endpoint: events reach it alone.
my $organizations = 0;

sub emit_to
{
	my ($url, %arguments) = @_;
	my $organization = 'only_' . ++$organizations;

	$arguments{retry_schedule} //= "'{}'";
	$t->sql("select webhook.set_organization('$organization', 'x')");
	my $endpoint =
	  $t->endpoint($url, organization => $organization, %arguments);
	return ($t->emit(organization => $organization), $endpoint);
}

# the_default_schedule_is_1_10_60_seconds
is($t->sql('select webhook._retry_schedule()'),
	'{00:00:01,00:00:10,00:01:00}',
	'the default schedule has three retries, after 1 s, 10 s and 60 s');

# retries_follow_the_schedule
my @schedule = (0.3, 0.6, 0.2);
my ($event) = emit_to('/status/500,503,500,200',
	retry_schedule => "'{300ms,600ms,200ms}'");
my @attempts = attempts_of($event);
is_deeply([ map { $_->{response_status} } @attempts ],
	[ 500, 503, 500, 200 ], 'retries until it succeeds');
is_deeply([ map { $_->{error_class} } @attempts ],
	[ 'http', 'http', 'http', undef ], 'an answer other than 2xx is http');
is_deeply([ map { $_->{outcome} } @attempts ],
	[ undef, undef, undef, 'succeeded' ], 'the last has the outcome');
my @requests = $t->receiver->journal(qr/500,503/);
is_deeply([ map { $_->{attempt} } @requests ],
	[ 1, 2, 3, 4 ], 'requests carry the number of the attempt');
is(scalar(grep { $_->{id} eq $event } @requests), 4, 'all with the same id');
is(scalar(grep { $_->{signature} eq 'valid' } @requests),
	4, 'each signed for its own time');
is(scalar(keys %{ { map { $_->{sha256} => 1 } @requests } }),
	1, 'all with the same bytes');
for my $n (0 .. 2)
{
	# A delay runs from the end of the failed attempt, and by the log; the
	# receiver's clock starts it a little earlier.
	my $end = $attempts[$n]{started} + $attempts[$n]{took};
	my $gap = $attempts[$n + 1]{started} - $end;
	my $seen = $requests[$n + 1]{monotonic} - $requests[$n]{monotonic};

	cmp_ok($gap, '>=', $schedule[$n], "retry $n is not early");
	cmp_ok($gap, '<', $schedule[$n] + $max_late, "retry $n is not late");
	cmp_ok($seen, '>=', $schedule[$n], "retry $n: so says the receiver");
}

# a_delivery_fails_when_the_schedule_is_used_up
my $endpoint;
($event, $endpoint) =
  emit_to('/status/500', retry_schedule => "'{10ms,20ms,30ms}'");
@attempts = attempts_of($event);
is(scalar @attempts, 4, 'three retries: four attempts');
is($attempts[3]{outcome}, 'failed', 'then it has failed');
is( $t->sql("select status, attempts, next_attempt_at is null
		from webhook.delivery where event_id = '$event'"),
	'failed|4|t', 'and webhook.delivery says so');
is( $t->sql("select status from webhook.endpoint where id = $endpoint"),
	'enabled', 'the endpoint stays enabled');

# the_setting_is_the_schedule_of_endpoints_without_one
$t->configure("webhook.retry_schedule = '50ms, 50ms'");
$t->wait_for_sql("select webhook._retry_schedule() = '{50ms,50ms}'");
($event) = Webhook::wait_until(
	'two retries',
	20,
	sub {
		my ($event) = emit_to('/status/500', retry_schedule => 'null');
		return attempts_of($event) == 3;
	});
pass('webhook.retry_schedule holds where an endpoint has none');

# an_empty_schedule_means_one_attempt
($event) = emit_to('/status/500');
is(scalar(attempts_of($event)), 1, 'an empty schedule: one attempt');

# gone_disables_the_endpoint
($event, $endpoint) = emit_to('/gone', retry_schedule => "'{10ms}'");
@attempts = attempts_of($event);
is(scalar @attempts, 1, '410 Gone: no retry');
is($attempts[0]{outcome}, 'failed', 'failed at once');
is( $t->sql("select status, disabled_at is not null, disabled_reason
		from webhook.endpoint where id = $endpoint"),
	'disabled|t|the receiver answered 410 Gone',
	'and the endpoint is disabled, with the reason');

# redirects_are_not_followed
my $target = $t->receiver->url('/ok/target') =~ s/:/%3A/gr;
($event) = emit_to("/redirect/302?to=$target");
@attempts = attempts_of($event);
is($attempts[0]{response_status}, 302, 'a redirect is an answer');
is($attempts[0]{error_class}, 'http', 'which has failed');
is(scalar($t->receiver->journal(qr{^/ok/target})), 0, 'nobody follows it');

# Failures by their class: one attempt each.
sub fails_with
{
	my ($name, $class, $error, $url, %arguments) = @_;
	my ($event) = emit_to($url, %arguments);
	my ($attempt) = attempts_of($event);

	is($attempt->{error_class}, $class, "$name: $class");
	like($attempt->{error}, $error, "$name: the error says what happened");
	return $attempt;
}

# a_timeout_per_endpoint_ends_the_attempt
for my $where ('answer', 'headers', 'body')
{
	my $attempt = fails_with("hang in $where", 'timeout', qr/./,
		"/hang/$where", timeout => "'300ms'");
	cmp_ok($attempt->{took}, '>=', 0.3, "hang in $where: not before the timeout");
	cmp_ok($attempt->{took}, '<', 0.3 + $max_late, "hang in $where: soon after");
}
my $silent = Webhook::start_receiver('tls-hang' => 1);
my $attempt = fails_with('hang in TLS', 'timeout', qr/./, $silent->url('/ok'),
	timeout => "'300ms'");
cmp_ok($attempt->{took}, '<', 0.3 + $max_late,
	'hang in TLS: the timeout covers it');
$attempt = fails_with('drip', 'timeout', qr/./, '/drip/1000',
	timeout => "'300ms'");
cmp_ok($attempt->{took}, '<', 0.3 + $max_late,
	'drip: bytes that trickle in do not prolong it');

# failures_of_the_protocol
fails_with('reset', 'protocol', qr/./, '/reset');
fails_with('close', 'protocol', qr/./, '/close');
fails_with('nonsense', 'protocol', qr/./, '/malformed/nonsense');
is(scalar($t->receiver->journal(qr{^/(reset|close)$})),
	2, 'a reset or closed connection is not tried again behind our back');

# a_connection_that_served_others_breaks: libcurl would send once more.
for my $how ('reset', 'close')
{
	my ($good) = emit_to("/ok?$how");

	attempts_of($good);
	fails_with("$how on a used connection", 'protocol', qr/./, "/$how?used");
}
is(scalar($t->receiver->journal(qr{^/\w+\?used$})),
	2, 'an attempt is one request, on a used connection too');

# a_retry_opens_its_own_connection: those that are open may all have lost the
# receiver, as behind a firewall that was restarted.
my $lost = $t->endpoint('/once/200', timeout => "'1s'", events => "'{team.member_added}'",
	retry_schedule => "'{10ms,10ms}'");
$t->sql("select count(webhook.emit('team.member_added', 'org_1', '{}'))
	from generate_series(1, 4)");
$t->wait_until_done;
my %open = map { $_->{connection} => 1 } $t->receiver->journal(qr{^/once});
is(scalar keys %open, 4, 'four connections are open');
my $late = $t->emit(event => 'team.member_added');
$t->wait_until_done;
is( $t->sql("select string_agg(coalesce(error_class, 'delivered'), ' ' order by attempt)
		from webhook.attempt where event_id = '$late' and endpoint_id = $lost"),
	'timeout delivered', 'a retry does not try the next of them');

# who_answers_with_errors keeps its connection: a handshake for each is dear
my ($again) = emit_to('/status/500?kept', retry_schedule => "'{10ms,10ms,10ms}'");
attempts_of($again);
%open = map { $_->{connection} => 1 } $t->receiver->journal(qr/kept/);
is(scalar(keys %open), 1, 'an endpoint that answers with errors keeps its connection');

# failures_before_a_connection
fails_with('refused', 'connect', qr/./,
	'https://127.0.0.1:' . Webhook::refused_port() . '/');
fails_with('unknown host', 'dns', qr/./, 'https://no-such-host.invalid/');

# failures_of_tls
for my $certificate ('expired', 'notyet', 'wrongname', 'selfsigned')
{
	my $receiver = Webhook::start_receiver(cert => $certificate);

	fails_with($certificate, 'tls', qr/./, $receiver->url('/ok'));
	is(scalar($receiver->journal), 0, "$certificate: nothing was sent");
}
my $old = Webhook::start_receiver('tls-max' => '1.1');
fails_with('TLS 1.1', 'tls', qr/./, $old->url('/ok'));
my $aborting = Webhook::start_receiver('tls-abort' => 1);
fails_with('reset in the handshake', 'tls', qr/./, $aborting->url('/ok'));

# nothing_is_sent_to_an_endpoint_of_another_organization: as if its id had been
# used again while a worker took the event for the former one.
($event) = emit_to('/ok/former');
my (undef, $latter) = emit_to('/ok/latter');
attempts_of($event);
$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
	values ('$event', $latter, now(), now(), webhook._origin())");
$t->wait_for_sql("select exists (select from webhook.attempt
	where event_id = '$event' and endpoint_id = $latter)");
is($t->sql("select outcome, organization_id, url, error from webhook.attempt
		where event_id = '$event' and endpoint_id = $latter"),
	'cancelled|only_' . ($organizations - 1) . '||the endpoint was deleted',
	'to an endpoint of another organization: cancelled');
is(scalar($t->wait_for_journal(1, qr/latter/)), 1, 'and not sent');

# not_public_addresses_are_blocked: the name is checked when it is dialled.
my $literal = $t->endpoint('/ok/literal');
$t->configure("webhook.allow_addresses = ''");
$t->wait_for_sql("select current_setting('webhook.allow_addresses') = ''");
my $local = $t->receiver->url('/ok/blocked', 'localhost');
Webhook::wait_until(
	'the worker to see the reload',
	20,
	sub {
		my ($event) = emit_to($local);
		($attempt) = attempts_of($event);
		return $attempt->{error_class};
	});
is($attempt->{error_class}, 'blocked', 'an address that is not public: blocked');
is($attempt->{error}, 'address is not allowed', 'and the error says no more');

# what_ends_before_it_is_sent_is_logged
$t->emit;
$t->wait_for_sql("select exists (select from webhook.attempt
	where endpoint_id = $literal and error_class = 'blocked' and request_headers is null)");
pass('an address in the URL that is not allowed any more: blocked, without headers');
is(scalar($t->receiver->journal(qr/literal/)), 0, 'and nothing was sent');

done_testing();
