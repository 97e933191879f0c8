# What is flushed, and what is not: a taking transaction that sends is, the
# recording of results and a cursor that moves past events for nobody are not.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

# The WAL writer flushes nothing meanwhile: what is counted is asked for.
my $t = Webhook->new('flush', 'fsync = on', 'wal_writer_delay = 10s',
	'wal_writer_flush_after = 1GB', 'autovacuum = off',
	'checkpoint_timeout = 1h', 'bgwriter_delay = 10s',
	'bgwriter_lru_maxpages = 0');
my $events = 30;

$t->endpoint('/ok', events => "'{review.*}'");
$t->emit;
$t->wait_for_journal(1);
$t->wait_until_done;

# Flushes since the server started, by all processes.  A worker tells of them once
# a second at most, and when it ends.
sub flushes
{
	my ($pid) = $t->wait_for_workers;

	$t->sql("select pg_terminate_backend($pid, 60000)");
	return $t->sql($t->node->pg_version < 18 ? 'select wal_sync from pg_stat_wal'
		: "select sum(fsyncs) from pg_stat_io where object = 'wal'");
}

# Emit events one after the other, each when the one before has been recorded.
sub flushes_of
{
	my ($event, $arrivals) = @_;
	my $before = flushes();

	$t->wait_for_workers;
	for my $number (1 .. $events)
	{
		$t->emit(event => $event);
		$t->wait_for_journal(1 + $number) if $arrivals;
		$t->wait_until_done;
	}
	return flushes() - $before;
}

# recording_waits_for_no_flush: one flush for each commit that emits, one for
# each that takes, none for each that records.
my $delivered = flushes_of('review.completed', 1);
cmp_ok($delivered, '>', 1.5 * $events,
	'what is sent was flushed before, event and attempt');
cmp_ok($delivered, '<', 2.5 * $events, 'results are not flushed');

# events_for_nobody_cost_no_flush
cmp_ok(flushes_of('team.member_added', 0), '<', 1.5 * $events,
	'an event for nobody is flushed by who emits it only');

# commits_that_go_on_coming_share_a_take: one every 8 ms, but for the first
# four, and one for results that were waiting.
my $many = 400;
my $before = flushes();
$t->wait_for_workers;
my $start = time;
$t->sql("select webhook.emit('review.completed', 'org_1', '{}');\n" x $many);
$t->wait_until_done;
my $allowed = (time - $start) / 0.008 + 10;
cmp_ok(flushes() - $before - $many, '<', $allowed,
	"$many commits are taken in less than $allowed takes");
$t->wait_for_journal(1 + $events + $many);

done_testing();
