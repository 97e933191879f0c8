# A copy of a database, made in whatever way, is silent until it is adopted;
# then what was pending goes on, once.  (Restored dumps: dump.pl.)

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('copies', 'wal_level = logical', 'max_wal_senders = 10',
	'max_replication_slots = 10', 'max_worker_processes = 24');
my $node = $t->node;
$node->append_conf('pg_hba.conf', "local replication all trust\n");
$node->reload;

# What is pending: waiting for a paused endpoint, for a retry, and not taken.
my $paused = $t->endpoint('/ok/paused');
my $retried = $t->endpoint('/status/500,200', retry_schedule => "'{1h}'", events => "'{team.*}'");
my $done = $t->endpoint('/ok/done', events => "'{repository.*}'");
$t->emit(event => 'repository.added') for 1 .. 3;
$t->wait_for_journal(6);
$t->wait_until_done;
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused");
my @waiting = map { $t->emit } 1 .. 3;
my $retry = $t->emit(event => 'team.member_added');
$t->wait_for_sql("select count(*) = 1 from webhook.queue where endpoint_id = $retried and attempts = 1 and next_attempt_at is not null");
$t->wait_for_sql('select count(*) = 5 from webhook.queue');
$t->sql("update webhook.endpoint set status = 'enabled' where false");

sub requests { return scalar $t->receiver->journal }

# How often these events arrived in this run of a copy.
sub arrivals
{
	my ($offset, @ids) = @_;
	my @journal = $t->receiver->journal;
	my %times;

	$times{ $_->{id} }++ for @journal[ $offset .. $#journal ];
	return join ' ', map { $times{$_} // 0 } @ids;
}

sub is_silent
{
	my ($what, $copy, $database) = @_;
	my $offset = requests();

	ok($copy->poll_query_until($database, "select bool_and(state = 'copy') from webhook.status"), "$what: it is noticed");
	$copy->safe_psql($database, "update webhook.endpoint set status = 'enabled'");
	my $new = $copy->safe_psql($database, "select webhook.emit('review.completed', 'org_1', '{}')");
	$copy->safe_psql($database, "update webhook.queue set next_attempt_at = clock_timestamp() where attempts = 1");

	# The worker has looked at the change when it has reported to be idle anew.
	$copy->poll_query_until($database, "select count(*) > 0 and bool_and(state_change > (
		select max(created_at) from webhook.event)) from pg_stat_activity
		where backend_type = 'webhook worker' and datname = current_database()");
	like($copy->safe_psql($database, 'select reason from webhook.status'), qr/copy.*webhook\.adopt/, "$what: it says so");
	is(requests(), $offset, "$what: it sends nothing");
	return $new;
}

sub goes_on
{
	my ($what, $copy, $database, @new) = @_;
	my $offset = requests();

	$copy->safe_psql($database, 'select webhook.adopt()');
	Webhook::wait_until("$what: all of it", 60, sub {
		arrivals($offset, @waiting, $retry, @new) =~ /^(?:[1-9]\d* ?)+$/ });
	$copy->poll_query_until($database, 'select count(*) = 0 from webhook.queue')
	  or diag($copy->safe_psql($database, 'select * from webhook.queue'));
	my $later = $copy->safe_psql($database, "select webhook.emit('review.completed', 'org_1', '{}')");
	Webhook::wait_until("$what: a new event", 30, sub { arrivals($offset, $later) >= 1 });
	is(arrivals($offset, @waiting, @new, $later), join(' ', (1) x (@waiting + @new + 1)),
		"$what: adopted, what was pending and what is new arrives once");
	is(arrivals($offset, $retry), 2, "$what: the retry goes on, beside the endpoint that was paused");
	is(scalar(grep { $_->{path} eq '/ok/done' } ($t->receiver->journal)[ $offset .. requests() - 1 ]), 0,
		"$what: what was delivered does not arrive again");
}

# a_clone_by_template
$t->sql('create database clone template postgres');
my $new = is_silent('CREATE DATABASE TEMPLATE', $node, 'clone');
goes_on('CREATE DATABASE TEMPLATE', $node, 'clone', $new);
$t->sql('drop database clone');

# a_physical_copy with another webhook.instance
$node->backup('physical');
my $physical = PostgreSQL::Test::Cluster->new('physical');
$physical->init_from_backup($node, 'physical');
$physical->append_conf('postgresql.conf', "webhook.instance = 'staging'");
$physical->start;
$new = is_silent('pg_basebackup with another webhook.instance', $physical, 'postgres');
goes_on('pg_basebackup with another webhook.instance', $physical, 'postgres', $new);
$physical->stop;

# a_plain_physical_copy cannot know: webhook.enabled = off is what protects it
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init_from_backup($node, 'physical');
$plain->append_conf('postgresql.conf', 'webhook.enabled = off');
$plain->start;
my $offset = requests();
$plain->poll_query_until('postgres', "select bool_and(state = 'off') from webhook.status");
$plain->safe_psql('postgres', "update webhook.endpoint set status = 'enabled'");
$plain->poll_query_until('postgres', "select bool_and(state_change > query_start) from pg_stat_activity
	where backend_type = 'webhook worker'");
is(requests(), $offset, 'a plain physical copy with webhook.enabled = off sends nothing');
$plain->stop;

# a_logical_subscriber for all tables
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "shared_preload_libraries = 'webhook'\nmax_worker_processes = 24");
$subscriber->append_conf('postgresql.conf', $_) for grep { /^webhook\.(ca_file|allow_addresses)/ }
  split /\n/, slurp_file($node->data_dir . '/postgresql.conf');
$subscriber->start;
$subscriber->safe_psql('postgres', 'create extension webhook');
$t->sql('create publication everything for all tables');
my @parts = split /\n/, $t->sql("select format('%s|%s|%s', p.name, p.from_at, p.to_at) from webhook._partitions('webhook.event') p");
$subscriber->safe_psql('postgres', "select webhook._make_partition('" . (split /\|/)[1] . "'::timestamptz)") for @parts;
is($subscriber->safe_psql('postgres', "select string_agg(name, ',') from webhook._partitions('webhook.event')"),
	$t->sql("select string_agg(name, ',') from webhook._partitions('webhook.event')"), 'the subscriber has the same partitions');
$offset = requests();
$subscriber->safe_psql('postgres', 'truncate webhook.event_type');

# Its worker runs, and is to notice by itself that this has become a copy.
$subscriber->poll_query_until('postgres', "select bool_and(state = 'running') from webhook.status");
$subscriber->safe_psql('postgres', "create subscription everything connection 'host=" . $node->host . ' port=' . $node->port . " dbname=postgres' publication everything");
$subscriber->poll_query_until('postgres', 'select count(*) = 5 from webhook.queue');
my $replicated = $t->emit(event => 'repository.removed');
Webhook::wait_until('the original to send', 30, sub { arrivals($offset, $replicated) == 1 });
$subscriber->poll_query_until('postgres', "select count(*) = 1 from webhook.attempt where event_id = '$replicated'");
is($subscriber->safe_psql('postgres', 'select count(*) from webhook.endpoint_secret'),
	$t->sql('select count(*) from webhook.endpoint_secret'), 'a subscriber has the secrets of the original');
is(requests(), $offset + 1, 'and sends nothing itself');
$subscriber->safe_psql('postgres', 'alter subscription everything disable; alter subscription everything set (slot_name = none);
	drop subscription everything');
$new = is_silent('a logical subscriber', $subscriber, 'postgres');
goes_on('a logical subscriber', $subscriber, 'postgres', $new);

# published_rows_can_change: the publication of all tables is there still.
for my $statement ("\nselect webhook.emit('review.completed', 'org_1', '{}') as id \\gset\nselect webhook.cancel(:'id')",
	"select webhook.redeliver('$replicated', $done)", "select webhook.recover($done, '-infinity')",
	"select webhook.forget(event_id => '$waiting[1]')", 'select webhook.adopt()')
{
	like($t->sql_error("begin; $statement; commit"), qr/^no error/, 'published: ' . $statement =~ s/\n/ /gr);
}

done_testing();
