# The server's clock jumps, forward and back: nothing is lost, nothing stalls,
# and nothing is sent early by more than the jump.
#
# The server alone lives in another time (test/preload/clock.c); its monotonic
# clock is everybody's, and so is the receiver's, by which the test judges.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('clock', "webhook.retry_schedule = '3s'");
my $node = $t->node;
my $file = $node->basedir . '/offset';
my $library = Webhook::preload('clock');
my $day = 86400;

# The server's clock from now on, in seconds from the true one.
sub set_clock
{
	my ($offset) = @_;

	open my $handle, -e $file ? '+<:raw' : '>:raw', $file or die $!;
	print $handle pack 'q', $offset;
	close $handle or die $!;
}

sub start_in_another_time
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{CLOCK_OFFSET_FILE} = $file;

	$node->start;
}

# Events at an endpoint that fails once for each; how long each waited for
# its second request, by the receiver's clock.
sub wait_for_retries
{
	my ($path, @ids) = @_;

	return @{ Webhook::wait_until("retries to $path", 20, sub {
		my (%first, %waited);

		for my $request ($t->receiver->journal(qr{\Q$path\E}))
		{
			my $id = $request->{id};

			$waited{$id} = $request->{monotonic} - $first{$id} if $first{$id};
			$first{$id} //= $request->{monotonic};
		}
		return !(grep { !$waited{$_} } @ids) && [ @waited{@ids} ];
	}) };
}

# The first attempts have failed; if this takes long, others have followed.
sub wait_for_first_attempts
{
	my $list = join ',', @_;

	$t->wait_for_sql("select count(distinct event_id) = " . @_ . "
		from webhook.attempt where event_id = any ('{$list}')");
}

sub emit_many
{
	my ($number) = @_;

	return split /\n/,
	  $t->sql("select webhook.emit('review.completed', 'org_1', '{}')
		from generate_series(1, $number)");
}

sub all_arrive
{
	my ($name, $path, @ids) = @_;

	Webhook::wait_until($name, 20, sub {
		my %times = $t->receiver->arrivals(qr{\Q$path\E});
		return !grep { !$times{$_} } @ids;
	});
	pass($name);
}

$node->stop;
set_clock(0);
start_in_another_time();
my $endpoint = $t->endpoint('/status/500,200?back');
all_arrive('under an ordinary clock events arrive', '?back', emit_many(3));

# the_clock_is_set_back_while_a_retry_waits
my @ids = emit_many(3);
wait_for_first_attempts(@ids);
set_clock(-3 * $day);
is($t->sql("select now() < min(created_at) from webhook.event"),
	't', 'the clock is back by three days');
my @waited = wait_for_retries('?back', @ids);
is(scalar(grep { $_ >= 3 } @waited), 3, 'set back: retries come, none early')
  or diag "@waited";

# what_is_emitted_in_the_past_arrives: to endpoints of the future, in a
# partition that nobody made ahead.
all_arrive('events emitted after that arrive', '?back', emit_many(200));
$t->wait_until_done;
is($t->sql("select count(*) from webhook.delivery
	where event_id = any ('{" . join(',', @ids) . "}') and status = 'succeeded'"),
	3, 'and the log tells that they did');

# a_worker_that_ends_when_the_clock_is_set_back_is_replaced
my ($pid) = $t->wait_for_workers;
kill TERM => $pid;
set_clock(-6 * $day);
Webhook::wait_until('the next worker', 20,
	sub { my ($next) = $t->worker_pids; $next && $next != $pid });
all_arrive('a worker is replaced while the clock is set back', '?back',
	emit_many(3));

# the_clock_is_set_back_while_the_server_is_down
$t->sql("delete from webhook.endpoint");
$t->endpoint('/status/500,200?down');
@ids = emit_many(3);
wait_for_first_attempts(@ids);
$node->stop;
set_clock(-9 * $day);
start_in_another_time();
@waited = wait_for_retries('?down', @ids);
is(scalar(grep { $_ >= 3 } @waited), 3,
	'set back while the server was down: retries come, none early');
all_arrive('and so do new events', '?down', emit_many(3));
$t->wait_until_done;

# the_clock_jumps_forward: what waits comes early by the jump at most.
$t->sql("delete from webhook.endpoint");
$t->endpoint('/status/500,200?hour', retry_schedule => "'{1h}'");
my $late = $t->endpoint('/status/500,200?month', retry_schedule => "'{30 days}'");
@ids = emit_many(3);
$t->wait_for_sql("select count(*) = 6 from webhook.queue
	where next_attempt_at is not null and attempts = 1");
set_clock(-7 * $day);
wait_for_retries('?hour', @ids);
pass('set forward: what is due comes');
all_arrive('and so do new events', '?hour', emit_many(3));
is( $t->sql("select count(*) from webhook.delivery
		where endpoint_id = $late and status = 'pending'"),
	6, 'what is not due yet waits');
is(scalar $t->receiver->journal(qr/month/), 6, 'and was not sent');

# durations_and_delays_are_true_under_all_this
is($t->sql("select count(*) from webhook.attempt
	where duration < interval '0' or duration > interval '10 s'"),
	0, 'no attempt took less than nothing');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP/, 'nothing crashed');

done_testing();
