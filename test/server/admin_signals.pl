# Signals, shutdowns and a server without room.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Webhook;

my $t = Webhook->new('admin_signals', 'max_connections = 12', 'superuser_reserved_connections = 3');
my $node = $t->node;
my $main = $t->endpoint('/ok/main');

sub log_size { return -s $node->logfile }

sub lines
{
	my ($offset) = @_;

	return scalar(() = slurp_file($node->logfile, $offset) =~ /^\d{4}-.*webhook/mg);
}

sub wait_for_arrival
{
	my ($what, $id) = @_;

	return Webhook::wait_until("$what: event $id", 40,
		sub { my %times = $t->receiver->arrivals; $times{$id} });
}

# a_storm_of_cancels: the worker stays, and goes on
my ($pid) = $t->wait_for_workers;
my @events;
my $offset = log_size();
for my $n (1 .. 400)
{
	kill INT => $pid;
	usleep(2000);
	push @events, $t->emit if $n % 40 == 0;
}
wait_for_arrival('a storm of cancels', $_) for @events;
is(($t->worker_pids)[0], $pid, 'a storm of cancels: the worker is the same');
cmp_ok(lines($offset), '<=', 5, 'and says little of it');
$t->wait_until_done;
is($t->sql("select count(*) from webhook.attempt where error_class = 'interrupted'"), 0, 'no attempt was lost');

# a_storm_of_terminations: attempts count only if they were made
my $hanging = $t->endpoint('/hang', timeout => "'1h'", events => "'{team.*}'");
my $held = $t->emit(event => 'team.member_added');
$t->wait_for_journal(1, qr/hang/);
@events = ();
$offset = log_size();
for (1 .. 8)
{
	push @events, $t->emit;
	($pid) = $t->wait_for_workers;
	kill TERM => $pid;
	usleep(20_000), kill TERM => $pid for 1 .. 10;
}
wait_for_arrival('a storm of terminations', $_) for @events;
$t->wait_for_sql("select count(*) = 8 from webhook.delivery where status = 'succeeded'
	and event_id in ('" . join("','", @events) . "') and attempts = 1");
pass('a storm of terminations: all arrives at the first attempt');
is($t->sql("select attempts from webhook.delivery where event_id = '$held' and endpoint_id = $hanging"), 1,
	'what hangs has used up no attempt');
cmp_ok(lines($offset), '<=', 8 * 3, 'the log has few lines of it');

# the_launcher_is_terminated and cancelled
my $launcher = $t->sql("select pid from pg_stat_activity where backend_type = 'webhook launcher'");
kill INT => $launcher;
kill TERM => $launcher;
$t->wait_for_sql("select count(*) = 1 from pg_stat_activity
	where backend_type = 'webhook launcher' and pid <> $launcher");
($pid) = $t->wait_for_workers;
kill TERM => $pid;
wait_for_arrival('another launcher', $t->emit);
pass('another launcher starts workers');

# connection_slots_exhausted
my @sessions = map { $t->session } 1 .. 9;
$sessions[0]->query_safe("select webhook.emit('review.completed', 'org_1', '{}')");
($pid) = $t->worker_pids;
kill TERM => $pid;
my $id = $sessions[1]->query_safe("select webhook.emit('review.completed', 'org_1', '{}')");
wait_for_arrival('no connection left', $id);
pass('no connection left: it delivers');
$_->quit for @sessions;

# fast_and_smart_shutdown with fifty requests that hang
$t->sql("select webhook.create_endpoint('org_1', '" . $t->receiver->url('/hang') . "', '{security.*}', timeout => '1h')
	from generate_series(1, 50)");
$t->emit(event => 'security.alert_created');
for my $mode ('fast', 'smart')
{
	my $count = $t->receiver->journal(qr/hang/);

	$t->wait_for_sql('select sum(in_flight) >= 51 from webhook.status');
	my $start = time;
	$node->stop($mode);
	cmp_ok(time - $start, '<=', 2, "$mode shutdown with 50 requests that hang takes 2 s at most");
	$node->start;
	$t->wait_for_journal($count + 51, qr/hang/);
}
is($t->sql("select count(*) from webhook.attempt where error_class = 'interrupted'"), 0, 'none of them was counted');
$t->sql("delete from webhook.endpoint where id <> $main");

# the_postmaster_is_killed: workers go, and send nothing more
$t->endpoint('/delay/200/500?late', retry_schedule => "'{100ms,100ms,100ms,100ms,100ms,100ms,100ms,100ms}'");
($pid) = $t->wait_for_workers;
$t->emit;
$t->wait_for_journal(1, qr/late/);
$node->kill9;
Webhook::wait_until('the worker to go', 10, sub { !kill 0 => $pid });
$node->start;
$t->wait_until_done(undef, 60);
is($t->sql("select count(*) > 1 from webhook.attempt where url like '%late'"), 't',
	'after the postmaster was killed it goes on');
$t->sql("delete from webhook.endpoint where id <> $main");

# a_reload_while_a_worker_starts
{
	local $ENV{LD_PRELOAD} = Webhook::preload('reload');
	$node->restart;
}
($pid) = $t->wait_for_workers;
$node->append_conf('postgresql.conf', "webhook.header_prefix = 'X-Late'");
append_to_file($node->data_dir . '/reload', '');
kill TERM => $pid;
wait_for_arrival('a worker that starts', $t->emit);
unlink $node->data_dir . '/reload';
my ($request) = ($t->receiver->journal)[-1];
ok((grep { $_->[0] =~ /^X-Late-/i } @{ $request->{headers} }), 'a reload while a worker starts is not lost');

# no_background_worker_left
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$offset = log_size();
$node->restart;
$t->wait_for_sql("select state = 'none' and reason ~ 'no free background worker slot: raise max_worker_processes' from webhook.status");
is($t->sql("select count(*) from webhook.check() where subject = 'max_worker_processes'"), 1,
	'not one for who looks which databases need workers: webhook.status and check() say it');
$node->wait_for_log(qr/WARNING:  webhook could not start a worker: no free background worker slot/, $offset);
pass('and the log');
$offset = log_size();
$node->restart;
$id = $t->emit;
$node->wait_for_log(qr/WARNING:  webhook could not start a worker: no free background worker slot/, $offset);
$t->wait_for_sql("select state = 'none' and reason ~ 'raise max_worker_processes' and waiting_events = 1 from webhook.status");
pass('no background worker left: a warning, a row in webhook.status, and emit works');
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
$t->wait_for_sql("select reason ~ 'launcher is not running: raise max_worker_processes' from webhook.status");
pass('not even one for the launcher: webhook.status says it');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
wait_for_arrival('background workers again', $id);
pass('with more of them it delivers');

done_testing();
