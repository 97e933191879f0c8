# While no request can be signed, as where memory is short, what a worker has
# taken stays in its hands: it sends all of it later, or gives it back when it
# leaves.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('signing', 'webhook.workers = 2');
my $node = $t->node;
my $off = $node->data_dir . '/no-signing';
$t->endpoint("/ok?$_") for 1 .. 6;
{
	local $ENV{LD_PRELOAD} = Webhook::preload('signing');
	$node->restart;
}
my @workers = $t->wait_for_workers(2);

# given events that were taken and could not be signed
sub emit_unsigned
{
	append_to_file($off, '');
	my $event = $t->emit;
	$t->wait_for_sql("select count(*) = 2 from webhook.status
		where last_error = 'could not sign a request'");
	is($t->sql("select count(*) filter (where next_attempt_at is null) from webhook.queue"), 6,
		'all are in hand');
	ok(!{ $t->receiver->arrivals }->{$event}, 'and none was sent');
	return $event;
}

sub arrived_once
{
	my ($event, $name) = @_;

	$t->wait_until_done;
	is($t->sql("select count(*) || ' ' || string_agg(distinct attempt || ' ' || outcome, ',')
		from webhook.attempt where event_id = '$event'"), '6 1 succeeded', $name);
}

my $event = emit_unsigned();
# when it works again
unlink $off;
# then
arrived_once($event, 'they are sent when that is over');
is_deeply([ $t->worker_pids ], \@workers, 'by the same workers');

# given them once more
$event = emit_unsigned();
# when the workers leave
$node->stop;
unlink $off;
$node->start;
# then
arrived_once($event, 'or by the next worker, as first attempts');

done_testing();
