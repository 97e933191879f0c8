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

# How many ticks of CPU it has used.
sub ticks
{
	my @fields = split ' ', slurp_file("/proc/$pid/stat") =~ s/.*\) //sr;
	return $fields[11] + $fields[12];
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
my ($ticks, $start) = (ticks(), time);
wait_for_wake_ups(3);
my $took = time - $start;

is(last_query(), $query, 'an idle worker runs no query');
cmp_ok($took, '>', 6, 'and wakes up every few seconds only');
cmp_ok(ticks() - $ticks, '<=', 1,
	'using no CPU time, beside a connection that was closed');

# an_event_after_that_arrives_at_once
$start = time;
$t->emit;
my ($request) = ($t->wait_for_journal(2, undef, 2))[1];
cmp_ok($request->{time} - $start, '<', 0.5, 'a commit wakes it at once');

# looks_use_indexes_only: the plan of the statement that reads new events, as
# the worker runs it, at the full number of partitions.
my $extension = "$FindBin::RealBin/../../extension";
my $source = slurp_file("$extension/queue.c");
my %fragments =
  $source =~ /^#define (NEW_\w+) \\\n((?:.*\\\n)*.*\n)/mg;

# The text of a statement: string literals, and fragments that are macros.
sub text_of
{
	my ($code) = @_;

	$code =~ s/\b(NEW_\w+)/$fragments{$1}/ while $code =~ /\bNEW_\w+/;
	return join '', $code =~ /"([^"\n]*)"/g;
}

my ($code, $later, $types) = $source =~
  /Statement read_new = \{(.*?)SPI_OK.*?Statement read_new_later = \{(.*?)SPI_OK_SELECT, \d+,\s*\{([^}]*)\}/s;
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

$t->sql(
	"select webhook._make_partition(clock_timestamp() + n * webhook._retention() / 6)
	   from generate_series(0, 9) n;
	 select webhook.set_organization('other', 'Other');
	 select webhook.emit('review.completed', 'other', '{}')
	   from generate_series(1, 10000);
	 analyze webhook.event; analyze webhook.endpoint;");
is($t->sql("select count(*) from webhook._partitions('webhook.event')"),
	10, 'there are 10 partitions');

my $origin = $t->sql('select webhook._origin()');
my $zero = '00000000-0000-0000-0000-000000000000';
for my $case (
	[ 'in a window', text_of($code), "'900:900:'", 20 ],
	[ 'a fresh look', text_of($code), 'null', 20 ],
	[ 'in a window, none were running', text_of($later), "'900:900:'", 10 ],
	[ 'a fresh look, none were running', text_of($later), 'null', 10 ])
{
	my ($name, $statement, $high, $ranges) = @$case;
	my $plan = $t->sql(
		"$settings
		 prepare look ($parameters) as $statement;
		 explain execute look ($origin, '900', '{800,810}', '0', '$zero',
			9223372036854775807, $high, -1, 512, 2000, '$zero')");
	my @scans = $plan =~ /Index(?: Only)? Scan using event_\d\w+_taken /g;

	unlike($plan, qr/Seq Scan|Bitmap/, "$name: no table is scanned")
	  or diag $plan;
	is(scalar @scans, $ranges, "$name: each partition once for a range")
	  or diag $plan;
	like($plan, qr/Index Scan using endpoint_organization /,
		"$name: endpoints are found by organization");
	unlike($plan, qr/-> +Sort .*\n *Sort Key: e\.xid.*\n.*Index/,
		"$name: ranges come in order");
}

done_testing();
