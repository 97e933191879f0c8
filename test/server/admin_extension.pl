# The extension is dropped, made, altered and rolled back while events flow.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('admin_extension', 'log_lock_waits = off');
my $node = $t->node;
my $endpoint = $t->endpoint('/ok/main');

# How often the server's log has a line that matches, from an offset on.
sub logged
{
	my ($pattern, $offset) = @_;

	return scalar(() = slurp_file($node->logfile, $offset // 0) =~ /$pattern/g);
}

# Emitters that go on whatever happens to the extension.
sub start_emitters
{
	my $script = $node->basedir . '/emit.sql';

	unlink $script;
	append_to_file($script, <<'SQL');
do $$
begin
    perform webhook.emit('review.completed', 'org_1', '{}');
exception when undefined_function or invalid_schema_name or undefined_table
       or foreign_key_violation or undefined_object then
    null;
end
$$;
\sleep 20 ms
SQL
	return IPC::Run::start(
		[ 'pgbench', '--no-vacuum', '--client=4', '--time=300', '--file', $script,
			'--host', $node->host, '--port', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $err);
}

# drop_extension_rolled_back_goes_on
my $before = $t->emit;
$t->wait_for_journal(1);
$t->sql('begin; drop extension webhook; rollback');
$t->emit;
$t->wait_for_journal(2);
pass('DROP EXTENSION, rolled back: delivery goes on');

# drop_extension_in_an_open_transaction: the worker waits for nobody.
my $session = $t->session;
$session->query_safe('begin; drop extension webhook');
my ($pid) = $t->worker_pids;
$node->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity
	where backend_type = 'webhook worker' and wait_event_type = 'Lock'");
$session->query_safe('rollback');
$t->emit;
$t->wait_for_journal(3);
pass('DROP EXTENSION in an open transaction, then rolled back: it goes on');

# alter_extension_under_load, and drop and create in a loop
my $emitters = start_emitters();
$t->wait_for_journal(20);
for (1 .. 5)
{
	$t->sql("begin; create table extra (); alter extension webhook add table extra;
		alter extension webhook drop table extra; drop table extra; commit");
}
my $count = $t->receiver->journal;
$t->wait_for_journal($count + 20);
pass('ALTER EXTENSION under load: it goes on');

# A key that is known takes no event, and is in nobody's way all the same.
$emitters->kill_kill(grace => 1);
my $keyed = "select webhook.emit('review.completed', 'org_1', '{}', 'key";
$t->sql("${keyed}_1')");
my ($emitter, $dropper) = ($t->session, $t->session);
$emitter->query_safe("begin; ${keyed}_1')");
$dropper->query_until(qr/begun/, "\\echo begun\ndrop extension webhook;\n");
$t->wait_for_sql('select exists (select from pg_locks where not granted)');
$emitter->query_safe("${keyed}_2'); commit");
$dropper->query_safe('select 1');
$_->quit for $emitter, $dropper;
pass('DROP EXTENSION waits for who emits with a key');
$t->install('postgres');

$emitters = start_emitters();
for (1 .. 5)
{
	$t->sql('drop extension webhook');
	$t->install('postgres');
	my $id = $t->endpoint("/ok/again/$_");
	$t->wait_for_journal(5, qr{/ok/again/$_$});
}
$emitters->kill_kill(grace => 1);
pass('DROP and CREATE EXTENSION in a loop under load: each one delivers');
is(logged(qr/deadlock detected/), 0, 'and there is no deadlock');
$t->wait_until_done;
my %times;
$times{"$_->{id} $_->{path}"}++ for $t->receiver->journal;
is(scalar(grep { $_ > 1 } values %times), 0, 'nothing is sent twice');

done_testing();
