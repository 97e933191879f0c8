# Idle costs nothing, and a look at the outbox next to nothing.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

# Autovacuum takes transaction ids, which are a reason to look.
my $t = Webhook->new('idle', 'autovacuum = off');

$t->endpoint('/ok');
$t->emit;
$t->wait_for_journal(1);
$t->wait_until_done;
my ($pid) = $t->wait_for_workers;

# A receiver that has gone leaves a connection that is closed and for nobody.
my $gone = Webhook::start_receiver();
is($t->attempt_at($gone->url('/ok'))->{response_status}, 200,
	'a receiver that will be gone has a connection');
$gone->stop;

# How often the worker has gone to sleep by itself.
sub sleeps
{
	my ($number) =
	  slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
	return $number;
}

# How many seconds of CPU it has used.  (The ticks of /proc/*/stat are rounded
# twice: two of them can be a microsecond.)
sub cpu
{
	my ($nanoseconds) = slurp_file("/proc/$pid/schedstat") =~ /^(\d+)/;
	return $nanoseconds / 1e9;
}

sub last_query
{
	return $t->sql(
		"select query_start, state from pg_stat_activity where pid = $pid");
}

# The safety look wakes it every few seconds: after two of these nothing is
# left over of what went before.
sub wait_for_wake_ups
{
	my ($number) = @_;
	my $before = sleeps();

	Webhook::wait_until("$number wake-ups", 60,
		sub { sleeps() >= $before + $number });
}

# an_idle_worker_runs_no_query: every transaction of the worker that runs a
# statement sets query_start.  We watch it through /proc while it wakes up by
# itself three times.
wait_for_wake_ups(2);
my $query = last_query();
wait_for_wake_ups(1);
my ($cpu, $start) = (cpu(), time);
wait_for_wake_ups(3);
my $took = time - $start;
$cpu = cpu() - $cpu;

is(last_query(), $query, 'an idle worker runs no query');
cmp_ok($took, '>', 6, 'and wakes up every few seconds only');
cmp_ok($cpu, '<', 0.02,
	'using no CPU time, beside a connection that was closed');

# an_event_after_that_arrives_at_once
$start = time;
$t->emit;
my ($request) = ($t->wait_for_journal(2, undef, 2))[1];
cmp_ok($request->{time} - $start, '<', 0.5, 'a commit wakes it at once');

# looks_use_indexes_only: at the full number of partitions, beside many events
# that were taken before.
$t->sql(
	"select webhook._make_partition(clock_timestamp() + n * webhook._retention() / 6)
	   from generate_series(0, 9) n;
	 select webhook.set_organization('other', 'Other');
	 select webhook.emit('review.completed', 'other', '{}')
	   from generate_series(1, 10000);
	 analyze webhook.event; analyze webhook.endpoint;");
is($t->sql("select count(*) from webhook._partitions('webhook.event')"),
	10, 'there are 10 partitions');
$t->wait_until_done;

# What has been read of the outbox, of how many partitions by index and how many
# from end to end, and how often the cursor was looked up.  A worker tells of it when it ends.
sub reads
{
	$t->sql("select pg_terminate_backend($pid, 60000)");
	($pid) = $t->wait_for_workers;
	return split /\|/, $t->sql(
		"select sum(idx_tup_read), count(*) filter (where idx_scan > 0),
			(select sum(seq_scan) from pg_stat_all_tables where relname ~ '^event_2'),
			(select idx_scan from pg_stat_all_indexes where indexrelname = 'cursor_pkey')
		from pg_stat_all_indexes where indexrelname ~ '^event_2.*_taken'");
}

my @before = reads();
my $events = 20;
for my $number (1 .. $events)
{
	$t->emit;
	$t->wait_for_journal(2 + $number);
}
$t->wait_until_done;
my @after = reads();
cmp_ok($after[0] - $before[0], '<', 10 * $events, 'a look reads what is new, and nothing else');
is($after[1], 10, 'in each partition');
is($after[2], $before[2], 'by index');
cmp_ok($after[3] - $before[3], '<', $events,
	'its place is saved without a search among its older versions');

# endpoints_are_found_by_organization: the plan of the statement that the worker
# runs for events, as it runs it.
my $extension = "$FindBin::RealBin/../../extension";
my ($code, $types) = slurp_file("$extension/queue.c") =~
  /Statement find_endpoints = \{(.*?)SPI_OK_SELECT, \d+,\s*\{([^}]*)\}/s;
my $statement = join '', $code =~ /"([^"\n]*)"/g;
my $parameters = join ', ',
  map { lc =~ s/oid$//r =~ s/array$/[]/r } split /,\s*/, $types;
my ($pinned) =
  slurp_file("$extension/session.c") =~ /pinned\[\]\[2\] = \{(.*?)\n\t\};/s;
my $settings = '';
while ($pinned =~ /\{"(\w+)", "([^"]*)"\}/g)
{
	my ($name, $value) = ($1, $2);
	$value = "'$value'" unless $name eq 'search_path';
	$settings .= "set $name to $value;\n"
	  if $t->sql("select count(*) from pg_settings where name ilike '$name'");
}
like($settings, qr/force_generic_plan/, 'the settings of the worker are found');
my $plan = $t->sql(
	"$settings
	 prepare look ($parameters) as $statement;
	 explain execute look ('{900}', '{now}', '{review.completed}', '{org_1}', '{0}', -1, 2000)");
unlike($plan, qr/Seq Scan|Bitmap/, 'no table is scanned') or diag $plan;
like($plan, qr/Index Scan using endpoint_organization /,
	'endpoints are found by organization');

done_testing();
