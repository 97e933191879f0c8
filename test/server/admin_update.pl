# ALTER EXTENSION UPDATE while events flow: between the library's version and
# the one of the SQL objects nothing is sent, and nothing is lost.
#
# There is one version; a folder of our own in the place of the server's, in a
# namespace, has another one and the ways between them.

use strict;
use warnings;
use Time::HiRes qw(time);
use Test::More;

BEGIN
{
	if (!$ENV{WEBHOOK_UPDATE_TEST})
	{
		$ENV{WEBHOOK_UPDATE_TEST} = 1;
		my @words = qw(unshare --user --map-current-user --keep-caps --mount);
		system("@words true 2>/dev/null") == 0
		  or plan(skip_all => 'needs user and mount namespaces');
		exec @words, $^X, $0, @ARGV or die $!;
	}
}

use PostgreSQL::Test::Utils;
use Webhook;

chomp(my $folder = `$ENV{PG_CONFIG} --sharedir`);
$folder .= '/extension';
my $ours = PostgreSQL::Test::Utils::tempdir();
system("cp $folder/webhook* $folder/plpgsql* $ours") == 0 or die;
my ($current) = slurp_file("$ours/webhook.control") =~ /default_version = '(.*)'/;
my $older = 'alter table webhook.organization add before_now text;
	alter table webhook.endpoint add before_now text;
';
append_to_file("$ours/webhook--$current--0.9.sql", $older);
append_to_file("$ours/webhook--0.9--$current.sql", $older =~ s/add (\w+) text/drop $1/gr);
append_to_file("$ours/webhook--0.9.sql", slurp_file("$ours/webhook--$current.sql") . $older);
system('mount', '--bind', $ours, $folder) == 0 or die;

my $t = Webhook->new('admin_update');
my $node = $t->node;

sub update_to
{
	my ($version) = @_;
	my $start = time;

	$t->sql("alter extension webhook update to '$version'");
	cmp_ok(time - $start, '<', 5, "ALTER EXTENSION UPDATE to $version ends soon");
}

# an_older_version_is_installed: events are recorded, and not sent
$t->sql('drop extension webhook; create extension webhook version $$0.9$$');
$t->sql("select webhook.set_organization('org_1', 'Organization One')");
$t->wait_for_sql("select state = 'version' from webhook.status");
is($t->sql('select reason from webhook.status'),
	'library and SQL objects differ; run alter extension webhook update, or restart the server',
	'webhook.status says that versions differ');
like($t->sql('select string_agg(problem, $$ $$) from webhook.check()'),
	qr/library \Q$current\E, SQL objects 0\.9/, 'and webhook.check() which');
$t->endpoint('/ok/main');
$t->emit for 1 .. 3;
is($t->sql('select waiting_events from webhook.status'), 3, 'events wait');
is(scalar($t->receiver->journal), 0, 'and nothing is sent');

# updated_under_load, there and back again
my $script = $node->basedir . '/emit.sql';
append_to_file($script, "select webhook.emit('review.completed', 'org_1', '{}');\n\\sleep 20 ms\n");
my $load = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=3', '--time=300', '--file', $script,
		'--host', $node->host, '--port', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);
$t->wait_for_sql('select waiting_events > 10 from webhook.status');
for (1 .. 4)
{
	my $count = $t->receiver->journal;

	update_to($current);
	$t->wait_for_journal($count + 20);
	update_to('0.9');
	$t->wait_for_sql("select state = 'version' from webhook.status");
}
update_to($current);
$load->kill_kill(grace => 1);
$t->wait_until_done;
unlike($err, qr/error/i, 'no emitter met an error');
my %times = $t->receiver->arrivals;
is_deeply([ sort keys %times ], [ sort split /\n/, $t->sql('select id from webhook.event') ],
	'each event arrives');
is(scalar(grep { $_ != 1 } values %times), 0, 'once');
is($t->sql('select count(*) from webhook.check()'), 0, 'webhook.check() finds nothing wrong');

done_testing();
