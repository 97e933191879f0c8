# Nobody reaches an address that is not allowed through an endpoint: the vectors
# of test/vectors, at creation, at the first attempt, and after the answer of
# the name server has changed.  All in a network without a way out, where a
# receiver listens on every address, and the kernel counts the packets: what
# neither sees did not happen.

use strict;
use warnings;
use Namespace;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $public = '93.184.216.34';
my @vectors = read_vectors();

# Environment variables of the server that would change whom libcurl talks to,
# or who can read it.
my $home = PostgreSQL::Test::Utils::tempdir();
append_to_file("$home/.netrc", "default login user password from-netrc\n");
append_to_file("$home/.curlrc", "proxy = http://127.0.0.1:3128\ninsecure\n");
append_to_file(
	"$home/openssl.cnf", "openssl_conf = all\n[all]\nssl_conf = tls\n"
	  . "[tls]\nsystem_default = weak\n[weak]\nMinProtocol = TLSv1\n"
	  . "CipherString = ALL:\@SECLEVEL=0\nVerifyMode = None\n");
my %hostile = (
	(map { ($_ => 'http://127.0.0.1:3128', uc $_ => 'http://127.0.0.1:3128') }
		  'http_proxy', 'https_proxy', 'all_proxy'),
	HOME => $home,
	CURL_HOME => $home,
	NETRC => "$home/.netrc",
	SSL_CERT_FILE => "$home/.netrc",
	SSL_CERT_DIR => $home,
	CURL_CA_BUNDLE => "$home/.netrc",
	SSLKEYLOGFILE => "$home/keys",
	OPENSSL_CONF => "$home/openssl.cnf");
my $t = Webhook->new('ssrf', "webhook.allow_addresses = ''",
	"webhook.retry_schedule = ''", 'webhook.timeout = 10s');
{
	local @ENV{ keys %hostile } = values %hostile;
	$t->node->restart;
}
my $seen = "$home/connections";
my $receiver = Webhook::start_receiver(
	address => '::', port => 443, connections => $seen);
my $old_tls = Webhook::start_receiver(
	address => '::', port => 8444, 'tls-max' => '1.1');
my $self_signed = Webhook::start_receiver(
	address => '::', port => 8445, cert => 'selfsigned');
start_catchers(80, 3128, 8443);
$t->{receiver} = $receiver;

sub read_vectors
{
	my @rows;

	open my $file, '<', "$FindBin::RealBin/../vectors/ssrf-vectors.tsv" or die $!;
	while (my $line = <$file>)
	{
		my %row;

		next if $line =~ /^#/;
		chomp $line;
		@row{qw(id kind input dns policy verdict stage why)} = split /\t/, $line;
		push @rows, \%row;
	}
	return @rows;
}

sub vectors_of { return grep { $_->{kind} eq $_[0] } @vectors }

sub start_catchers
{
	for my $port (@_)
	{
		Webhook::start_receiver(
			address => '::', port => $port, plain => 1, connections => $seen);
	}
}

# Addresses and ports that were dialled since the last call.
sub dialled
{
	my @lines = -e $seen ? split /\n/, slurp_file($seen) : ();

	unlink $seen;
	return @lines;
}

# What the kernel counts in this network, but for questions to the name server:
# packets, and the first packets of connections.
sub sent
{
	my %count = slurp_file('/proc/net/snmp6') =~ /^(\S+)\s+(\d+)$/gm;
	my @lines = split /\n/, slurp_file('/proc/net/snmp');

	while (my ($names, $numbers) = splice @lines, 0, 2)
	{
		my ($protocol, @names) = split ' ', $names;
		my (undef, @numbers) = split ' ', $numbers;
		@count{ map { $protocol . $_ } @names } = @numbers;
	}
	return {
		packets => $count{'Ip:OutRequests'} + $count{Ip6OutRequests}
		  - $count{'Udp:OutDatagrams'} - $count{Udp6OutDatagrams},
		connections => $count{'Tcp:ActiveOpens'} };
}

# Only the vectors' own bytes are escaped.
sub literal
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "e'$text'";
}

sub url_of
{
	my ($vector) = @_;

	return $vector->{input} if $vector->{kind} ne 'addr';
	return 'https://' . ($vector->{input} =~ /:/ ? "[$vector->{input}]" : $vector->{input}) . '/';
}

# An endpoint of an organization with the name of its vector, its URL put in
# past all checks as a restored dump would, and one event for each.
sub deliver_to
{
	my (%urls) = @_;
	my @names = sort keys %urls;

	$t->sql(join ";\n", map({;
		"select webhook.set_organization('$_', 'x')",
		"select webhook.create_endpoint('$_', 'https://later.example.com/')" } @names),
		'set check_function_bodies = off', map {;
		"update webhook.endpoint set url = ${\literal($urls{$_})}
		 where organization_id = '$_'" } @names);
	return emit_to_all(@names);
}

sub emit_to_all
{
	my @names = @_;

	$t->sql('begin; ' . join('; ', map {;
		"select webhook.emit('review.completed', '$_', '{}')" } @names) . '; commit');
	$t->wait_until_done;
	return map { $_->{organization_id} => $_ } $t->rows(
		"select distinct on (organization_id) organization_id, error, error_class,
			response_status, response_body, request_headers, response_headers,
			duration < '5s' as is_soon
		 from webhook.attempt
		 order by organization_id, started_at desc");
}

# How the database judges URLs at creation: "id|verdict" lines.
sub judge
{
	my ($database) = @_;

	return $t->sql(
		"create function pg_temp.judge(text) returns text language plpgsql as \$\$
		 begin
			perform webhook.create_endpoint('org_1', \$1);
			return 'allow';
		 exception when invalid_parameter_value then
			return 'block: ' || sqlerrm;
		 end \$\$;
		 select id || '|' || pg_temp.judge(url)
		 from (values " . join(', ',
			map {; "('$_->{id}', ${\literal(url_of($_))})" }
			grep { $_->{kind} =~ /addr|url/ } @vectors) . ") v (id, url)
		 order by id", $database);
}

# at_creation, in databases of different locales
$t->sql("create database plain template template0 locale 'C' encoding 'UTF8'");
$t->install('plain');
my $judged = judge('postgres');
is(judge('plain'), $judged, 'same verdicts in a C-locale database');
like($t->sql('select datctype from pg_database where datname = current_database()'), qr/utf-?8/i, 'the other has UTF-8');
my %judged = map { split /\|/, $_, 2 } split /\n/, $judged;

# Names are judged when they are dialled.  Of the product's choices (opt),
# IPv4-mapped public addresses and hosts of one label are accepted, and ports
# of other services are not.
my %is_name = map { $_ => 1 } qw(P044 P045 P081);
for my $vector (grep { $_->{kind} =~ /addr|url/ } @vectors)
{
	my $id = $vector->{id};
	my $expected = $is_name{$id} ? 'allow' : $vector->{verdict};

	like($judged{$id}, qr/^$expected/, "$id at creation: $expected, $vector->{why}");
	is($judged{$id}, 'block: address is not allowed', "$id: the constant error")
	  if $vector->{kind} eq 'addr' && $expected eq 'block';
}
is_deeply([ dialled() ], [], 'creation dials nobody');

# at_the_first_attempt, when the URL is there in spite of all checks
my @forbidden = grep { $_->{kind} =~ /addr|url/ && $_->{verdict} eq 'block' } @vectors;
Namespace::serve_names({ 'hooks.example.com' => "A $public" });
my $before = sent();
my %ended = deliver_to(map { $_->{id} => url_of($_) } @forbidden);
for my $vector (@forbidden)
{
	my $attempt = $ended{ $vector->{id} };
	my $class = $vector->{kind} eq 'addr' || $vector->{id} =~ /P04[45]/ ? 'blocked'
	  : $vector->{id} eq 'P081' ? 'dns' : qr/blocked|internal/;

	like($attempt->{error_class}, qr/^$class$/, "$vector->{id} at the first attempt");
	is($attempt->{error}, 'address is not allowed', "$vector->{id}: the constant error")
	  if $attempt->{error_class} eq 'blocked';
}
is_deeply([ dialled() ], [], 'nobody was dialled');
is_deeply(sent(), $before, 'not one packet was sent');

my @allowed = grep { $_->{kind} eq 'url' && $_->{verdict} eq 'allow' } @vectors;
%ended = deliver_to(map { $_->{id} => $_->{input} } @allowed);
is($ended{ $_->{id} }{response_status}, 404, "$_->{id} is delivered: $_->{why}")
  for @allowed;
my @dialled = dialled();
is(scalar(grep { $_ ne "$public 443" } @dialled), 0, 'to the public address only');
is(sent()->{connections} - $before->{connections}, scalar @dialled, 'whose connections are counted');

# what_names_resolve_to: each address of the vectors behind a name of its own
my @addresses = vectors_of('addr');
my %names = ('hooks.example.com' => "A $public");
for my $vector (@addresses)
{
	my $kind = $vector->{input} =~ /:/ ? 'AAAA' : 'A';

	$names{ lc "$vector->{id}.example.test" } = "$kind $vector->{input}";
	$names{ lc "$vector->{id}-then.example.test" } =
	  "A $public | $kind $vector->{input}" if $vector->{verdict} eq 'block';
}
for my $vector (vectors_of('dns'))
{
	my ($name) = $vector->{input} =~ m{//(.*)/};

	($names{$name} = $vector->{dns}) =~ s/ ttl 0; later/ |/;
	$names{$name} =~ s/1st query //;
}
Namespace::serve_names(\%names);
$before = sent();
%ended = deliver_to(
	(map { ("name_$_->{id}" => "https://\L$_->{id}.example.test/ok") } @addresses),
	(map { ($_->{id} => $_->{input}) } vectors_of('dns')));
for my $vector (@addresses)
{
	my $attempt = $ended{"name_$vector->{id}"};

	is( $attempt->{error_class} // 'delivered',
		$vector->{verdict} eq 'block' ? 'blocked' : 'delivered',
		"a name of $vector->{input}: $vector->{verdict}");
}
my %may = map { $_->{input} => 1 } grep { $_->{verdict} eq 'allow' } @addresses;
$may{$public} = 1;
@dialled = dialled();
is_deeply([ grep { my ($address, $port) = split ' '; $port != 443 || !$may{$address} } @dialled ],
	[], 'only allowed addresses were dialled');
cmp_ok(scalar @dialled, '>=', scalar(grep { $_->{verdict} eq 'allow' } @addresses),
	'and those were');
is(sent()->{connections} - $before->{connections}, scalar @dialled, 'nothing else was tried');
for my $vector (vectors_of('dns'))
{
	my $attempt = $ended{ $vector->{id} };

	# A public address beside a private one is dialled, and alone; the
	# certificate is for none of these names.
	is($attempt->{error_class}, $vector->{id} =~ /P09[23]/ ? 'tls' : 'blocked',
		"$vector->{id}: $vector->{why}");
}
%ended = emit_to_all(map { $_->{id} } vectors_of('dns'));
is($ended{P093}{error_class}, 'blocked', 'P093: rebound for the second event');
is(scalar(grep { $_ ne "$public 443" } dialled()), 0, 'without a connection');

# rebinding: each forbidden address as the second answer of a name
my @rebound = grep { $_->{verdict} eq 'block' } @addresses;
%ended = deliver_to(
	map { ("then_$_->{id}" => "https://\L$_->{id}-then.example.test/last") } @rebound);
dialled();
$before = sent();
my %again = emit_to_all(map { "then_$_->{id}" } @rebound);
for my $vector (@rebound)
{
	my $id = "then_$vector->{id}";

	is($ended{$id}{response_status} . ' ' . ($again{$id}{error_class} // 'delivered'),
		'200 blocked', "rebinding to $vector->{input}");
}
is_deeply([ dialled() ], [], 'nobody was dialled after the names had changed');
is(sent()->{connections}, $before->{connections}, 'nor was it tried');

# open_or_closed: 127.0.0.1 listens on 443 and not on 444
Namespace::serve_names({ 'a.example.test' => 'A 127.0.0.1',
	'b.example.test' => 'A 10.9.8.7', 'c.example.test' => 'AAAA ::1' });
$before = sent();
%ended = deliver_to(open => 'https://a.example.test/ok', closed => 'https://a.example.test:444/ok',
	other => 'https://b.example.test:8443/ok', six => 'https://c.example.test:1000/ok');
for my $name (qw(closed other six))
{
	delete @{ $ended{$_} }{qw(organization_id request_headers)} for 'open', $name;
	is_deeply($ended{$name}, $ended{open}, "the log row of $name is that of an open port");
}
is(join('|', map { $_ // '' } @{ $ended{open} }{qw(error error_class response_status is_soon)}),
	'address is not allowed|blocked||1', 'which says nothing');
emit_to_all(qw(open closed other six)) for 1 .. 4;
is_deeply([ dialled() ], [], 'none of them was dialled');
is(sent()->{connections}, $before->{connections}, 'nor was it tried');
is($t->sql("select string_agg(organization_id, ' ' order by organization_id) from
		(select organization_id from webhook.attempt
		where organization_id in ('open', 'closed', 'other', 'six')
		group by 1 having percentile_disc(0.5) within group (order by duration) < '50 ms') x"),
	'closed open other six', 'each as soon as its name is known');

# a_blocked_address_gets_no_socket: as the kernel is asked by the worker and its
# threads
SKIP:
{
	my $calls = "$home/calls";
	my ($pid) = $t->worker_pids;

	Namespace::serve_names({ 'a.example.test' => 'A 127.0.0.1',
		'b.example.test' => 'A 10.9.8.7', 'good.example.test' => "A $public" });
	my $strace = IPC::Run::start([ 'sh', '-c', 'exec strace "$@"', 'strace', '-f',
		'-e', 'trace=socket,connect', '-o', $calls, '-p', $pid ],
		'<', \undef, '>', "$calls.log", '2>&1');
	Webhook::wait_until('strace', 20, sub { slurp_file("$calls.log") =~ /\S/ });
	skip('needs strace', 3) if slurp_file("/proc/$pid/status") !~ /^TracerPid:\s+[1-9]/m;
	deliver_to(
		one => 'https://a.example.test/ok', two => 'https://b.example.test/ok',
		three => 'https://169.254.169.254/ok', four => 'https://[fd00:ec2::254]/ok',
		good => 'https://good.example.test/ok');
	$strace->signal('INT');
	$strace->finish;
	my @calls = grep { !/htons\(53\)/ } split /\n/, slurp_file($calls);
	is(scalar(grep { /connect\(.*"$public"/ } @calls), 1, 'strace sees the socket of who is allowed');
	is_deeply([ grep { /connect\(/ && !/"$public"/ } @calls ], [], 'and no other is connected');
	is(scalar(grep { /socket\(AF_INET6?, SOCK_STREAM/ } @calls), 1, 'or made');
}

# redirects_are_not_followed
Namespace::serve_names({ 'hooks.example.com' => "A $public" });
%ended = deliver_to(
	P096 => 'https://hooks.example.com/redirect/302?to=https://127.0.0.1/',
	P097 => 'https://hooks.example.com/redirect/307?to=http://169.254.169.254/');
is("$ended{$_->[0]}{response_status} $ended{$_->[0]}{error_class}", "$_->[1] http",
	"$_->[0]: a redirect is a failed attempt") for [ P096 => 302 ], [ P097 => 307 ];
is(scalar(grep { $_ ne "$public 443" } dialled()), 0, 'and nobody follows it');

# P098: with all the variables above, requests arrived as they should
%ended = deliver_to(P098 => 'https://hooks.example.com/ok',
	old_tls => 'https://hooks.example.com:8444/ok',
	self_signed => 'https://hooks.example.com:8445/ok');
is($ended{P098}{response_status}, 200, 'P098: the proxy of the environment is not used');
is_deeply([ grep { / 3128$/ } dialled() ], [], 'and not dialled');
my ($request) = reverse $receiver->journal(qr{^/ok$});
is(scalar(grep { lc $_->[0] eq 'authorization' } @{ $request->{headers} }), 0,
	'netrc is not used');
ok(!-e "$home/keys", 'TLS keys are not logged');
is($ended{old_tls}{error_class}, 'tls', "OpenSSL's configuration allows no old TLS");
is($ended{self_signed}{error_class}, 'tls', 'and no certificate that is not trusted');
is(scalar($old_tls->journal) + $self_signed->journal, 0, 'neither got a request');
is($t->sql("select status from webhook.test((select id from webhook.endpoint
	where organization_id = 'P098'))"), '200', 'webhook.test: the same');
ok(!-e "$home/keys", 'by that neither');

# ports_of_other_services, and the server's own
like($t->sql_error("select webhook.create_endpoint('org_1', 'https://hooks.example.com:"
	  . $t->node->port . "/')"), qr/22023: invalid endpoint URL: port is not allowed/,
	q{the server's own port is refused});

done_testing();
