# A restored dump keeps everything and stays silent until adopted.  DUMP_ROUNDS
# says how many dumps in directory format there are, made while deliveries wait.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('dump', 'max_worker_processes = 32');
my $node = $t->node;
my @tables = qw(event attempt queue endpoint endpoint_secret endpoint_header
	organization event_type access);

# Of every table of the extension, how many rows it has and what they say.
sub contents
{
	my ($database) = @_;

	return {
		map {
			$_ => $t->sql(
				"select count(*) || ' ' || coalesce(md5(string_agg(r, ',' order by r collate \"C\")), '')
				   from (select r::text from webhook.$_ r) r(r)", $database)
		} @tables };
}

sub requests
{
	return scalar $t->receiver->journal;
}

sub arrived_in_order
{
	my ($pattern) = @_;

	return [ sort map { $_->{id} } $t->receiver->journal($pattern) ];
}

$t->sql('create database shop');
$t->install('shop');
$t->sql("insert into webhook.event_type (name, description, example)
	values ('deploy.finished', 'A deployment has finished', '{\"commit\": \"4f9d2c8\"}');
	update webhook.event_type set description = 'Ours' where name = 'review.failed';
	delete from webhook.event_type where name = 'review.created';
	insert into webhook.event_type (name, is_builtin) values ('review.created', true);
	update webhook.event_type set is_builtin = name <> 'review.started';
	create table review (id int, organization_id text, status text);
	insert into review values (1, 'org_1', 'started');
	select webhook.watch('review', 'review.completed', 'new.organization_id',
		'update of status', 'new.status = ' || quote_literal('completed'))", 'shop');
my $open = $t->endpoint('/ok/open', database => 'shop',
	events => "'{deploy.finished,review.*}'",
	headers => q('{"Authorization": "Bearer abc"}'));
my $paused = $t->endpoint('/ok/paused', database => 'shop', name => "'later'",
	events => "'{deploy.*}'");
$t->sql("update webhook.endpoint set status = 'paused' where id = $paused", 'shop');
$t->receiver->trust($t->sql("select webhook.rotate_secret($open)", 'shop'));
$t->sql("create role tenant; select webhook.set_organization('org_2', 'Two');
	select webhook.grant_access('tenant', level, 'org_2')
	  from unnest('{observer,publisher}'::text[]) level", 'shop');
my @waiting = map { $t->emit(event => 'deploy.finished', database => 'shop') } 1 .. 5;
$t->emit(database => 'shop');
$t->wait_for_journal(6);
$t->wait_for_sql(
	"select webhook._waiting_events() = 0 and count(*) = 5
		and bool_and(endpoint_id = $paused) from webhook.queue", 'shop');
my $original = contents('shop');
is((split / /, $original->{event})[0], 6, 'six events');
is((split / /, $original->{queue})[0], 5, 'five deliveries wait');
is((split / /, $original->{endpoint_secret})[0], 3, 'one secret was rotated');

# a_dump_restores_completely: as text, and in parallel.
my $dump = $node->basedir . '/dump';
my @connection = ('--host', $node->host, '--port', $node->port);
command_ok([ 'pg_dump', @connection, '--file', "$dump.sql", 'shop' ], 'pg_dump');
command_ok([ 'pg_dump', @connection, '--format=custom', '--file', "$dump.custom", 'shop' ],
	'pg_dump --format=custom');
$t->sql('create database plain template template0');
$t->sql('create database parallel template template0');
command_ok(
	[   'psql', '-Xq', @connection, '-v', 'ON_ERROR_STOP=1', '-d', 'plain',
		'-f', "$dump.sql" ],
	'the text restores without an error');
command_ok(
	[   'pg_restore', @connection, '-j4', '--exit-on-error', '-d', 'parallel',
		"$dump.custom" ],
	'the archive restores in parallel without an error');
for my $copy ('plain', 'parallel')
{
	$t->wait_for_sql("select bool_and(state = 'copy') from webhook.status", $copy);
	is_deeply(contents($copy), $original, "$copy has every row");
	is( $t->sql('select count(*) from webhook.watches where is_valid and is_enabled', $copy),
		1, 'and its watch');
	is( $t->sql("set role tenant; select count(*) from webhook.event;
			select has_table_privilege('tenant', 'webhook.attempt', 'select')", $copy),
		"0\nt", 'and a role that is bound to an organization stays bound');
}

# a_copy_is_silent_until_adopted
my $before = requests();
for my $copy ('plain', 'parallel')
{
	my $changed = $t->sql('select clock_timestamp()', $copy);
	$t->sql("update webhook.endpoint set status = 'enabled'", $copy);
	Webhook::wait_until("the worker of $copy looked at the change", 10, sub {
		$t->sql("select bool_and(state_change > '$changed') from pg_stat_activity
			where backend_type = 'webhook worker' and datname = '$copy'", $copy) eq 't'
	});
	like($t->sql('select reason from webhook.status', $copy),
		qr/adopt/, "$copy says that it is a copy, and what to do");
	like($t->sql('select string_agg(subject, $$ $$) from webhook.check()', $copy),
		qr/copy/, 'and so does webhook.check()');
}
is(requests(), $before, 'nothing arrives from the copies');
is_deeply(contents('shop'), $original, 'the original is as it was');

# an_adopted_copy_goes_on: once each, and with what is new.
is($t->sql('select webhook.adopt()', 'plain'), 5, 'adopt takes over what waits');
$t->wait_for_journal(5, qr/paused/);
$t->wait_until_done('plain');
is_deeply(arrived_in_order(qr/paused/), [ sort @waiting ],
	'what was pending arrives exactly once');
is(requests(), $before + 5, 'what was delivered does not arrive again');
is( $t->sql('select bool_and(waiting_events = 0) from webhook.status', 'plain'),
	't', 'and is not said to wait');
my $new = $t->emit(event => 'deploy.finished', database => 'plain');
$t->sql("update review set status = 'completed'", 'plain');
$t->wait_for_journal($before + 8);
$t->wait_until_done('plain');
is_deeply(arrived_in_order(qr/paused/), [ sort @waiting, $new ],
	'a new event arrives');
is( $t->sql("select count(*) from webhook.delivery
		where event_type = 'review.completed' and status = 'succeeded'", 'plain'),
	2, 'and one of the watched table');
is(requests(), $before + 8, 'the other copy is silent still');

# what_was_delivered_before_can_be_sent_again
$t->sql('select webhook.adopt()', 'parallel');
$t->wait_for_journal($before + 13);
$t->wait_until_done('parallel');
is( $t->sql("select webhook.redeliver(event_id, endpoint_id) from webhook.attempt
		where event_id = '$waiting[0]' and endpoint_id = $open", 'parallel'),
	2, 'an adopted copy redelivers, before it has an event of its own');
$t->wait_for_journal($before + 14);
$t->wait_until_done('parallel');
is(requests(), $before + 14, 'once');

# rounds_of_a_directory: dumped while events and retries wait, restored by four
# at a time, adopted.
my $busy = $t->endpoint('/ok/busy', database => 'shop', events => "'{deploy.*}'");
my $retried = $t->endpoint('/status/500,200?retried', database => 'shop',
	events => "'{team.*}'", retry_schedule => "'{1h}'");
my $lock = $t->session('shop');
my @earlier;

# Events that no worker takes, beside what waits in the queue.
sub emit_untaken
{
	$lock->query_safe('begin; lock table webhook.cursor in exclusive mode');
	my @untaken = map { $t->emit(event => 'deploy.finished', database => 'shop') } 1 .. 3;
	$t->wait_for_sql('select webhook._waiting_events() = 3', 'shop');
	return @untaken;
}

for my $round (1 .. $ENV{DUMP_ROUNDS} // 2)
{
	my $copy = "round_$round";

	push @waiting, $t->emit(event => 'deploy.finished', database => 'shop');
	my $team = $t->emit(event => 'team.member_added', database => 'shop');
	$t->wait_for_sql("select count(*) = @{[ @waiting + $round ]}
			and bool_and(next_attempt_at is not null) from webhook.queue", 'shop');
	my @untaken = emit_untaken();
	$original = contents('shop');
	command_ok([ 'pg_dump', @connection, '--format=directory', '-j4',
			'--file', "$dump.$round", 'shop' ], "round $round: pg_dump -j4");
	$lock->query_safe('rollback');
	$t->sql("create database $copy template template0");
	command_ok([ 'pg_restore', @connection, '-j4', '--exit-on-error', '-d', $copy,
			"$dump.$round" ], 'pg_restore -j4');
	$t->wait_for_sql("select bool_and(state = 'copy') from webhook.status", $copy);
	is_deeply(contents($copy), $original, 'has every row');

	$t->wait_for_sql("select webhook._waiting_events() = 0
			and bool_and(next_attempt_at is not null) from webhook.queue", 'shop');
	my $offset = requests();
	my $pending = @waiting + $round + @untaken * 3;
	$t->sql("update webhook.endpoint set status = 'enabled';
		update webhook.queue set next_attempt_at = clock_timestamp()", $copy);
	is(requests(), $offset, 'sends nothing');
	is($t->sql('select webhook.adopt()', $copy), $pending, 'adopt takes over what waits');
	$t->wait_until_done($copy);
	my %once;
	$once{"/ok/paused $_"} = 1 for @waiting, @untaken;
	$once{"/ok/open $_"} = $once{"/ok/busy $_"} = 1 for @untaken;
	$once{"/status/500,200?retried $_"} = 1 for $team, @earlier;
	is_deeply($t->receiver->arrived_since($offset), \%once, 'each delivery that was pending arrives once, nothing else does');
	push @waiting, @untaken;
	push @earlier, $team;
	$t->sql("drop database $copy");
}
$lock->quit;

# into_the_same_database, slowly: its workers are there before the rows are.
$t->sql('create database same');
$t->install('same');
$t->endpoint('/ok/same', database => 'same');
$t->emit(database => 'same') for 1 .. 5;
$t->wait_until_done('same');
$original = contents('same');
command_ok([ 'pg_dump', @connection, '--format=custom', '--file', "$dump.same", 'same' ],
	'a dump');
my $offset = requests();
command_ok([ 'pg_restore', @connection, '--clean', '--section=pre-data', '-d', 'same', "$dump.same" ],
	'its definitions, where it comes from');
$t->wait_for_sql('select count(*) = 1 from webhook.identity', 'same');
command_ok([ 'pg_restore', @connection, '--section=data', '--section=post-data', '-d', 'same', "$dump.same" ],
	'and its rows');
$new = $t->emit(database => 'same');
$t->wait_for_sql("select bool_and(state = 'copy') from webhook.status", 'same');
is(requests(), $offset, 'send nothing');
is($t->sql('select webhook.adopt()', 'same'), 0, 'before they are adopted');
$t->wait_until_done('same');
is_deeply($t->receiver->arrived_since($offset), { "/ok/same $new" => 1 }, 'and then only what is new');

done_testing();
