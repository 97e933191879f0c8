# After a crash, cut-off attempts are recorded as interrupted and go on; a row
# that crashes the worker every time runs out of attempts, and its neighbours
# are delivered.  What a crash takes back is never sent.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('recovery', "webhook.retry_schedule = '1s, 2s, 3s'",
	"webhook.timeout = '20s'", 'fsync = off', 'log_min_messages = fatal');
my $node = $t->node;

sub restart_with
{
	my ($library) = @_;
	local $ENV{LD_PRELOAD} = $library // '';

	$node->stop;
	$node->start;
}

sub wait_through_crashes
{
	my ($query) = @_;

	return $t->wait_through_crashes($query, 90);
}

# The server and all of its processes, at once.
sub crash
{
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @children = split ' ', slurp_file("/proc/$pid/task/$pid/children");

	$node->kill9;
	kill KILL => @children;
	Webhook::wait_until('its processes to end', undef,
		sub { !grep { kill 0 => $_ } $pid, @children });
}

# a_row_that_crashes_the_worker_fails_alone
restart_with(Webhook::preload('crash'));
$t->sql("select webhook.set_organization('other', 'Other')");
$t->endpoint('/ok?same');
$t->endpoint('/delay/1500', organization => 'other');
$t->endpoint('/ok?quick', organization => 'other');
my @emits = map { "select webhook.emit('review.completed', '$_', '{}') from generate_series(1, 15);" }
  ('org_1', 'other');
$t->sql("begin; $emits[0]
	select webhook.emit('review.completed', 'org_1', '{\"x\":\"poison for the worker\"}');
	$emits[1] $emits[0] commit");
wait_through_crashes('select not exists (select from webhook.queue)
	and webhook._waiting_events() = 0');
is_deeply(
	[ $t->rows("select attempt, error_class, outcome from webhook.attempt a
		join webhook.event e on e.id = a.event_id
		where payload::text like '%poison%' order by attempt") ],
	[ (map { { attempt => $_, error_class => 'interrupted', outcome => undef } } 1 .. 3),
		{ attempt => 4, error_class => 'interrupted', outcome => 'failed' } ],
	'a row that crashes the worker fails after its attempts, all interrupted');
is( $t->sql("select count(*) from webhook.delivery
		where status = 'succeeded' and event_type = 'review.completed'"),
	60, 'its neighbours are delivered');
restart_with();

# cut_off_attempts_go_on_within_seconds
$t->sql('delete from webhook.endpoint');
$t->endpoint('/hang', retry_schedule => "'{1h,1h}'");
my $hanging = $t->emit;
$t->wait_for_journal(1, qr{^/hang});
my ($pid) = $t->wait_for_workers;
my $killed = time;
kill KILL => $pid;
$t->wait_for_journal(2, qr{^/hang});
my $took = time - $killed;
wait_through_crashes('select true');
cmp_ok($took, '<', 20, 'a cut-off attempt goes on within seconds');
is_deeply([ map { $_->{attempt} } $t->receiver->journal(qr{^/hang}) ],
	[ 1, 2 ], 'as the next one');
is($t->sql("select attempt, error_class, outcome is null from webhook.attempt
		where event_id = '$hanging'"),
	'1|interrupted|t', 'and the log has it as interrupted');
is($t->sql("select started_at >= to_timestamp($killed) from webhook.attempt
		where event_id = '$hanging'"),
	't', 'at the time when that was found');

# retries_survive_restarts_with_their_timing
$t->sql('delete from webhook.endpoint');
$t->endpoint('/status/500,200?later', retry_schedule => "'{6s}'");
my $later = $t->emit;
$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$later')");
for my $mode ('fast', 'immediate')
{
	$node->stop($mode);
	$node->start;
}
my @requests = $t->wait_for_journal(2, qr/later/);
my $up = $t->sql("select extract(epoch from since) from webhook.status");
my ($early, $late) = split /\|/,
  $t->sql("select b.started_at < a.started_at + a.duration + interval '6 s',
		b.started_at > greatest(a.started_at + a.duration + interval '6 s',
			to_timestamp($up)) + interval '1 s'
		from webhook.attempt a join webhook.attempt b using (event_id)
		where event_id = '$later' and a.attempt = 1 and b.attempt = 2");
is($early, 'f', 'a retry after restarts is not early');
is($late, 'f', 'nor later than a second after the worker is up');
cmp_ok($requests[1]{monotonic} - $requests[0]{monotonic}, '>=', 6,
	'so says the receiver');

# what_a_crash_takes_back_is_never_sent: nobody flushed those commits.
$t->sql('delete from webhook.endpoint');
$t->endpoint('/ok?phantom');
my $script = $node->basedir . '/emit.sql';
append_to_file($script, "set synchronous_commit = off;\n"
	. "select webhook.emit('review.completed', 'org_1', '{}');\n");
for my $round (1 .. 4)
{
	my $load = IPC::Run::start(
		[ 'pgbench', '--no-vacuum', '--client=4', '--rate=400', '--time=60', '--file', $script,
			'--host', $node->host, '--port', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $err);
	my $seen = $t->receiver->journal(qr/phantom/);

	$t->wait_for_journal($seen + 50 + int rand 200, qr/phantom/);
	crash();
	$load->kill_kill(grace => 0);
	$node->start;
}
$t->wait_until_done(undef, 60);
my %kept = map { $_ => 1 } split /\n/, $t->sql('select id from webhook.event');
my %sent = $t->receiver->arrivals(qr/phantom/);
is(scalar(grep { !$kept{$_} } keys %sent), 0,
	'no request for an event that a crash took back');
cmp_ok(scalar keys %sent, '>', 200, 'of many');
is( $t->sql("select count(*) from webhook.delivery d
		join webhook.endpoint t on t.id = d.endpoint_id where d.status <> 'succeeded'"),
	0, 'and what is left was delivered');

# a_damaged_payload_fails_alone: the file of its partition's long values is empty.
$t->sql("alter system set webhook.enabled = off");
$node->reload;
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
my $long = q{json_build_object('x', (select string_agg(md5(n::text), '') from generate_series(1, 1000) n))};
my ($before, $damaged, $behind) = map { $t->sql("select webhook.emit('review.completed', 'org_1', $_)") }
  "'{}'", $long, "'{}'";
my $file = $t->sql("select pg_relation_filepath(c.reltoastrelid) from webhook.event e
	join pg_class c on c.oid = e.tableoid where e.id = '$damaged'");
$t->sql("alter system reset webhook.enabled");
$node->stop;
truncate $node->data_dir . "/$file", 0 or die $!;
$node->start;
$t->wait_until_done(undef, 60);
is($t->sql("select string_agg(coalesce(error_class, 'fine'), ' ' order by event_id, attempt)
		from webhook.attempt where event_id in ('$before', '$damaged', '$behind')"),
	'fine internal internal internal internal fine', 'a damaged payload fails alone');
is($t->sql("select distinct error from webhook.attempt where event_id = '$damaged'"),
	'the payload is damaged', 'the log says so');

done_testing();
