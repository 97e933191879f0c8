# Rows of the cursor that somebody deleted: what is kept is not sent again, and
# the worker says what is missing until somebody decides.

use strict;
use warnings;
use Test::More;
use Webhook;

my $t = Webhook->new('cursor_lost');
my $node = $t->node;
my $main = $t->endpoint('/ok/main');
my $paused = $t->endpoint('/ok/paused');
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
my @delivered = map { $t->emit } 1 .. 5;
$t->wait_for_journal(5);
$t->wait_for_sql('select webhook._waiting_events() = 0 and count(*) = 5 from webhook.queue');

sub is_stuck
{
	my ($statement) = @_;

	$t->sql($statement);
	$node->restart;
	$t->wait_for_sql("select state = 'cursor' from webhook.status");
	like($t->sql('select reason from webhook.status'),
		qr/rows of webhook\.cursor are missing.*webhook\.adopt/, "$statement: webhook.status says so");
	like($t->sql('select problem from webhook.check()'),
		qr/rows of webhook\.cursor are missing/, 'and so does webhook.check()');
}

sub arrivals
{
	my ($id) = @_;

	return join ' ', map { scalar grep { $_->{id} eq $id } $t->receiver->journal(qr/$_/) } qw(main paused);
}

# truncated_and_restarted: nothing is sent, until it goes on from now.
is_stuck('truncate webhook.cursor');
my $skipped = $t->emit;
is(scalar($t->receiver->journal), 5, 'nothing is sent');
is($t->sql('select webhook.adopt()'), 0, 'adopt takes over nothing, since all is its own');
my $new = $t->emit;
$t->wait_for_journal(6);
is(arrivals($new), '1 0', 'what is emitted then is sent');
$t->sql("update webhook.endpoint set status = 'enabled'");
$t->wait_until_done;
is(arrivals($_), '1 1', 'what waited goes on, and what was delivered is not sent again') for @delivered, $new;
is(arrivals($skipped), '0 0', 'what nobody had taken is left');
$t->sql("select webhook.replay($main, since => now() - interval '1 hour')");
$t->wait_until_done;
is(arrivals($skipped), '1 0', 'and a replay delivers it');

# deleted_in_flight: the worker knows where it was, and writes it again.
$t->sql('delete from webhook.cursor');
$new = $t->emit;
$t->wait_for_journal(1, qr/paused/);
$t->wait_until_done;
my $count = $t->receiver->journal;
$node->restart;
$t->wait_for_workers;
$new = $t->emit;
$t->wait_until_done;
is(scalar($t->receiver->journal), $count + 2, 'a row that is deleted in flight is written again');

# deleted_and_restarted
is_stuck('delete from webhook.cursor');

# dumped_without_it: a copy does not send what was sent.
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '--file', $dump, 'postgres' ], 'pg_dump');
$t->sql('create database copy template template0');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', $dump ], 'restored');
$t->wait_for_sql("select state = 'copy' from webhook.status", 'copy');
is($t->sql('select webhook.adopt()', 'copy'), 0, 'a copy of it takes over nothing');
$t->wait_for_workers(1, 'copy');
$new = $t->emit(database => 'copy');
$t->wait_until_done('copy');
is(scalar($t->receiver->journal), $count + 4, 'and sends what is new');

done_testing();
