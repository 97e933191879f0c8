# Transactions in two phases: what COMMIT PREPARED makes visible is seen at
# once, be it events or not, and many of them cost little.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('prepared');
my $node = $t->node;
my $endpoint = $t->endpoint('/ok');
my $event = $t->emit;
$t->wait_for_journal(1);
$t->wait_until_done;

sub prepare
{
	my ($name, $statements, $database) = @_;

	$t->sql("begin; $statements; prepare transaction '$name'", $database);
}

sub is_done_soon
{
	my ($what, $arrivals) = @_;
	my $start = time;

	$t->wait_for_journal($arrivals);
	cmp_ok(time - $start, '<', 3, "$what: at once");
	$t->wait_until_done;
}

# an_endpoint_enabled_in_two_phases
$t->sql("update webhook.endpoint set status = 'paused'");
$t->emit;
$t->wait_for_sql("select exists (select from webhook.queue)");
prepare('enable', "update webhook.endpoint set status = 'enabled'");
$t->sql("commit prepared 'enable'");
is_done_soon('an endpoint enabled', 2);

# a_redelivery_in_two_phases
prepare('redeliver', "select webhook.redeliver('$event', $endpoint)");
$t->sql("commit prepared 'redeliver'");
is_done_soon('a redelivery', 3);

# prepared_before_a_restart: nobody remembers what it was
prepare('survivor', "select webhook.redeliver('$event', $endpoint)");
$node->restart;
$t->wait_for_workers;
$t->sql("commit prepared 'survivor'");
is_done_soon('a redelivery prepared before a restart', 4);

# rolled_back it changes nothing
prepare('rollback', "select webhook.redeliver('$event', $endpoint)");
$t->sql("rollback prepared 'rollback'");
$t->emit;
is_done_soon('an event after ROLLBACK PREPARED', 5);

# events_in_two_phases do not make the worker read its configuration each time
sub checks
{
	return $t->sql("select pg_stat_force_next_flush();
		select seq_scan + idx_scan from pg_stat_all_tables where relid = 'webhook.identity'::regclass")
	  =~ s/\s//gr;
}
my $before = checks();
my $start = time;
$t->sql(join '', map { "begin; select webhook.emit('review.completed', 'org_1', '{}');
	prepare transaction 'event $_'; commit prepared 'event $_';" } 1 .. 300);
$t->wait_for_journal(305);
$t->wait_until_done;
my $allowed = 3 * (time - $start + 2);
$t->sql("select pg_terminate_backend(pid, 10000) from webhook.status");
cmp_ok(checks() - $before, '<', $allowed, 'three hundred events: the configuration is read once a second');

# create_extension_in_two_phases, and again after a restart
for my $database ('second', 'third')
{
	$t->sql("create database $database");
	prepare($database, 'create extension webhook', $database);
	$node->restart if $database eq 'third';
	is(scalar $t->worker_pids($database), 0, "$database: prepared, no worker");
	$t->sql("commit prepared '$database'", $database);
	$t->wait_for_workers(1, $database);
	pass("$database: CREATE EXTENSION in two phases starts a worker");
}

# drop_extension_in_two_phases
prepare('drop', 'drop extension webhook', 'second');
$t->sql("commit prepared 'drop'", 'second');
Webhook::wait_until('the worker to leave', 4, sub { !$t->worker_pids('second') });
pass('DROP EXTENSION in two phases ends it');

# nobody else gets a place
$t->sql('create database other');
prepare('other', 'create table t (n int)', 'other');
$t->sql("commit prepared 'other'", 'other');
is(scalar $t->worker_pids('other'), 0, 'where the extension is not there is no worker');

done_testing();
