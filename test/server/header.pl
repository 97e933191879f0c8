# Headers of an endpoint's own arrive with each of its requests, and their values
# are shown nowhere.

use strict;
use warnings;
use Test::More;
use Webhook;

my $t = Webhook->new('header', 'webhook.log_headers = all',
	"webhook.retry_schedule = '10ms'");

# Values of a header in the requests to a path.
sub values_of
{
	my ($name, $path) = @_;

	return [
		map {
			my ($field) = grep { lc $_->[0] eq $name } @{ $_->{headers} };
			$field ? $field->[1] : 'none'
		} $t->receiver->journal($path) ];
}

# every_attempt_carries_them
my $failing = $t->endpoint('/status/500,200',
	headers => q('{"Authorization": "Bearer canary-1", "X-Team": "red, \"or\" blue"}'));
$t->endpoint('/ok/plain');
$t->emit;
$t->wait_for_journal(2, qr/status/);
$t->wait_until_done;
is_deeply(values_of('authorization', qr/status/),
	[ 'Bearer canary-1', 'Bearer canary-1' ], 'the first attempt and the retry');
is_deeply(values_of('x-team', qr/status/),
	[ ('red, "or" blue') x 2 ], 'and every header');
is_deeply(values_of('authorization', qr/plain/),
	['none'], 'the other endpoint has none');
my @requests = $t->receiver->journal(qr/status/);
is($_->{signature}, 'valid', 'the request is signed as ever') for @requests;

# a_test_carries_them
my $own = $t->endpoint('/ok/own', headers => q('{"Authorization": "Bearer canary-2"}'));
is($t->sql("select status from webhook.test($own)"), 200, 'a test');
is(values_of('authorization', qr/own/)->[-1],
	'Bearer canary-2', 'carries them as well');

# values_are_masked
is( $t->sql("select count(*) from webhook.attempt where endpoint_id = $failing
		and request_headers like E'%\r\nAuthorization: ***\r\nX-Team: ***\r\n%'"),
	2, 'the log has their names');
is( $t->sql("select count(*) from webhook.attempt where endpoint_id = $own
		and request_headers like E'%\r\nAuthorization: ***\r\n'"),
	1, 'that of a test, too');
is( $t->sql("select count(*) from webhook.attempt a, webhook.delivery_log d
		where a::text || d::text like '%canary%'"),
	0, 'and not their values');

# also_where_a_receiver_sends_them_back
my $echo = $t->attempt_at('/echo', headers => q('{"Authorization": "Bearer canary-echo"}'));
is($echo->{response_body}, 'got ' . '*' x 18 . ', thank you', 'an echo in a body');
like($echo->{response_headers}, qr/X-Echo: \*{18}\r/, 'and in a header are masked');
is($t->sql("select response_body from webhook.test($echo->{endpoint_id})"),
	$echo->{response_body}, 'by a test, too');

# a_change_reaches_the_next_attempt
$t->sql("insert into webhook.endpoint_header values ($own, 'X-Team', 'red')");
$t->emit;
$t->wait_for_journal(2, qr/own/);
is(values_of('x-team', qr/own/)->[-1], 'red', 'a new one is sent');
$t->sql("update webhook.endpoint_header set value = 'Bearer canary-3'
	where endpoint_id = $own and name = 'Authorization';
	delete from webhook.endpoint_header where endpoint_id = $own and name = 'X-Team';");
$t->emit;
$t->wait_for_journal(3, qr/own/);
is(values_of('authorization', qr/own/)->[-1], 'Bearer canary-3', 'a change');
is(values_of('x-team', qr/own/)->[-1], 'none', 'and a removal are seen');

# what_was_sent_is_masked, although another value has been loaded since
my $changed = $t->endpoint('/echo/3000', retry_schedule => "'{}'",
	events => "'{team.member_added}'", headers => q('{"Authorization": "Bearer canary-old"}'));
my $first = $t->emit(event => 'team.member_added');
$t->wait_for_journal(1, qr/echo.3000/);
$t->sql("update webhook.endpoint_header set value = 'Bearer canary-new'
	where endpoint_id = $changed");
$t->emit(event => 'team.member_added');
$t->wait_for_journal(2, qr/echo.3000/);
is_deeply(values_of('authorization', qr/echo.3000/),
	[ 'Bearer canary-old', 'Bearer canary-new' ], 'a value is changed while a request is on the wire');
$t->wait_until_done;
is( $t->sql("select string_agg(format('%s %s', response_body,
			response_headers like '%X-Echo: ' || repeat('*', 17) || E'\r%'), ', ')
		from webhook.attempt where endpoint_id = $changed"),
	join(', ', ('got ' . '*' x 17 . ', thank you t') x 2), 'each answer is masked as its request was sent');

# long_ones_arrive
my $long = 'x' x 4096;
$t->sql("insert into webhook.endpoint_header values ($own, 'X-Long', '$long')");
$t->emit;
$t->wait_until_done;
ok(values_of('x-long', qr/own/)->[-1] eq $long, 'a value of 4096 characters');

# what_became_reserved_is_not_sent
$t->configure("webhook.header_prefix = 'Authorization'");
$t->wait_for_sql("select current_setting('webhook.header_prefix') = 'Authorization'");
is($t->sql("select status from webhook.test($own)"), 200, 'with another prefix');
is(values_of('authorization', qr/own/)->[-1],
	'none', 'a header that it makes reserved is left out');

done_testing();
