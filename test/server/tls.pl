# A receiver that is not who it should be gets nothing of a request, and the log
# says why, in words.

use strict;
use warnings;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('tls');
my $certificate = "the receiver's certificate";
my $missing = "$certificate is from an authority that is not trusted, "
  . 'or an intermediate certificate is missing';
my $handshake = 'the TLS handshake failed';

# How many bytes of what a client sent may be those of a request: RFC 8446,
# section 5.1; undef when it is not all TLS.  The end of the client's handshake,
# which comes before libcurl looks at the name, takes up to 69, an alert 19.
sub application_bytes
{
	my ($record) = @_;
	my $bytes = slurp_file($record);
	my $sum = 0;

	while (length $bytes)
	{
		my ($type, undef, $length) = unpack 'C n n', $bytes;
		return if $type < 20 || $type > 23;
		$sum += $length if $type == 23;
		substr($bytes, 0, 5 + $length) = '';
	}
	return $sum;
}

sub fails_with
{
	my ($name, $error, %options) = @_;
	my $receiver = Webhook::start_receiver(%options);
	my $record = $receiver->record;
	my $attempt = $t->attempt_at($receiver->url('/ok'));

	is("$attempt->{error_class}: $attempt->{error}", "tls: $error", $name);
	is($attempt->{response_status}, undef, "$name: there was no answer");
	is(scalar($receiver->journal), 0, "$name: there was no request");
	cmp_ok(application_bytes($record) // 1000, '<=', 69 + 2 * 19, "$name: nothing of it was sent");
}

# certificates_that_do_not_hold
fails_with('expired', "$certificate has expired", cert => 'expired');
fails_with('not yet valid', "$certificate is not valid yet", cert => 'notyet');
fails_with('another name', "$certificate is for another host name",
	cert => 'wrongname');
fails_with('self-signed', "$certificate is self-signed", cert => 'selfsigned');
fails_with('unknown authority', $missing, cert => 'stranger');
fails_with('truncated chain', $missing, cert => 'truncated');

# no_tls_that_is_good_enough
fails_with("TLS $_", 'the receiver does not speak TLS 1.2 or later',
	'tls-max' => $_) for '1.1', '1.0';
fails_with('plain HTTP', 'the receiver does not speak TLS on this port',
	plain => 1);
fails_with('a reset in the handshake', $handshake, 'tls-abort' => 1);

# certificates_that_do
for my $options ([ cert => 'chained' ], [ 'tls-max' => '1.2' ])
{
	my $receiver = Webhook::start_receiver(@$options);
	my $record = $receiver->record;

	is($t->attempt_at($receiver->url('/ok'))->{response_status}, 200, "@$options: delivered");
	cmp_ok(application_bytes($record), '>', 500, "@$options: in TLS, all of it");
}

# the_file_of_authorities_is_read_at_each_reload, also by a worker that is never
# idle; "/last" closes its connection.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $ca = $t->node->safe_psql('postgres', 'show webhook.ca_file');
my $live = "$dir/live.crt";

sub after_reload
{
	my ($name, $class, $expected, $change) = @_;
	my $attempt;

	$change->();
	$t->node->reload;
	Webhook::wait_until(
		"$name: $expected",
		30,
		sub {
			$attempt = $t->attempt_at('/last');
			return ($attempt->{error} // 'delivered') eq $expected;
		});
	is($attempt->{error_class}, $class, "$name: $expected");
	is($t->sql("select coalesce(error, 'delivered') from webhook.test($attempt->{endpoint_id})"),
		$expected, "$name: a test says the same");
}

$t->endpoint('/hang', timeout => "'50s'");
$t->emit;
$t->wait_for_journal(1, qr/hang/);
copy($ca, $live) or die $!;
after_reload('a copy of the file', undef, 'delivered',
	sub { $t->node->append_conf('postgresql.conf', "webhook.ca_file = '$live'") });
my $unreadable = 'the certificate authorities of this server cannot be read';
after_reload('unreadable', 'internal', $unreadable, sub { chmod 0, $live });
after_reload('readable again', undef, 'delivered', sub { chmod 0600, $live });
after_reload('another authority', 'tls', $missing,
	sub { copy($ca =~ s/ca\.crt/strangers-ca.crt/r, $live) or die $! });
after_reload('no certificates', 'internal', $unreadable,
	sub { open my $file, '>', $live; print $file "nonsense\n" });
after_reload('gone', 'internal', $unreadable, sub { unlink $live });
after_reload('back', undef, 'delivered', sub { copy($ca, $live) or die $! });
# sessions_are_not_resumed: each connection looks at the certificate anew.
$t->attempt_at('/last') for 1 .. 3;
is(scalar(grep { $_->{resumed} } $t->receiver->journal), 0, 'no TLS session served twice');
is($t->sql("select count(*) from webhook.queue"), 1, 'all while a request was on the wire');

done_testing();
