# Whatever a receiver answers: the attempt ends in time, costs the worker no
# memory, and is told in the log as it was.

use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $limit = 16384;
my $t = Webhook->new('replies', "webhook.timeout = '1s'",
	"webhook.retry_schedule = ''");
my $silent = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
my $tls_hang = Webhook::start_receiver('tls-hang' => 1);
my $tls_abort = Webhook::start_receiver('tls-abort' => 1);
my %tls_flood = map { $_ => Webhook::start_receiver('tls-flood' => $_) } qw(handshakes tickets);

my $headers = 'protocol: the receiver sent too many headers';
my %cases = (
	'/infinite/chunked' => 'cut 200',
	'/infinite/plain' => 'cut 200',
	'/gzip-bomb/40' => 'cut 200',
	'/drip/100000' => 'timeout',
	'/headers-flood/headers' => $headers,
	'/headers-flood/trailers' => $headers,
	'/headers-flood/line' =>
	  'protocol: the receiver sent a header line that is too long',
	'/1xx-flood/100' => $headers,
	'/1xx-flood/103' => $headers,
	'/chunk-extension' =>
	  'protocol: the receiver sent too many bytes beside its answer',
	'/switch-101' => 'protocol: the receiver switched to another protocol',
	'/binary' => 'whole 200',
	'/odd-header' => 'http: the receiver answered with status 500',
	'/status-line/999' => 'http: the receiver answered with status 999',
	'/status-line/99' => 'protocol',
	'/status-line/1000' => 'protocol',
	'/malformed/nonsense' => 'protocol',
	'/malformed/nul' => 'protocol',
	'/malformed/status' => 'protocol',
	'/malformed/chunk' => 'protocol',
	'/malformed/length' => 'whole 200|protocol',	# 20 digits
	'/malformed/lengths' => 'whole 200|protocol',	# two that differ
	'/close' => 'protocol',
	'/reset' => 'protocol',
	'/early-close/close' => 'protocol',
	'/early-close/reset' => 'protocol',
	'/hang/answer' => 'timeout',
	'/hang/headers' => 'timeout',
	'/hang/body' => 'timeout',
	'https://127.0.0.1:' . $silent->sockport . '/' => 'timeout',
	$tls_flood{handshakes}->url('/ok') => 'tls: the TLS handshake failed',
	$tls_flood{tickets}->url('/ok') =>
	  'protocol: the receiver sent too many bytes beside its answer',
	$tls_hang->url('/ok') => 'timeout',
	$tls_abort->url('/ok') => 'tls');
my @urls = sort keys %cases;

$t->attempt_at('/gzip-bomb/40', timeout => "'30s'");	# packed once

# Endpoint n of an organization of its own, for each URL.
my @organizations = map { "o$_" } 0 .. $#urls;
for my $n (0 .. $#urls)
{
	$t->sql("select webhook.set_organization('o$n', 'x')");
	$t->endpoint($urls[$n], organization => "o$n");
}

# One event for each; the attempts, by URL.
sub attack
{
	$t->sql(join ';', map {;
		"select webhook.emit('review.completed', '$_', '{}')" } @organizations);
	$t->wait_until_done;
	my @attempts = $t->rows(
		"select distinct on (organization_id) *, length(response_body) as length,
			extract(epoch from duration) as took
		 from webhook.attempt where organization_id ~ '^o[0-9]'
		 order by organization_id, started_at desc");
	return map { $urls[ substr $_->{organization_id}, 1 ] => $_ } @attempts;
}

sub resident_kilobytes
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/ ? $1 : die;
}

# What the log says of an attempt, as far as it was expected.
sub told
{
	my ($attempt, $expected) = @_;

	return ($attempt->{response_truncated} ? 'cut ' : 'whole ') . $attempt->{response_status}
	  if !defined $attempt->{error};
	return $attempt->{error_class} if $expected !~ /:/;
	return "$attempt->{error_class}: $attempt->{error}";
}

# each_attempt_ends_in_time, and the log tells how
my ($pid) = $t->wait_for_workers;
my %attempts = attack();
for my $url (@urls)
{
	my $attempt = $attempts{$url};
	my $path = $url =~ s{^https://127.0.0.1:\d+}{another receiver}r;

	like(told($attempt, $cases{$url}), qr/^(?:$cases{$url})$/, "$path: $cases{$url}");
	cmp_ok($attempt->{took}, '<', 2, "$path: ends within timeout and a second");
	is($attempt->{length}, $limit, "$path: what is kept of the body")
	  if $url =~ /infinite/;
}
like($attempts{'/headers-flood/headers'}{response_headers}, qr/\[cut\]\r\n\z/,
	'headers that were cut say so');
like($attempts{'/hang/body'}{response_body}, qr/^ok$/, 'what came before the timeout is kept');
like($attempts{'/binary'}{response_body}, qr/\\x00nul \\xff\\xfe\\xc3\( \\x1b\[31mred/,
	'bytes that are no text are escaped');
cmp_ok($attempts{ $tls_flood{$_}->url('/ok') }{took}, '<', 0.9, "$_ without end are not heard out")
  for sort keys %tls_flood;
unlike($attempts{$_}{error} // '', qr{/\w+/\w+}, "$_: no file of ours in the error") for @urls;

# memory: after a warm-up it stays
attack() for 1 .. 2;
my $before = resident_kilobytes($pid);
attack() for 1 .. 2;
my $grown = resident_kilobytes($pid) - $before;
cmp_ok($grown, '<', 1024, "the worker has not grown ($grown kB)");
is(($t->worker_pids)[0], $pid, 'and is the same');

# other_encodings
for my $encoding ('LATIN1', 'SQL_ASCII', 'EUC_JP')
{
	my $database = lc $encoding;

	$t->sql("create database $database template template0 encoding '$encoding' locale 'C'");
	$t->install($database);
	for my $path ('/binary', '/odd-header', '/infinite/chunked')
	{
		my $attempt = $t->attempt_at($path, database => $database);

		like(told($attempt, $cases{$path}), qr/^$cases{$path}$/, "$encoding: $path");
	}
	my $odd = $t->sql("select response_headers from webhook.attempt
		where response_headers like '%X-Odd%'", $database);
	my $e_acute = $encoding eq 'SQL_ASCII' ? "\xc3\xa9" : '\\xc3\\xa9';
	like($odd, qr/X-Odd: caf\\xe9 \\x1b\[31m\Q$e_acute\E\\xff/,
		"$encoding: odd bytes of a header");
}
like($attempts{'/odd-header'}{response_headers}, qr/caf\\xe9 \\x1b\[31m\xe9\\xff/,
	'UTF8: odd bytes of a header');

# an_answer_that_nobody_asked_for: it is for no later request, which goes out on
# another connection.
for my $status (200, 408)
{
	my $early = Webhook::start_receiver();
	my ($port) = $early->url('/') =~ /:(\d+)/;

	for my $next ('/ok', '/hang/answer')
	{
		is(told($t->attempt_at($early->url("/unasked/100/$status")), ''), 'whole 200',
			'an answer, and later another');
		Webhook::wait_until('that to arrive', undef, sub {
			my @connections = split /\n/, `ss -Htn state established dport = :$port`;

			return !@connections || grep { /^[1-9]/ } @connections;	# bytes to be read
		});
		is(told($t->attempt_at($early->url($next)), ''), $next eq '/ok' ? 'whole 200' : 'timeout',
			"a $status comes too early to be the answer to the next request");
	}
	$early->stop;
}

# no_byte_of_a_receiver_reaches_the_server_log
unlike(slurp_file($t->node->logfile), qr/X-Flood|X-Odd|nul|\[31m/,
	'the log of the server has none of it');

done_testing();
