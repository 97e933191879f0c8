# A committed event arrives, once, signed, byte for byte; nothing else does.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('deliver');
my $version = $t->sql(
	"select extversion from pg_extension where extname = 'webhook'");

# a_committed_event_arrives_signed
my $endpoint = $t->endpoint('/ok');
my $data = '{ "verdict" : "APPROVE", "note":"Größe ✓ \u0041" }';
my $id = $t->emit(data => $data);
my ($request) = $t->wait_for_journal(1);

is($request->{id}, $id, 'webhook-id is the event id that emit returned');
is($request->{method}, 'POST', 'the method is POST');
is($request->{signature}, 'valid', 'the receiver finds the signature valid');
is_deeply($request->{signers}, { own => [0], standard => [0] },
	'both families are signed with the secret of the endpoint');

# the_body_is_the_stored_payload
my $payload = $t->sql("select payload from webhook.event where id = '$id'");
utf8::decode($payload);
my ($sent_at) = $payload =~ /"timestamp":"([^"]+)"/;
utf8::decode($data);
is($request->{body}, $payload, 'the body is webhook.event.payload');
is( $payload,
	qq({"event":"review.completed","timestamp":"$sent_at",)
	  . qq("organization":{"id":"org_1","name":"Organization One"},)
	  . qq("data":$data}),
	'four keys in this order, data byte for byte');
like($sent_at, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
	'the timestamp is UTC in whole seconds');

# the_request_carries_exactly_these_headers
my %header = map { $_->[0] => $_->[1] } @{ $request->{headers} };
is_deeply(
	[ sort map { $_->[0] } @{ $request->{headers} } ],
	[   sort qw(Host User-Agent Content-Type Content-Length X-Jasper-Event
		  X-Jasper-Event-Id X-Jasper-Attempt X-Jasper-Signature webhook-id
		  webhook-timestamp webhook-signature)
	],
	'exactly the headers of the contract, each once');
is($header{'Content-Type'}, 'application/json', 'Content-Type');
is($header{'User-Agent'}, "Jasper-Webhooks/$version", 'User-Agent');
is($header{'X-Jasper-Event'}, 'review.completed', 'X-Jasper-Event');
is($header{'X-Jasper-Event-Id'}, $id, 'X-Jasper-Event-Id');
is($header{'X-Jasper-Attempt'}, '1', 'X-Jasper-Attempt');
like($header{'X-Jasper-Signature'}, qr/^sha256=[0-9a-f]{64}$/,
	'X-Jasper-Signature');
cmp_ok(abs($header{'webhook-timestamp'} - $request->{time}),
	'<', 2, 'webhook-timestamp is the time of the attempt');

# a_success_is_logged
$t->wait_until_done;
my ($row) = $t->rows(
	"select *, extract(epoch from duration) as took from webhook.attempt");
is($row->{attempt}, 1, 'the log has the attempt');
is($row->{event_id}, $id, 'of the event');
is($row->{endpoint_id}, $endpoint, 'at the endpoint');
is($row->{url}, $t->receiver->url('/ok'), 'with the URL');
is($row->{response_status}, 200, 'its status');
is($row->{response_body}, 'ok', 'its body');
is($row->{outcome}, 'succeeded', 'its outcome');
is($row->{error}, undef, 'no error');
is($row->{request_headers}, undef, 'and no headers, as it succeeded');
cmp_ok($row->{took}, '>', 0, 'its duration');
cmp_ok($row->{took}, '<', 5, 'which is plausible');
is( $t->sql(
		'select status, attempts, response_status, url, completed_at is not null
		 from webhook.delivery_log'),
	'succeeded|1|200|' . $t->receiver->url('/ok') . '|t',
	'webhook.delivery_log shows it');

# rolled_back_transactions_send_nothing: the event committed last arrives
# alone, so what went before would have arrived as well.
$t->sql("begin; select webhook.emit('review.completed', 'org_1', '{\"n\":1}');
	rollback;
	begin;
	select webhook.emit('review.completed', 'org_1', '{\"n\":2}');
	savepoint s;
	select webhook.emit('review.completed', 'org_1', '{\"n\":3}');
	rollback to s;
	savepoint s;
	select webhook.emit('review.completed', 'org_1', '{\"n\":4}');
	release s;
	commit;");
$t->wait_for_journal(3);
$t->emit(data => '{"n":5}');
$t->wait_for_journal(4);
$t->wait_until_done;
is_deeply(
	[ sort map { $_->{body} =~ /"n":(\d)/ ? $1 : () } $t->receiver->journal ],
	[ 2, 4, 5 ],
	'rolled back transactions and savepoints send nothing, the rest arrives');

# connections_are_used_again
my @requests = $t->receiver->journal;
my %connections = map { $_->{connection} => 1 } @requests[0 .. 2];
ok($connections{ $requests[3]{connection} },
	'a later request uses a connection that is open');
$t->sql("select webhook.emit('review.completed', 'org_1', '{}')
	from generate_series(1, 300)");
$t->wait_for_journal(304);
%connections = map { $_->{connection} => 1 } $t->receiver->journal;
cmp_ok(scalar keys %connections,
	'<=', 64, 'a burst uses no more connections than places at an endpoint');

# logged_request_headers_are_those_of_the_wire
$t->endpoint('/status/503?part=x', events => "'{team.member_added}'",
	retry_schedule => "'{}'");
$t->sql("update webhook.endpoint set events = '{review.*}'
	where url like '%/ok'");
$t->emit(event => 'team.member_added');
($request) = $t->wait_for_journal(1, qr/status/);
$t->wait_until_done;
($row) = $t->rows('select * from webhook.attempt where response_status = 503');
is( $row->{request_headers},
	"POST /status/503?part=x HTTP/1.1\r\n"
	  . join('', map { "$_->[0]: $_->[1]\r\n" } @{ $request->{headers} }),
	'request_headers of a failed attempt is what was on the wire');
like($row->{response_headers}, qr{^HTTP/1\.1 503 .*\r\nContent-Length: 2\r\n}s,
	'response_headers is what came back');

# log_headers_all_logs_headers_of_successes_too
$t->configure('webhook.log_headers = all');
Webhook::wait_until(
	'headers of a success',
	20,
	sub {
		my $id = $t->emit;
		$t->wait_until_done;
		return $t->sql("select request_headers is not null and response_headers
			is not null from webhook.attempt where event_id = '$id'") eq 't';
	});
pass('with webhook.log_headers = all successes log their headers');

# several_prefixes_each_carry_the_signature
$t->configure("webhook.header_prefix = 'X-Jasper, X-Revio'");
($request) = Webhook::wait_until(
	'both prefixes',
	20,
	sub {
		my $id = $t->emit;
		$t->wait_until_done;
		my ($last) = grep { $_->{id} eq $id } $t->receiver->journal;
		return (grep { $_->[0] eq 'X-Revio-Signature' } @{ $last->{headers} })
		  ? $last
		  : undef;
	});
is(scalar(@{ $request->{signers}{own} }), 2,
	'two prefixes: the signature under each');
is($request->{signature}, 'valid', 'and both are valid');
is_deeply([ grep { /^X-.*-Event$/ } map { $_->[0] } @{ $request->{headers} } ],
	['X-Jasper-Event'], 'other headers are under the first prefix only');

# an_event_has_the_name_of_its_moment
my $holder = $t->session;
my $emitter = $t->session;
my $emit = q{webhook.emit('review.completed', 'org_1', '{"renamed": true}')};
$holder->query_safe('select pg_advisory_lock(1)');
$emitter->query_until(qr/asked/, "\\echo asked\nselect $emit, pg_advisory_lock(1), $emit;\n");
$t->wait_for_sql("select count(*) = 1 from pg_stat_activity where wait_event = 'advisory'");
$t->sql("select webhook.set_organization('org_1', 'Renamed')");
$holder->query_safe('select pg_advisory_unlock(1)');
$emitter->query_safe('select 1');
is( $t->sql(q{select string_agg(payload::json #>> '{organization,name}', ', ' order by id)
		from webhook.event where payload::jsonb #> '{data,renamed}' is not null}),
	'Organization One, Renamed', 'a name that changes while a statement emits');
$_->quit for $holder, $emitter;

done_testing();
