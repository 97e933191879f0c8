# A standby is silent, and delivers within seconds of its promotion; a standby
# that the server waits for and that is gone holds back what it should.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('standby', 'wal_level = replica', 'max_wal_senders = 10',
	'wal_keep_size = 64MB', 'hot_standby = on');
my $primary = $t->node;
$primary->append_conf('pg_hba.conf', "local replication all trust\n");
$primary->reload;
$t->endpoint('/ok/main');
my $failing = $t->endpoint('/status/500,200', retry_schedule => "'{1s}'");

sub arrivals
{
	my ($id, $pattern) = @_;

	return scalar grep { $_->{id} eq $id } $t->receiver->journal($pattern);
}

sub make_standby
{
	my ($name, $of) = @_;
	my $backup = "for_$name";
	my $node = PostgreSQL::Test::Cluster->new($name);

	$of->backup($backup);
	$node->init_from_backup($of, $backup, has_streaming => 1);
	$node->start;
	return $node;
}

# a_standby_is_silent, and one of a standby
my $standby = make_standby('second', $primary);
my $cascaded = make_standby('third', $standby);
my @events = map { $t->emit } 1 .. 5;
Webhook::wait_until('five events twice and once', 30,
	sub { my %times = $t->receiver->arrivals; 5 == grep { ($times{$_} // 0) >= 3 } @events });
$t->wait_until_done;
for my $node ($standby, $cascaded)
{
	$node->poll_query_until('postgres', "select count(*) = 10 from webhook.delivery where status = 'succeeded'");
	is($node->safe_psql('postgres', "select count(*) from pg_stat_activity where backend_type like 'webhook%'"),
		0, $node->name . ': a standby has no workers');
	like($node->safe_psql('postgres', 'select reason from webhook.status'),
		qr/this server is a standby/, 'webhook.status says why');
	my (undef, undef, $stderr) = $node->psql('postgres',
		"select webhook.emit('review.completed', 'org_1', '{}')");
	like($stderr, qr/cannot execute webhook.emit\(\) in a read-only transaction/, 'emit is refused');
	for my $statement ('select webhook.adopt()', 'select webhook.test(1)', 'call webhook.drain()')
	{
		my ($name) = $statement =~ / (.*)\(/;
		(undef, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
		like($stderr, qr/25006: cannot execute $name\(\) in a read-only transaction\nHINT: .*standby/, "$name too");
	}
}
is(scalar($t->receiver->journal), 15, 'only the primary has sent');

# promoted_it_delivers: what the primary had not, and what is new
$t->sql("update webhook.endpoint set status = 'paused'");
my @waiting = map { $t->emit } 1 .. 5;
my $hanging = $t->endpoint('/delay/60000/200', timeout => "'90s'", events => "'{team.*}'");
my $cut_off = $t->emit(event => 'team.member_added');
$t->wait_for_journal(1, qr/delay/);
$t->sql("select count(*) from webhook.queue") for 1 .. 2;
$t->wait_for_sql("select count(*) >= 11 from webhook.queue");
$t->sql("update webhook.endpoint set status = 'enabled', url = replace(url, 'delay/60000/200', 'ok/cut_off') where id = $hanging");
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
my $start = time;
$standby->promote;
my $new = $standby->safe_psql('postgres', "update webhook.endpoint set status = 'enabled';
	select webhook.emit('review.completed', 'org_1', '{}')");
Webhook::wait_until('the first delivery', 30, sub { arrivals($new) >= 1 });
cmp_ok(time - $start, '<=', 10, 'promoted: it delivers within 10 s');
$standby->poll_query_until('postgres', 'select count(*) = 0 from webhook.queue');
is(scalar(grep { arrivals($_, qr/main/) != 1 } @waiting, $new), 0, 'what waited and what is new arrives once');
is(arrivals($cut_off, qr/cut_off/), 1, 'what was on the wire is sent again');
is($standby->safe_psql('postgres', "select string_agg(coalesce(error_class, 'succeeded'), ', ' order by attempt)
		from webhook.attempt where endpoint_id = $hanging"),
	'interrupted, succeeded', 'and its first attempt is recorded as interrupted');
is(scalar(grep { arrivals($_, qr/main/) != 1 } @events), 0, 'nothing that was delivered comes again');
is($cascaded->safe_psql('postgres', 'select pg_is_in_recovery()'), 't', 'the cascaded standby stays one');

# who_waits_for_no_standby_is_not_held_back: the worker waits if commits do
$cascaded->stop;
$standby->append_conf('postgresql.conf', "synchronous_standby_names = 'gone'");
for my $level ('local', 'off')
{
	$standby->append_conf('postgresql.conf', "synchronous_commit = $level");
	$standby->reload;
	$standby->poll_query_until('postgres', "select count(*) = 2 from pg_settings
		where (name, setting) in (('synchronous_standby_names', 'gone'), ('synchronous_commit', '$level'))");
	my $free = $standby->safe_psql('postgres', "select webhook.emit('review.completed', 'org_1', '{}')");
	Webhook::wait_until("an event with synchronous_commit = $level", 10, sub { arrivals($free, qr/main/) });
	$standby->poll_query_until('postgres', 'select count(*) = 0 from webhook.queue');
	pass("synchronous_commit = $level: it is sent without the standby");
}

# a_synchronous_standby_is_gone: what is not replicated is not sent
$standby->append_conf('postgresql.conf', "synchronous_commit = on");
$standby->reload;
$standby->poll_query_until('postgres', "select setting = 'on' from pg_settings where name = 'synchronous_commit'");
my $held = $standby->safe_psql('postgres', "set synchronous_commit = local;
	select webhook.emit('review.completed', 'org_1', '{}')");
$standby->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity
	where backend_type = 'webhook worker' and wait_event = 'SyncRep'");
is(arrivals($held), 0, 'nothing is sent that is not replicated');
is($standby->safe_psql('postgres', 'select state, reason from webhook.status'),
	'running|waits for a synchronous standby', 'and webhook.status says why');
$start = time;
$standby->stop('fast');
cmp_ok(time - $start, '<=', 3, 'a fast shutdown does not wait for the standby');
is(arrivals($held), 0, 'and sends nothing');
$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$standby->start;
Webhook::wait_until('what was held back', 30, sub { arrivals($held, qr/main/) >= 1 });
$standby->poll_query_until('postgres', 'select count(*) = 0 from webhook.queue');
is($standby->safe_psql('postgres', "select min(attempt) || ' ' || max(attempt) from webhook.attempt
		where event_id = '$held' and url like '%main'"), '1 1', 'afterwards it is sent, at the first attempt');

# a_wait_for_a_standby_ends_otherwise: cancelled, or with the server.  On a
# connection that stands a request would be out at once.
$cascaded->start;
$standby->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$standby->reload;
$standby->poll_query_until('postgres', "select count(*) = 1 from pg_stat_replication where sync_state = 'sync'");
my $last = $standby->safe_psql('postgres', "select webhook.emit('review.completed', 'org_1', '{}')");
Webhook::wait_until('an event over a synchronous standby', 30, sub { arrivals($last, qr/main/) });
$standby->poll_query_until('postgres', 'select count(*) = 0 from webhook.queue');
my $receiver = $cascaded->safe_psql('postgres', 'select pid from pg_stat_wal_receiver');
kill STOP => $receiver;
my $lost = $standby->safe_psql('postgres', "set synchronous_commit = local;
	select webhook.emit('review.completed', 'org_1', '{}')");
my $waits = "select pid from pg_stat_activity where backend_type = 'webhook worker' and wait_event = 'SyncRep'";
$standby->poll_query_until('postgres', "select exists ($waits)");
my $worker = $standby->safe_psql('postgres', $waits);
$standby->safe_psql('postgres', "select pg_cancel_backend($worker)") for 1 .. 20;
is($standby->safe_psql('postgres', $waits), $worker, 'the wait for a standby cannot be cancelled');
is(arrivals($lost), 0, 'and nothing is sent');
$standby->kill9;
Webhook::wait_until('the worker to end', 30, sub { !kill 0 => $worker });
kill CONT => $receiver;
is(arrivals($lost), 0, 'nothing is sent when the postmaster is killed');

done_testing();
