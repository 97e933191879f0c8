# webhook.preview: what would be sent, and that its curl command sends it.
# And webhook.forget beside a worker that is at work.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('preview');
my $endpoint = $t->endpoint('/ok/{a,b}[1-2]?q=it%27s', timeout => "'20 s'");

# What a shell could take for its own.
my $hostile = q({"a": "it's $HOME `id` \"$(id)\" \\\\ !! ; & | > *",)
  . qq(\n"b":\t"\x{c5}\x{bd}lu\x{c5}\x{a5} \x{f0}\x{9f}\x{90}\x{8e}"});

sub preview
{
	my ($arguments) = @_;
	my ($row) = $t->rows("select * from webhook.preview($arguments)");

	return $row;
}

# nothing_is_recorded_or_sent
my $shown = preview("$endpoint, 'review.completed', '{\"n\":1}'");
like($shown->{headers},
	qr{^POST /ok/\{a,b\}\[1-2\]\?q=it%27s HTTP/1.1\r\nHost: 127.0.0.1:\d+\r\nUser-Agent: Jasper-Webhooks/[\d.]+\r\n},
	'headers begin with the request line');
like($shown->{headers},
	qr/^X-Jasper-Attempt: 1\r\nX-Jasper-Signature: sha256=[0-9a-f]{64}\r$/m,
	'and are signed');
like($shown->{body}, qr/^\{"event":"review.completed",.*"data":\{"n":1\}\}$/,
	'the body is the payload');
is($t->sql('select count(*) from webhook.event'), 0, 'nothing is recorded');
is(scalar($t->receiver->journal), 0, 'nothing is sent');
is( $t->sql("select webhook.verify(body, substring(headers from 'X-Jasper-Signature: (\\S+)\r'),
		webhook.secret($endpoint)) from webhook.preview($endpoint)"),
	't', 'the signature is one for the body');

# all_three_types_of_data
for my $type ('text', 'json', 'jsonb')
{
	like(preview("$endpoint, 'review.completed', '{\"n\": 1}'::$type")->{body},
		qr/"data":\{"n": 1\}\}$/, "data as $type");
}
like(preview("$endpoint, 'team.member_added'")->{body},
	qr/"event":"team.member_added".*usr_xyz789/,
	'without data it is the example of the event type');
like(preview($endpoint)->{body}, qr/"event":"webhook.test"/,
	'without an event it is a test');

# what_is_refused
like($t->sql_error('select webhook.preview(0)'), qr/^P0002/, 'an unknown endpoint');
like($t->sql_error("select webhook.preview($endpoint, 'review.*')"),
	qr/^22023/, 'a pattern of events');
like($t->sql_error("select webhook.preview($endpoint, null)"), qr/^22004/, 'no event');
like($t->sql_error("select webhook.preview($endpoint, 'review.completd')"),
	qr/^22023/, 'an unknown event');
like($t->sql_error("select webhook.preview($endpoint, 'review.completed', '[]')"),
	qr/^22023/, 'data that is no object');
like($t->sql_error("select webhook.preview($endpoint, 'review.completed', '{')"),
	qr/^22P02/, 'malformed data');

# the_curl_command_sends_the_same
SKIP:
{
	skip 'no curl here', 4 if system('curl --version >/dev/null 2>&1') != 0;
	my $quoted = $hostile =~ s/'/''/gr;
	my $preview = preview("$endpoint, 'review.completed', '$quoted'");
	my $ca = $t->sql('show webhook.ca_file');
	my ($answer, $complaint);

	utf8::encode($_) for values %$preview;
	IPC::Run::run([ 'sh', '-s' ], '<', \"$preview->{curl} --silent --show-error --cacert $ca",
		'>', \$answer, '2>', \$complaint);
	is("$answer$complaint", 'ok', 'the curl command runs in a shell');
	my ($request) = $t->wait_for_journal(1);
	is($request->{signature}, 'valid', 'its signatures are valid');
	utf8::encode(my $body = $request->{body});
	is($body, $preview->{body}, 'its body is the one shown');
	my $sent = "POST $request->{path} HTTP/1.1\r\n"
	  . join '', map { "$_->[0]: $_->[1]\r\n" } @{ $request->{headers} };
	is( join("\n", sort split /\r\n/, $sent),
		join("\n", sort split /\r\n/, $preview->{headers}),
		'its headers are those shown, and no others');
}

# headers_of_the_endpoint_are_masked
my $own = $t->endpoint('/ok/own', headers => q('{"Authorization": "Bearer canary"}'));
is( $t->sql("select headers like E'%\r\nAuthorization: ***\r\n%', curl like '%''Authorization: ***''%',
		p::text like '%canary%' from webhook.preview($own) p"),
	't|t|f', 'values of headers are masked');
$t->sql("delete from webhook.endpoint where id = $own");

# forgetting_beside_a_worker
my $waiting = $t->endpoint('/status/500', retry_schedule => "'{1h}'");
my $hanging = $t->endpoint('/hang', timeout => "'2 s'", retry_schedule => "'{10ms,10ms}'");
my $id = $t->emit(data => '{"email":"jane@example.com"}');
$t->wait_for_sql("select count(*) = 3 from webhook.explain('$id')
	where verdict in ('delivered', 'waiting', 'sending')
	and explanation !~ 'taken' and (verdict <> 'waiting' or explanation ~ 'attempt 2 is due at')");
is($t->sql("begin; select webhook.forget(event_id => '$id'); rollback;
		select payload::text like '%jane%' from webhook.event where id = '$id'"),
	"1\nt", 'forget belongs to the transaction of the caller');
like($t->sql_error("select webhook.forget(event_id => '$id') / 0"), qr/^22012/,
	'whatever it ends with');
$t->sql("select webhook.forget(event_id => '$id')");
$t->wait_until_done;
is( $t->sql("select string_agg(status || ' ' || attempts, ', ' order by endpoint_id)
		from webhook.delivery where event_id = '$id'"),
	'succeeded 1, cancelled 1, cancelled 1',
	'what was delivered stays so, what waits is cancelled, what was on the wire is not retried');
my @bodies = map { $_->{body} } grep { $_->{id} eq $id } $t->receiver->journal;
is(scalar(grep { $_ !~ /jane/ } @bodies), 0, 'the redacted payload was sent to nobody');

# what_is_redelivered_all_the_same_is_not_sent
my $sent = @{ [ $t->receiver->journal ] };
$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin, attempts)
	values ('$id', $waiting, now(), now(), webhook._origin(), 30)");
$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$id'
	and error = 'the payload was forgotten' and error_class = 'internal')");
is(@{ [ $t->receiver->journal ] }, $sent, 'a worker does not send what was forgotten');

done_testing();
