# Databases and roles are administered as if there were no workers.

use strict;
use warnings;
use POSIX qw(SIGUSR1);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('admin_database', 'max_worker_processes = 16');
my $node = $t->node;

sub logged
{
	my ($pattern, $offset) = @_;

	return scalar(() = slurp_file($node->logfile, $offset // 0) =~ /$pattern/g);
}

sub log_size { return -s $node->logfile }

sub arrives
{
	my ($what, $id) = @_;

	Webhook::wait_until("$what: event $id", 30,
		sub { my %times = $t->receiver->arrivals; $times{$id} });
	pass("$what: it delivers");
}

sub make_database
{
	my ($name) = @_;

	$t->sql("create database $name");
	$t->install($name);
	$t->endpoint("/ok/$name", database => $name);
	$t->wait_for_workers(1, $name);
	arrives("a worker in $name", $t->emit(database => $name));
}

# Statements about a database, while its worker is connected and busy.
sub takes_less_than
{
	my ($seconds, $statement, $user) = @_;
	my $start = time;
	my ($status, undef, $stderr) = $node->psql('postgres', $statement,
		extra_params => $user ? [ '--username', $user ] : []);

	is($status, 0, $statement) or diag($stderr);
	cmp_ok(time - $start, '<', $seconds, "within $seconds s");
}

$t->endpoint('/ok/main');
make_database('shop');
my $hanging = $t->endpoint('/hang', database => 'shop', timeout => "'1h'");
$t->emit(database => 'shop');
$t->wait_for_journal(1, qr/hang/);

# databases_of_others
$t->sql('create database other');
takes_less_than(3, 'drop database other');
$t->sql('create database other');
takes_less_than(3, 'alter database other rename to another');
takes_less_than(3, 'drop database another');
is(scalar($t->receiver->journal(qr/hang/)), 1, 'our worker was not disturbed');

# its_own_database, with a request that hangs
takes_less_than(5, 'alter database shop rename to store');
$t->sql("delete from webhook.endpoint where id = $hanging", 'store');
arrives('renamed', $t->emit(database => 'store'));
mkdir $node->basedir . '/space';
my $space = $node->basedir . '/space';
$t->sql("create tablespace space location '$space'");
takes_less_than(10, 'alter database store set tablespace space');
arrives('moved', $t->emit(database => 'store'));
takes_less_than(10, 'create database clone template store');
arrives('its template', $t->emit(database => 'store'));

# one_after_the_other: the worker asked for between two of them comes during the
# second, leaves, and is asked for again
my ($creator, $watcher) = ($t->session, $t->session);
my $postmaster = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/ ? $1 : die;
kill STOP => $postmaster;
$creator->query_safe('create database one template store');
Webhook::wait_until('the launcher to ask for a worker', 20, sub {
	hex(slurp_file("/proc/$postmaster/status") =~ /^ShdPnd:\s*(\w+)/m ? $1 : 0) & 1 << (SIGUSR1 - 1) });
$creator->query_until(qr/begun/, "\\echo begun\ncreate database two template store;\n");
Webhook::wait_until('the second', 20, sub { $watcher->query_safe(
	"select exists (select from pg_stat_activity where query ~ '^create database two' and state = 'active')") =~ /t/ });
kill CONT => $postmaster;
$creator->query_safe('select 1');
my $began = time;
arrives('the template of two', $t->emit(database => 'store'));
cmp_ok(time - $began, '<', 5, 'and soon');
$_->quit for $creator, $watcher;
$t->sql("drop database $_") for 'one', 'two';
$t->wait_for_sql("select bool_and(state = 'copy') from webhook.status", 'clone');
takes_less_than(3, 'drop database clone');

# a_failed_statement brings the workers back
my $guest = $t->session('store');
my (undef, undef, $stderr) = $node->psql('postgres', 'drop database store');
like($stderr, qr/is being accessed by other users/, 'DROP DATABASE fails for others who are connected');
unlike($stderr, qr/There are [2-9]/, 'and counts only them');

# a_terminated_one as well
my $copying = $t->session;
$copying->query_until(qr/begun/, "\\echo begun\ncreate database copy template store;\n");
$t->wait_for_sql("select not exists (select from pg_stat_activity
	where datname = 'store' and backend_type = 'webhook worker')");
$t->sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where query ~ '^create database copy'");
eval { $copying->quit };
arrives('after a terminated CREATE DATABASE', $t->emit(database => 'store'));
$guest->quit;
arrives('after a failed DROP DATABASE', $t->emit(database => 'store'));

# drop_with_force_by_an_owner_who_is_no_superuser
$t->sql('create role landlord login; alter database store owner to landlord');
my $offset = log_size();
takes_less_than(5, 'drop database store with (force)', 'landlord');
$t->emit;
is(logged(qr/FATAL:(?!.*terminating)/, $offset), 0, 'a database that was dropped leaves no errors in the log');

# allow_connections_false: one line in the log, and it goes on when allowed
make_database('closed');
$offset = log_size();
$t->sql('alter database closed allow_connections false');
my ($pid) = $t->worker_pids('closed');
$t->sql("select pg_terminate_backend($pid)");
$node->wait_for_log(qr/"closed": it does not accept connections/, $offset);
$t->emit for 1 .. 3;
is(logged(qr/does not accept connections/, $offset), 1, 'one line says that it cannot connect');
is(logged(qr/FATAL:(?!.*terminating)/, $offset), 0, 'and it does not try in vain');
$t->sql('alter database closed allow_connections true');
arrives('connections allowed again', $t->emit(database => 'closed'));
is(logged(qr/webhook can connect to database "closed" again/, $offset), 1, 'which one line says as well');

# revoke_connect_from_everybody
$t->sql('revoke connect on database closed from public');
($pid) = $t->worker_pids('closed');
$t->sql("select pg_terminate_backend($pid)");
arrives('CONNECT revoked', $t->emit(database => 'closed'));
$t->sql('alter database closed connection limit 0');
($pid) = $t->wait_for_workers(1, 'closed');
$t->sql("select pg_terminate_backend($pid)");
arrives('a connection limit of 0', $t->emit(database => 'closed'));
$t->sql('drop database closed');

# the_role_webhook_is_renamed: known again from the first event on.
$t->sql('alter role webhook rename to hooks');
arrives('its role renamed', $t->emit);
$node->restart;
arrives('its role renamed, after a restart', $t->emit);
$t->sql('alter role hooks rename to webhook');
$t->sql('alter role webhook nologin');
arrives('its role renamed back', $t->emit);

# the_role_webhook_may_log_in, or is a superuser: then nothing runs as it.
$t->sql('alter role webhook login');
arrives('its role may log in', $t->emit);
$offset = log_size();
$t->sql('alter role webhook superuser');
$t->sql("update webhook.endpoint set description = 'x'");
$t->wait_for_sql("select state = 'failing' and reason ~ 'is a superuser' from webhook.status");
pass('and the worker says why it does nothing');
$t->sql('alter role webhook nosuperuser nologin');
arrives('its role is an ordinary one again', $t->emit);
cmp_ok(logged(qr/could not do its work/, $offset), '<=', 1, 'with one line in the log');

# the_role_cannot_be_dropped
(undef, undef, $stderr) = $node->psql('postgres', 'drop role webhook');
like($stderr, qr/cannot be dropped because some objects depend on it/, 'DROP ROLE webhook is refused');
(undef, undef, $stderr) = $node->psql('postgres', 'drop owned by webhook cascade');
like($stderr, qr/because extension webhook requires it/, 'DROP OWNED too');
arrives('still', $t->emit);

# more_databases_than_places_one_after_the_other: as a test suite makes them
$t->sql('create database pattern');
$t->install('pattern');
my $script = $node->basedir . '/databases.sql';
append_to_file($script, join '', map { <<"SQL" } 1 .. 66);
create database d$_ template pattern;
\\c d$_
select webhook._announce();
\\c postgres
drop database d$_;
SQL
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $script ],
	'66 databases come and go');
make_database('last');

# a_template_of_somebody_else may be copied by who may create databases
$t->sql('create role builder login createdb; create role visitor login');
$t->sql('alter database last is_template true');
takes_less_than(5, 'create database built template last', 'builder');
arrives('copied by somebody else', $t->emit(database => 'last'));
$t->sql('drop database built');
my ($before) = $t->worker_pids('last');
(undef, undef, $stderr) = $node->psql('postgres', 'create database built template last',
	extra_params => [ '--username', 'visitor' ]);
like($stderr, qr/permission denied to create database/, 'but by nobody else');
is(($t->worker_pids('last'))[0], $before, 'for whom the worker does not leave');
$t->sql('alter database last is_template false');
(undef, undef, $stderr) = $node->psql('postgres', 'create database built template last',
	extra_params => [ '--username', 'builder' ]);
like($stderr, qr/permission denied to copy database/, 'and only templates');
is(($t->worker_pids('last'))[0], $before, 'nor does it leave for who may not copy its database');

# the_scout_cannot_connect: where it looks does not matter, so it looks elsewhere
$t->sql('create database elsewhere');
$t->install('elsewhere');
$t->wait_for_workers(1, 'elsewhere');
my $version = $node->data_dir . '/base/'
  . $t->sql("select oid from pg_database where datname = 'postgres'") . '/PG_VERSION';
$node->stop;
rename $version, "$version.away" or die $!;
$node->start;
$t->wait_for_workers(1, 'elsewhere');
pass('postgres lets nobody connect: other databases have their workers');
rename "$version.away", $version or die $!;
$t->wait_for_workers;
pass('and it, too, as soon as it does');

done_testing();
