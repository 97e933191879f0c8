# A policy of addresses that was tightened holds for the next request, however
# many requests of before earlier reloads go on.

use strict;
use warnings;
use Test::More;
use Webhook;

my $reloads = 24;				# a worker has room for the requests of 16
my $t = Webhook->new('policy', "webhook.retry_schedule = ''");

# An attempt at an endpoint; its error class, or "delivered".
sub outcome
{
	my ($organization) = @_;
	my $event = $t->emit(organization => $organization);

	$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$event')");
	return $t->sql("select coalesce(error_class, 'delivered')
		from webhook.attempt where event_id = '$event'");
}

# Reload, and wait for an effect in the worker.
sub reload_until
{
	my ($organization, $expected, $line) = @_;

	$t->configure($line);
	return Webhook::wait_until("$line: $expected", 20,
		sub { outcome($organization) eq $expected });
}

# given a request that hangs from before each reload
for my $n (1 .. $reloads)
{
	my $organization = "hanging_$n";

	$t->sql("select webhook.set_organization('$organization', 'x')");
	$t->endpoint("/hang/answer?$n", organization => $organization, timeout => "'1h'");
	$t->emit(organization => $organization);
	$t->wait_for_journal(1, qr/answer\?$n$/);
	$t->configure("webhook.timeout = ${n}s");
	$t->wait_for_sql("select current_setting('webhook.timeout') = '${n}s'");
}

# and a connection to a name, whose address is judged when it is dialled
$t->sql("select webhook.set_organization('named', 'x')");
$t->endpoint($t->receiver->url('/ok/named', 'localhost'), organization => 'named');
is(outcome('named'), 'delivered', 'a connection is open');

# then
ok(reload_until('named', 'blocked', "webhook.allow_addresses = ''"),
	'an address that is not allowed any more is not used any more');
my $known = $t->receiver->journal(qr/named/);
is(outcome('named'), 'blocked', 'nor later');
is(scalar($t->receiver->journal(qr/named/)), $known, 'and nothing is sent');
ok(reload_until('named', 'delivered', "webhook.allow_addresses = '127.0.0.0/8'"),
	'one that is allowed again, is');
is($t->sql('select sum(in_flight) from webhook.status'), $reloads, 'what hangs goes on');

done_testing();
