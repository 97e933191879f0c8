# What is looked at: the dashboard, and the metrics with their alert rules.

use strict;
use warnings;
use Encode qw(decode_utf8);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('look');
my $docs = "$FindBin::RealBin/../../docs";

sub promtool
{
	my ($input, @arguments) = @_;
	my $output = '';

	IPC::Run::run([ 'promtool', @arguments ], '<', \$input, '>', \$output, '2>&1')
	  or $output .= "\npromtool failed";
	return $output;
}

sub dashboard
{
	my ($database) = @_;

	return map { decode_utf8($_) } split /\n/, $t->sql('select dashboard from webhook.dashboard', $database);
}

# an_idle_database_has_both
like((dashboard())[0], qr/^postgres at [\d:]+: 0 attempts this minute, 0 in the hour, none failed$/,
	'a dashboard before anything happened');
like($t->sql('select webhook.openmetrics()'), qr/^# HELP .*\n# EOF$/s, 'and metrics');

# Endpoints of every kind, with names that would break something.
my $hostile = q(E'a"b\\\\c\nd\x1b[31m');
my $fine = $t->endpoint('/ok', name => $hostile);
my $failing = $t->endpoint('/status/500?' . 'x' x 200, retry_schedule => "'{10ms}'");
my $waiting = $t->endpoint('/status/503', name => "'waiting'", retry_schedule => "'{1h}'");
$t->endpoint("/ok/$_", name => "'number $_'") for 1 .. 20;
$t->emit for 1 .. 5;
$t->wait_for_sql('select succeeded = 105 and failed = 15 from webhook.stat_database');
$t->wait_for_sql('select events = 0 and deliveries = 5 from webhook._backlog(10)');

# the_dashboard_shows_where_to_look
my $time = qr/[\d.]+ m?s/;
my @lines = dashboard();
is(scalar(grep { length > 118 } @lines), 0, 'the dashboard fits 120 columns');
is(scalar(grep { /[\x00-\x1f]/ } @lines), 0, 'and has no control character');
like($lines[0], qr/120 in the hour, 12.5 % failed$/, 'attempts in total');
like($lines[1], qr{^worker 1/1 running for \S+ \S+, 0 on the wire$}, 'the worker');
like($lines[2], qr/^waiting: 0 events not taken, 5 deliveries not finished for up to \d/,
	'what waits, and for how long');
is(scalar(grep { /^#\d/ } @lines), 20, 'twenty endpoints');
like($lines[5], qr/^#$failing 127.*\.\. enabled \s*\x{2588}\s.* 0 the receiver answered with sta$/,
	'those that fail first, with their error');
like($lines[6], qr/^#$waiting waiting +enabled .* 5 the receiver/, 'with what waits');
like((grep { /^#$fine / } @lines)[0],
	qr/^#$fine a"b\\c\?d\?\[31m +enabled +\x{2588} {16} *$time +$time +0 ?$/,
	'then the others');
my ($header) = grep { /^endpoint/ } @lines;
my ($first) = grep { /^#$waiting/ } @lines;
is(index($header, 'last error'), index($first, 'the receiver'), 'columns stand below each other');

# How often statements scan tables, in a transaction of their own.
sub scans
{
	my ($statements, $scans, $tables) = @_;

	return (split /\n/, $t->sql("begin; $statements;
		select sum($scans) from pg_stat_xact_all_tables where schemaname = 'webhook' and relname ~ '^($tables)\$';
		commit"))[-1];
}

# the_dashboard_looks_at_no_attempt
is(scans('select count(*) from webhook.dashboard; select webhook.openmetrics() is null',
		'seq_scan + coalesce(idx_scan, 0)', 'attempt_.*'),
	0, 'neither dashboard nor metrics look at the log');

# nor does it, or webhook.status, read all that waits to find out who waits.
$t->sql('analyze webhook.queue');
is(scans('select count(*) from webhook._dashboard_rows(20); select webhook._held_back(0, 1) is null',
		'seq_scan', 'queue'),
	0, 'what waits for an endpoint is found by index');
cmp_ok(scans('select count(*) from webhook.attempt, webhook.queue', 'seq_scan + coalesce(idx_scan, 0)',
		'attempt_.*|queue'), '>', 1, 'and scans are counted');

# the_history_of_the_outbox_costs_nothing
like($t->sql("explain (costs off) select e.id from webhook.event e
		where e.origin = 1 and e.xid <> '3' and e.xid >= '10' order by e.xid, e.id limit 5"),
	qr/Index (?:Only )?Scan using event_\d+_\d+_taken/, 'events not taken are found by index');

# what_is_not_taken_is_counted
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
$t->emit for 1 .. 3;
is($t->sql('select waiting_events from webhook.status'), 3, 'events that wait');
is( $t->sql("select events, oldest_event between now() - interval '1 min' and now(),
		deliveries, oldest_delivery < oldest_event from webhook._backlog(100000)"),
	'3|t|5|t', 'their number and age');
is($t->sql('select events from webhook._backlog(2)'), 2, 'as far as they are counted');
like((dashboard())[2], qr/^waiting: 3 events not taken for up to/, 'shown in the dashboard');
my $metrics = $t->sql('select webhook.openmetrics()');
like($metrics, qr/^webhook_waiting_events\{database="postgres"\} 3$/m, 'and in the metrics');
like($metrics, qr/^webhook_workers\{database="postgres",state="off"\} 1$/m, 'a worker that is off');

# metrics
for my $line (
	qr/webhook_attempts_total\{database="postgres",result="succeeded"\} 105/,
	qr/webhook_attempts_total\{database="postgres",result="http"\} 15/,
	qr/webhook_given_up_deliveries_total\{database="postgres"\} 5/,
	qr/webhook_attempt_duration_seconds_bucket\{database="postgres",le="\+Inf"\} 120/,
	qr/webhook_attempt_duration_seconds_count\{database="postgres"\} 120/,
	qr/webhook_oldest_event_age_seconds\{database="postgres"\} \d+\.\d+/,
	qr/webhook_oldest_delivery_age_seconds\{database="postgres"\} \d+\.\d+/,
	qr/webhook_endpoints\{database="postgres",status="enabled"\} 23/,
	qr/webhook_endpoint_attempts_total\{database="postgres",endpoint="$failing",result="failed"\} 10/,
	qr/webhook_endpoint_given_up_deliveries_total\{database="postgres",endpoint="$failing"\} 5/,
	qr/webhook_endpoint_info\{.*,name="a\\"b\\\\c\\nd\x1b\[31m",status="enabled"\} 1/)
{
	like($metrics, qr/^$line$/m, "metrics: $line");
}

# pg_monitor_sees_both
$t->sql('create role watcher; grant pg_monitor to watcher');
is( $t->sql('set role watcher; select count(*) > 5 from webhook.dashboard'),
	't', 'members of pg_monitor see the dashboard');
like($t->sql('set role watcher; select webhook.openmetrics()'),
	qr/webhook_waiting_events/, 'and the metrics');

# whoever_locks_our_tables: what happens can be seen all the same.
my $limited = "set statement_timeout = '10s'";
my %seen = (
	event => qr/^what waits is not known: process \d+ holds a lock on table webhook\.event\b/,
	queue => qr/^what waits is not known: process \d+ holds a lock on table webhook\.queue/,
	cursor => qr/^what waits is not known: process \d+ holds a lock on table webhook\.cursor/,
	endpoint => qr/^what waits is not known: process \d+ holds a lock on table webhook\.endpoint/,
	attempt => qr/^waiting: 3 events not taken/);
for my $table (sort keys %seen)
{
	my $session = $t->session;

	$session->query_safe("begin; lock table webhook.$table in access exclusive mode");
	# A worker that is off has its turns, and needs none of these.
	my $reloaded = $t->sql('select clock_timestamp() from pg_reload_conf()');
	$t->wait_for_sql("select exists (select from pg_stat_activity
		where backend_type = 'webhook worker' and state = 'idle' and state_change > '$reloaded')");
	is($t->sql("$limited; select state from webhook.status"), 'off', "$table locked: webhook.status");
	like($t->sql("$limited; select dashboard from webhook.dashboard offset 2 limit 1"), $seen{$table},
		"$table locked: webhook.dashboard");
	is($t->sql("$limited; select attempts from webhook.stat_database"), 120, "$table locked: webhook.stat_database");
	my $metrics = $t->sql("$limited; select webhook.openmetrics()");
	like($metrics, qr/^webhook_attempts_total.*^# EOF$/ms, "$table locked: the metrics");
	unlike($metrics, $table eq 'cursor' ? qr/^webhook_waiting_events\{/m
		: $table eq 'endpoint' ? qr/^webhook_endpoints\{/m : qr/^webhook_relation_bytes\{/m,
		"$table locked: without what is in it");
	$session->query_safe('rollback');
	$session->quit;
}

# who_waits_for_such_a_lock is as much in the way: readers queue up behind.
my $reader = $t->session;
$reader->query_safe('begin; select count(*) from webhook.event');
my $rewriter = $t->session;
$rewriter->query_until(qr/begun/, "\\echo begun\nbegin; lock table webhook.event in access exclusive mode;\n");
$t->wait_for_sql("select exists (select from pg_locks where not granted and relation = 'webhook.event'::regclass)");
like($t->sql("$limited; select dashboard from webhook.dashboard offset 2 limit 1"),
	qr/not known: process \d+ waits for a lock on table webhook\.event/, 'waiting for a lock: webhook.dashboard');
is($t->sql("$limited; select state, waiting_events is null from webhook.status"), 'off|t',
	'waiting for a lock: webhook.status');
$reader->query_safe('rollback');
$_->quit for $reader, $rewriter;

# other_encodings_have_bars_as_well
$t->sql("create database latin encoding 'LATIN1' locale 'C' template template0");
$t->install('latin');
like((dashboard('latin'))[0], qr/^latin at/, 'a dashboard in LATIN1');
is( $t->sql("select webhook._sparkline('{0,1,2,3,4,5,6,7,8,9}', 8)", 'latin'),
	' .:-=+*#@@', 'with bars of ASCII');
is(decode_utf8($t->sql("select webhook._sparkline('{0,1,2,3,4,5,6,7,8}', 8)")),
	" \x{2581}\x{2582}\x{2583}\x{2584}\x{2585}\x{2586}\x{2587}\x{2588}", 'elsewhere blocks');

# short_times
is( $t->sql("select string_agg(webhook._short_time(s), ', ') from unnest('{0,0.00001,0.0004,0.0124,0.9996,1.25,9.96,59,100,5000,86400,1e6}'::float8[]) s"),
	'0 ms, 0.1 ms, 0.4 ms, 12 ms, 1.0 s, 1.3 s, 10 s, 59 s, 2 min, 83 min, 24 h, 12 d', 'durations in six characters');

SKIP:
{
	skip 'no promtool here', 3 if system('promtool --version >/dev/null 2>&1') != 0;

	is(promtool("$metrics\n", 'check', 'metrics'), '', 'promtool finds nothing wrong with the metrics');
	like(promtool('', 'check', 'rules', "$docs/alerts.yml"), qr/SUCCESS: \d+ rules found/,
		'nor with the alert rules');
	like(promtool('', 'test', 'rules', "$docs/alerts-test.yml"), qr/SUCCESS/,
		'which fire when they should');
}

# what_waits_without_an_attempt_is_seen
$t->sql("update webhook.endpoint set events = '{team.*}'");
$t->configure('webhook.enabled = on');
my $paused = $t->endpoint('/ok/paused', name => "'paused'", events => "'{billing.*}'");
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
$t->emit(event => 'billing.credits_low');
$t->wait_for_sql("select count(*) = 1 from webhook.queue where endpoint_id = $paused");
@lines = grep { /^#\d/ } dashboard();
like((grep { !/^#($failing|$waiting) / } @lines)[0], qr/^#$paused paused +paused .* 1 ?$/,
	'an endpoint for which something waits comes before the busy ones');
is(scalar(@lines), 20, 'and still there are twenty');

done_testing();
