# Background workers of others use us as sessions do: here those of logical
# replication, by a trigger on a table that is replicated.

use strict;
use warnings;
use Test::More;
use Webhook;

my $t = Webhook->new('background', 'wal_level = logical', 'max_wal_senders = 5');
my $node = $t->node;
$t->sql('create database subscriber');
$t->install('subscriber');
my $endpoint = $t->endpoint('/ok', database => 'subscriber');
my $event = $t->emit(database => 'subscriber');
$t->wait_for_journal(1);
$t->wait_until_done('subscriber');

my $origin = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
$t->sql("create table wish (event_id uuid primary key);
	create publication wishes for table wish;
	select pg_create_logical_replication_slot('wishes', 'pgoutput')");
$t->sql("create table wish (event_id uuid primary key);
	create function redo() returns trigger language plpgsql as
		\$\$ begin perform webhook.redeliver(new.event_id, $endpoint); return null; end \$\$;
	create trigger redo after insert on wish for each row execute function redo();
	alter table wish enable always trigger redo;
	create subscription wishes connection '$origin' publication wishes
		with (create_slot = false, slot_name = 'wishes', copy_data = false)", 'subscriber');
$t->sql("insert into wish values ('$event')");
is(scalar($t->wait_for_journal(2)), 2, 'a redelivery that a replicated row asks for is made');

done_testing();
