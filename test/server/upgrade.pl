# pg_upgrade makes a cluster of another identity: it loses nothing, and sends
# nothing until it is adopted.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('before');
my $old = $t->node;
my @tables = qw(event attempt queue endpoint endpoint_secret organization
	event_type identity cursor idempotency_key);

sub contents
{
	my ($node) = @_;

	return {
		map {
			$_ => $node->safe_psql('postgres',
				"select count(*) || ' ' || coalesce(md5(string_agg(r, ',' order by r collate \"C\")), '')
				   from (select r::text from webhook.$_ r) r(r)")
		} @tables };
}

# What waits: for a paused endpoint, for a retry, and to be taken.
my $open = $t->endpoint('/ok/open', events => "'{review.*}'");
my $paused = $t->endpoint('/ok/paused', events => "'{review.*}'");
my $retried = $t->endpoint('/status/500,200?retried', events => "'{team.*}'",
	retry_schedule => "'{1h}'");
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
my @delivered = map { $t->emit } 1 .. 3;
my $retry = $t->emit(event => 'team.member_added');
$t->wait_for_sql('select count(*) = 4 and bool_and(next_attempt_at is not null) from webhook.queue');
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select state = 'off' from webhook.status");
my @untaken = map { $t->emit } 1 .. 3;
my $original = contents($old);
my $identity = $t->sql('select system_identifier from pg_control_system()');
my $offset = $t->receiver->journal;
my $configuration = slurp_file($old->data_dir . '/postgresql.conf');
$old->stop;
$old->append_conf('postgresql.conf', 'webhook.enabled = on');

# an_upgrade_runs, and neither of the servers that it starts sends
my $new = PostgreSQL::Test::Cluster->new('after');
$new->init;
$new->append_conf('postgresql.conf', $_)
  for $configuration =~ /^(shared_preload_libraries .*|webhook\.(?:ca_file|allow_addresses) .*)/mg;
chdir $new->basedir or die $!;
command_ok(
	[   'pg_upgrade', '--no-sync', '--jobs=2',
		'--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
		'--old-bindir', $old->config_data('--bindir'),
		'--new-bindir', $new->config_data('--bindir'),
		'--old-port', $old->port, '--new-port', $new->port,
		'--socketdir', $new->host ],
	'pg_upgrade');
is(scalar($t->receiver->journal), $offset, 'sends nothing');

# an_upgraded_cluster_is_a_copy
$new->start;
isnt($new->safe_psql('postgres', 'select system_identifier from pg_control_system()'),
	$identity, 'it has another identity');
$new->poll_query_until('postgres', "select bool_and(state = 'copy') from webhook.status");
is_deeply(contents($new), $original, 'it has every row');
$new->safe_psql('postgres', "update webhook.endpoint set status = 'enabled';
	update webhook.queue set next_attempt_at = clock_timestamp()");
$new->poll_query_until('postgres', "select count(*) > 0 and bool_and(state_change > query_start
		and state_change > (select max(next_attempt_at) from webhook.queue))
	from pg_stat_activity where backend_type = 'webhook worker'");
like($new->safe_psql('postgres', 'select reason from webhook.status'), qr/webhook\.adopt/,
	'webhook.status says what to do');
is(scalar($t->receiver->journal), $offset, 'it sends nothing');

# adopted_it_goes_on: once each, and with what is new
is($new->safe_psql('postgres', 'select webhook.adopt()'), 10, 'adopt takes over what waits');
$new->poll_query_until('postgres', 'select not exists (select from webhook.queue)');
my $later = $new->safe_psql('postgres', "select webhook.emit('review.completed', 'org_1', '{}')");
Webhook::wait_until('the new event, twice', 30,
	sub { 2 == grep { $_->{id} eq $later } $t->receiver->journal });
$new->poll_query_until('postgres', 'select not exists (select from webhook.queue)');
my %once = ("/status/500,200?retried $retry" => 1);
$once{"/ok/paused $_"} = 1 for @delivered;
$once{"/ok/open $_"} = $once{"/ok/paused $_"} = 1 for @untaken, $later;
is_deeply($t->receiver->arrived_since($offset), \%once, 'what was pending and what is new arrives once');
is( $new->safe_psql('postgres', 'select count(*) from webhook.check()'), 0,
	'webhook.check() finds nothing wrong');
$new->stop;

done_testing();
