# A bulk change of one organization is not what another one's events wait for:
# they pass what its endpoints have no places for, and nothing is lost, nor sent
# twice, where the outbox is read at several places.

use strict;
use warnings;
use Test::More;
use Webhook;

my $t = Webhook->new('bulk');
my $bulk = 8000;
my $emit_bulk = "select count(webhook.emit('review.completed', 'org_1', '{}')) from generate_series(1, $bulk)";
my $given_out_twice = 'select count(*) from (select from webhook.attempt where attempt = 1
	group by event_id, endpoint_id having count(*) > 1) a';
my $bulk_begins;
my $is_split = 'select count(*) > 1 from webhook.cursor';

# The journal's length where all has been read and sent, at one place.
sub start_anew
{
	$t->wait_until_done(undef, 120);
	# Sooner than by the look that is made every 5 s.
	$t->wait_for_sql('select count(*) = 1 from webhook.cursor', undef, 2);
	return scalar $t->receiver->journal;
}

# So many events arrived at each path since then; each of them once.
sub arrived
{
	my ($offset, $name, %expected) = @_;
	my %count;

	$t->wait_until_done(undef, 120);
	my $times = $t->receiver->arrived_since($offset);
	$count{ (split)[0] }++ for keys %$times;
	is_deeply(\%count, \%expected, "$name: all arrived");
	return scalar grep { $_ != 1 } values %$times;
}

sub emit_bulk
{
	$bulk_begins = $t->sql('select clock_timestamp()');
	$t->sql($emit_bulk);
}

sub emit_other
{
	return $t->emit(organization => 'other');
}

$t->sql("select webhook.set_organization('other', 'Other')");
$t->endpoint('/ok?bulk');
$t->endpoint('/ok?other', organization => 'other');
emit_other();

# The next event of another organization: how many of the bulk went before it.
sub passed_after
{
	my $id = emit_other();

	$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$id')");
	return $t->sql("select count(*) from webhook.attempt b
		where b.organization_id = 'org_1' and b.started_at > '$bulk_begins' and b.started_at <
			(select a.started_at from webhook.attempt a where a.event_id = '$id')");
}

# others_pass: one that was emitted right behind the bulk, and one later.
my $offset = start_anew();
emit_bulk();
cmp_ok(passed_after(), '<', $bulk / 2, "the next event of another organization passes a bulk change, $_")
  for 'at once', 'later';
is($t->sql($is_split), 't', 'the busy endpoint keeps its place');
is(arrived($offset, 'a bulk change', '/ok?bulk' => $bulk, '/ok?other' => 2), 0, 'and once');

# others_pass_who_asks_for_something_else: endpoints that go on, of the same
# organization, cost the others no look at each event.
$t->sql("insert into webhook.endpoint (organization_id, url, events)
	select 'org_1', '" . $t->receiver->url('/ok?else') . "', '{review.created}' from generate_series(1, 200)");
$offset = start_anew();
emit_bulk();
cmp_ok(passed_after(), '<', $bulk / 2, 'it passes beside endpoints for other events');
is(arrived($offset, 'beside them', '/ok?bulk' => $bulk, '/ok?other' => 1), 0, 'and once');
$t->sql("delete from webhook.endpoint where url like '%else'");

# who_had_no_endpoint_there_gets_one: its events have been passed unseen.
$offset = start_anew();
my $url = $t->receiver->url('/ok?new');
$t->sql("begin; $emit_bulk;
	select webhook.create_endpoint('org_1', '$url');
	select webhook.emit('review.completed', 'org_1', '{}') from generate_series(1, 5);
	commit");
$t->wait_for_sql($is_split);
is(arrived($offset, 'a new endpoint', '/ok?bulk' => $bulk + 5, '/ok?new' => 5), 0, 'and once');
$t->sql("delete from webhook.endpoint where url = '$url'");

# a_crash_while_it_is_split
$offset = start_anew();
$t->sql($emit_bulk);
emit_other() for 1 .. 3;
$t->wait_for_sql($is_split);
my ($pid) = $t->worker_pids;
kill KILL => $pid;
$t->wait_through_crashes("select count(*) = 1 from pg_stat_activity
	where datname = 'postgres' and backend_type = 'webhook worker' and pid <> $pid");
emit_other() for 1 .. 3;
arrived($offset, 'a crash', '/ok?bulk' => $bulk, '/ok?other' => 6);
is($t->sql($given_out_twice), '0', 'nothing is given out twice');

# somebody_deletes_cursors_while_it_is_split, and has the database adopted: what
# the worker had in mind is not to be read once more.
$offset = start_anew();
$t->sql($emit_bulk);
$t->wait_for_sql($is_split);
$t->sql('begin; delete from webhook.cursor; select webhook.adopt(); commit');
my $next = emit_other();
$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$next')");
start_anew();
is($t->sql($given_out_twice), '0', 'cursors are deleted: nothing is given out twice');

# other_workers_take_over
$offset = start_anew();
$t->sql($emit_bulk);
$t->wait_for_sql($is_split);
$t->configure('webhook.workers = 3');
emit_other() for 1 .. 3;
is(arrived($offset, 'more workers', '/ok?bulk' => $bulk, '/ok?other' => 3), 0, 'and once');
$t->wait_for_sql('select count(*) = 3 from webhook.cursor');
pass('each has one place in the end');

done_testing();
