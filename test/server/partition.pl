# An event whose transaction also made the partition that it stands in.
#
# Its partition becomes known to other sessions a moment after the transaction
# becomes visible to their snapshots; a worker that is woken in between must
# not take the outbox for read.  There is no way to stop a commit there, so
# this is tried often.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('partition');
my $rounds = 200;

$t->endpoint('/ok');
$t->emit;
$t->wait_for_journal(1);
$t->wait_until_done;
my $session = $t->session;
my $drop_partitions = q{
	do $$ declare part regclass; begin
		for part in select inhrelid::regclass from pg_inherits
			where inhparent in ('webhook.event'::regclass, 'webhook.attempt'::regclass)
		loop execute format('drop table %s', part); end loop; end $$};

# detached_by_hand: the worker cannot log, and says so, until it is there again.
my ($part, $bound) = split /\|/, $t->sql("select oid::regclass, pg_get_expr(relpartbound, oid) from pg_class
	where oid in (select inhrelid from pg_inherits where inhparent = 'webhook.attempt'::regclass)
		and exists (select from webhook._partitions('webhook.attempt') p
			where p.name = relname and now() >= p.from_at and now() < p.to_at)");
$t->sql("alter table webhook.attempt detach partition $part");
my $unlogged = $t->emit;
$t->wait_for_sql("select reason = 'could not find a partition of table \"webhook.attempt\" for an event' from webhook.status");
like($t->sql('select problem from webhook.check()'), qr/covers a time for which there is no partition of attempt/,
	'without a partition for the log: webhook.check says which');
$t->sql("alter table webhook.attempt attach partition $part $bound");
$t->wait_for_sql("select status = 'succeeded' from webhook.delivery where event_id = '$unlogged'");
is(scalar($t->receiver->journal), 2, 'attached again: it is logged, and was sent once');

# index_dropped_by_hand: nothing can be taken, until it is there again.  One with
# some of the rows, or in another order, does not do: events would be passed.
my $event_part = $t->sql('select tableoid::regclass from webhook.event limit 1');
$t->sql("drop index ${event_part}_taken;
	create index on $event_part (origin, xid, id) where is_test;
	create index on $event_part (origin, xid desc, id)");
my $unread = $t->emit;
my $no_index = 'has no valid index on (origin, xid, id)';
$t->wait_for_sql("select reason like 'table \"event_%\" $no_index' from webhook.status");
my ($problem, $hint) = split /\|/, $t->sql(
	"select problem, hint from webhook.check() where subject = 'partitions'");
is("webhook.$problem", "$event_part $no_index", 'an index that the worker needs: webhook.check says which');
$hint =~ /Run: (create index .*)/;
$t->sql($1);
$t->wait_for_sql("select status = 'succeeded' from webhook.delivery where event_id = '$unread'");
is(scalar($t->receiver->journal), 3, 'made again as it says: the event is sent once');

for my $round (1 .. $rounds)
{
	# emit makes what is missing, as it does where no worker has run yet.
	$session->query_safe($drop_partitions);
	my $id = $session->query_safe(
		"select webhook.emit('review.completed', 'org_1', '{}')");
	chomp $id;
	$t->wait_for_journal($round + 3, undef, 10);
	# Its log is in the partition that the next round drops.
	Webhook::wait_until('the log', undef,
		sub { $session->query_safe('select count(*) from webhook.queue') =~ /^0/ });
}
my %times = $t->receiver->arrivals;
is(scalar keys %times, $rounds + 3, 'every event arrived');

# a_default_tablespace_of_others: role webhook has no right there, and needs none.
my $space = $t->node->basedir . '/space';
mkdir $space;
$t->sql("create tablespace space location '$space'");
$t->sql("alter database postgres set default_tablespace = 'space'");

# Emit where there are no partitions; where they are made.
sub made_in
{
	$session->query_safe($drop_partitions);
	$t->sql("select webhook.emit('review.completed', 'org_1', '{}')");
	return $t->sql("select string_agg(distinct coalesce(spcname, '-'), ' ') from pg_inherits
		join pg_class c on c.oid = inhrelid left join pg_tablespace s on s.oid = reltablespace
		where inhparent in ('webhook.event'::regclass, 'webhook.attempt'::regclass)");
}
is(made_in(), '-', 'with a default tablespace: partitions stay where they were');
$t->sql('alter database postgres reset default_tablespace');
$t->sql("alter table $_ set tablespace space") for qw(webhook.event webhook.attempt);
is(made_in(), '-', 'tables moved to a tablespace without the right to it: so do partitions');
$t->sql('grant create on tablespace space to webhook');
is(made_in(), 'space', 'with the right to it: partitions follow');
$session->quit;

done_testing();
