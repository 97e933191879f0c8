# What operators do with many deliveries: recover, replay, cancel, drain; and
# what becomes of deliveries when their endpoint changes.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('recover', "webhook.retry_schedule = ''");

sub wait_for_statuses
{
	my ($id, $wanted) = @_;

	Webhook::wait_until("$wanted at endpoint $id", undef, sub { statuses($id) eq $wanted });
}

# Statuses of all deliveries at an endpoint, counted.
sub statuses
{
	my ($id) = @_;

	return $t->sql("select string_agg(status || ' ' || n, ', ' order by status)
		from (select status, count(*) as n from webhook.delivery
			where endpoint_id = $id group by status) q");
}

sub emit_many
{
	my ($count, $organization) = @_;
	$organization //= 'org_1';

	$t->sql("select count(webhook.emit('review.completed', '$organization', '{}'))
		from generate_series(1, $count)");
}

# recover_a_range
my $endpoint = $t->endpoint('/status/500,200');
emit_many(20);
$t->wait_until_done;
is(statuses($endpoint), 'failed 20', 'given: twenty deliveries failed');
my $since = $t->sql('select clock_timestamp()');
is($t->sql("select webhook.recover($endpoint, '$since')"), 0,
	'recover takes none that ended earlier');
is($t->sql("select webhook.recover($endpoint, now() - interval '1 hour', '$since')"),
	20, 'recover returns how many it queued');
$t->wait_until_done;
is(statuses($endpoint), 'succeeded 20', 'and they are delivered');
my @requests = $t->receiver->journal(qr/500,200/);
my %bytes = map { ("$_->{id} $_->{sha256}" => 1) } @requests;
is(scalar @requests, 40, 'each was sent twice');
is(scalar keys %bytes, 20, 'with the same id and bytes');
is( $t->sql("select string_agg(distinct concat_ws(' ', attempt, is_redelivery, outcome), ', ')
		from webhook.attempt where endpoint_id = $endpoint"),
	'1 f, 2 t succeeded', 'the log tells redeliveries from first deliveries');
is($t->sql("select count(*) from webhook.delivery_log where is_redelivery"),
	20, 'and so does delivery_log');

# progress_is_shown
is( $t->sql("select kind, total, done, remaining, rate is null from webhook.progress
		where endpoint_id = $endpoint"),
	'recover|20|20|0|t', 'progress says that all of it is done');

# recover_takes_a_predicate_row_by_row
is( $t->sql("select count(webhook.redeliver(event_id, endpoint_id)) from webhook.delivery
		where endpoint_id = $endpoint and event_type like 'review.%' and status = 'succeeded'"),
	20, 'any predicate: redeliver in a select');
$t->wait_until_done;
is(statuses($endpoint), 'succeeded 20', 'and each shows once');

# tests_are_not_recovered
my $failing = $t->endpoint('/status/500', events => "'{team.*}'");
$t->sql("select webhook.test($failing)");
is($t->sql("select webhook.recover($failing, '-infinity')"), 0,
	'a test that failed is not recovered');
for my $bad ([ "$failing, null", '22004' ], [ '0, now()', 'P0002' ],
	[ "$failing, now(), now(), 'pending'", '22023' ])
{
	like($t->sql_error("select webhook.recover($bad->[0])"), qr/^$bad->[1]/,
		"recover($bad->[0]): $bad->[1]");
}
$t->sql("delete from webhook.endpoint where id = $failing");

# replay_what_was_missed: before the endpoint was created, or subscribed.
my $late = $t->endpoint('/ok/late', events => "'{team.*}'");
my $event = $t->emit;
$t->wait_until_done;
is($t->sql("select webhook.replay($late, now() - interval '1 hour')"), 0,
	'replay keeps to the subscription');
$t->sql("update webhook.endpoint set events = '{review.*}' where id = $late");
# A second replay may have looked before the first one's deliveries ended, and
# queue what it found after that.
my $second = $t->session;
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
is($t->sql("select webhook.replay($late, now() - interval '1 hour')"), 21,
	'replay sends what it never got');
$second->query_safe('begin isolation level repeatable read; select from webhook.event');
$t->configure('webhook.enabled = on');
$t->wait_for_workers;
$t->wait_until_done;
is($second->query_safe("select webhook.replay($late, now() - interval '1 hour')"), 0,
	'and a second time nothing');
$second->query_safe('commit');
$second->quit;
is(scalar(keys %{ { $t->receiver->arrivals(qr/late/) } }), 21, 'they arrive');
is($t->sql("select count(*) from webhook.attempt where endpoint_id = $late and is_redelivery"),
	0, 'as first deliveries');
$t->sql("select webhook.set_organization('org_2', 'x')");
my $foreign = $t->endpoint('/ok/foreign', organization => 'org_2');
is($t->sql("select webhook.replay($foreign, '-infinity', 'infinity')"), 0,
	'events of other organizations are not replayed');

# what_is_not_taken_is_not_replayed: it would arrive twice.
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
$t->emit;
is($t->sql("select webhook.replay($late, now() - interval '1 hour')"), 0,
	'an event that a worker will take is left to it');
$t->configure('webhook.enabled = on');
$t->wait_for_workers;
$t->wait_until_done;
is((grep { $_ > 1 } values %{ { $t->receiver->arrivals(qr/late/) } }), 0,
	'nothing arrives twice');

# two_replays_at_once: the second is stopped at its first row, until what the first
# queued has been delivered.
my $twice = $t->endpoint('/ok/twice', events => "'{repository.*}'");
$t->sql("update webhook.endpoint set status = 'disabled' where id = $twice");
$t->emit(event => 'repository.added') for 1 .. 2;
$t->wait_for_sql('select webhook._waiting_events() = 0');
$t->sql("update webhook.endpoint set status = 'enabled' where id = $twice");
$t->sql(q{create function stop() returns trigger language plpgsql as $$
	begin
		perform pg_advisory_xact_lock(1);
		return new;
	end $$;
	create trigger stop before insert on webhook.queue for each row
		when (current_setting('test.stops', true) = 'yes') execute function stop()});
my ($holder, $first, $second) = map { $t->session } 1 .. 3;
$holder->query_safe('select pg_advisory_lock(1)');
$first->query_safe("begin; select webhook.replay($twice, now() - interval '1 hour')");
$second->query_until(qr/sent/, "set test.stops = yes;\n\\echo sent\nselect webhook.replay($twice, now() - interval '1 hour');\n");
$t->wait_for_sql("select exists (select from pg_stat_activity where wait_event_type = 'Lock'
	and query ~ 'select webhook.replay')");
$first->query_safe('commit');
$t->wait_for_journal(2, qr{^/ok/twice});
$t->wait_for_sql("select not exists (select from webhook.queue where endpoint_id = $twice)");
$holder->query_safe('select pg_advisory_unlock(1)');
$second->query_safe('select 1');
$t->wait_for_sql("select not exists (select from webhook.queue where endpoint_id = $twice)");
is(scalar($t->receiver->journal(qr{^/ok/twice})), 2, 'of two replays at once, one sends');
$_->quit for $holder, $first, $second;
$t->sql('drop trigger stop on webhook.queue');

# by_an_old_snapshot: somebody else was faster, and that cannot be seen.
sub fails_behind
{
	my ($statement) = @_;
	my $session = $t->node->background_psql('postgres', on_error_stop => 0);

	$session->query_safe('begin isolation level repeatable read; select from webhook.attempt');
	$t->sql($statement);
	$t->wait_until_done;
	$session->query("\\set VERBOSITY sqlstate\n$statement");
	like($session->{stderr}, qr/ERROR:  40001/, "behind its snapshot: $statement");
	$session->quit;
}
$event = $t->sql("select id from webhook.event where event_type = 'review.completed' order by id limit 1");
my $later = $t->endpoint('/ok/later', events => "'{review.*}'");
fails_behind("select webhook.redeliver('$event', $later)");
fails_behind("select webhook.replay($later, '-infinity')");
is((grep { $_ > 1 } values %{ { $t->receiver->arrivals(qr/later/) } }), 0,
	'and nothing arrives twice');
$event = $t->emit(event => 'team.member_added');
for my $level ('repeatable read', 'serializable')
{
	like($t->sql("begin isolation level $level; select webhook.redeliver('$event', $later); commit"),
		qr/^\d$/, "$level: redeliver works where nobody was faster");
	$t->wait_until_done;
}
is({ $t->receiver->arrivals(qr/later/) }->{$event}, 2, 'and it arrives');
$t->sql("delete from webhook.endpoint where id = $later");

# pause_cancel_resume
$t->sql("update webhook.endpoint set status = 'paused' where id in ($endpoint, $late)");
$event = $t->emit;
my $other = $t->emit;
$t->wait_for_sql("select count(*) = 4 from webhook.delivery where status = 'pending'");
is($t->sql("select webhook.cancel('$event', $late)"), 1, 'cancel at one endpoint');
is($t->sql("select webhook.cancel('$event')"), 1, 'cancel at all that are left');
is($t->sql("select webhook.cancel('$event')"), 0, 'nothing is left');
is( $t->sql("select string_agg(distinct status || ': ' || error, ', ') from webhook.delivery_log
		where event_id = '$event'"),
	'cancelled: cancelled by hand', 'the log says so');

# drain_does_not_wait_for_what_is_paused
my (undef, $output, $notices) = $t->node->psql('postgres', "call webhook.drain('30s')");
like($notices, qr/NOTICE:  0 remaining, 0 done, 2 waiting for paused endpoints/,
	'drain ends with what is paused, and says so');
$t->sql("update webhook.endpoint set status = 'enabled'");

# drain_waits_for_the_rest
(undef, $output, $notices) = $t->node->psql('postgres',
	"call webhook.drain('60s'); select count(*) from webhook.queue");
is($output, '0', 'after a drain nothing waits');
like($notices, qr/NOTICE:  0 remaining, \d+ done$/m, 'and its last words say so');
my $slow = $t->endpoint('/hang', timeout => "'1h'", events => "'{team.*}'");
$t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
like($t->sql_error("call webhook.drain('1s')"),
	qr/^57014: deliveries still wait after 00:00:01/, 'a drain that takes too long fails');
is($t->sql("select count(*) from webhook.progress where kind = 'drain'"), 0,
	'and shows no longer');
my $drain = IPC::Run::start(
	[ 'psql', '-X', '-c', "set statement_timeout = '60s'", '-c', "call webhook.drain('60s')",
		$t->node->connstr('postgres') ], '>', \my $drained, '2>&1');
$t->wait_for_sql("select exists (select from webhook.progress where kind = 'drain' and remaining = 1)");
pass('while it runs, it shows in progress');
$t->sql("select pg_cancel_backend(pid) from webhook.operation where kind = 'drain'");
$drain->finish;
like($drained, qr/canceling statement due to user request/, 'it can be cancelled');
like( $t->sql_error("set statement_timeout = '300ms'; call webhook.drain('60s')"),
	qr/^57014: canceling statement due to statement timeout/, 'or time out as any statement');
(undef, $output) = $t->node->psql('postgres',
	"set statement_timeout = '300ms'; call webhook.drain('60s'); set statement_timeout = 0;
	 select count(*) from webhook.progress where kind = 'drain'", on_error_stop => 0);
is($output, '0', 'then it shows no longer, not in its own session either');
like($t->sql_error("begin; call webhook.drain('1s')"), qr/^2D000/,
	'a drain commits between its looks');

# deleting: what waits is cancelled, what is on the wire ends as it ends.
my $changing = $t->endpoint('/delay/1500/500', events => "'{team.*}'",
	retry_schedule => "'{1h}'", max_in_flight => 1);
$t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}') from generate_series(1, 3)});
$t->wait_for_journal(1, qr{^/delay});
$t->wait_for_sql("select count(*) = 3 from webhook.delivery where endpoint_id = $changing");
$t->sql("delete from webhook.endpoint where id = $changing");
$t->wait_for_sql("select not exists (select from webhook.queue where endpoint_id = $changing)");
is(statuses($changing), 'cancelled 2, failed 1',
	'deleted: what waited is cancelled, what was on the wire is logged and not retried');

# what_was_queued_while_it_was_disabled_or_deleted: a worker that took the event
# with an older snapshot leaves such rows; their part is played by statements.
my $disabled = $t->endpoint('/ok/disabled', events => "'{team.*}'");
my $deleted = $t->endpoint('/ok/deleted', events => "'{team.*}'");
$t->sql("update webhook.endpoint set status = 'disabled' where id = $disabled;
	delete from webhook.endpoint where id = $deleted;
	insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
	select '$event', n, now(), now(), webhook._origin() from unnest('{$disabled,$deleted}'::bigint[]) n");
$t->wait_for_sql("select not exists (select from webhook.queue
	where endpoint_id in ($disabled, $deleted))");
is( $t->sql("select string_agg(status || ': ' || error, ', ' order by endpoint_id)
		from webhook.delivery_log where endpoint_id in ($disabled, $deleted)"),
	'cancelled: the endpoint was disabled, cancelled: the endpoint was deleted',
	'what was queued too late is cancelled, not sent and not forgotten');
is(scalar($t->receiver->journal(qr{^/ok/d(isabl|elet)ed})), 0, 'nobody sends it');

# queued_for_an_endpoint_that_was_deleted_meanwhile, with whatever happened since
my $going = $t->endpoint('/ok/going', events => "'{team.*}'");
$t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
wait_for_statuses($going, 'succeeded 1');
my ($gone) = map { $_->{id} } $t->receiver->journal(qr{^/ok/going});
my $session = $t->session;
$session->query_safe("begin; select webhook.redeliver('$gone', $going)");
$t->sql("delete from webhook.endpoint where id = $going");
for (1 .. 2)
{
	# More than the worker remembers as those that it served last.
	my $url = $t->receiver->url("/ok/other$_");

	$t->sql("select webhook.create_endpoint('org_1', '$url', '{team.*}') from generate_series(1, 70)");
	$t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
	$t->wait_for_journal(70, qr{^/ok/other$_});
	$t->sql("delete from webhook.endpoint where url ~ 'other'");
}
$session->query_safe('commit');
$session->quit;
wait_for_statuses($going, 'cancelled 1');
pass('what was queued for an endpoint that was deleted is cancelled');

# and_after_a_crash, when no worker knows of it
$t->sql("alter system set webhook.enabled = off");
$t->node->restart;
$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
	values ('$event', $going, now(), now(), webhook._origin())");
$t->sql('alter system reset webhook.enabled');
$t->node->restart;
wait_for_statuses($going, 'cancelled 2');
pass('after a crash, too');

# a_change_applies_to_the_next_attempt
my $moved = $t->endpoint('/status/500?old', events => "'{team.*}'",
	retry_schedule => "'{1h}'");
$t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
$t->wait_for_sql("select exists (select from webhook.delivery
	where endpoint_id = $moved and status = 'pending' and attempts = 1)");
my $url = $t->receiver->url('/status/500?new');
$t->sql("update webhook.endpoint set url = '$url', retry_schedule = '{}' where id = $moved");
$t->receiver->trust($t->sql("select webhook.rotate_secret($moved, '0')"));
$t->sql("update webhook.queue set next_attempt_at = now() where endpoint_id = $moved");
$t->wait_for_sql("select exists (select from webhook.delivery
	where endpoint_id = $moved and status = 'failed' and attempts = 2)");
is( $t->sql("select string_agg(right(url, 3) || ' ' || coalesce(outcome, '-'), ', ' order by attempt)
		from webhook.attempt where endpoint_id = $moved"),
	'old -, new failed', 'URL and schedule apply to the next attempt; its row says what was used');
my ($request) = $t->receiver->journal(qr/\?new/);
is($request->{signature}, 'valid', 'and so does the secret');

# what_was_used_is_in_the_row: of a timeout how long it was, of a signature
# which secrets.
my $patient = $t->endpoint('/hang?patient', events => "'{team.*}'",
	timeout => "'300ms'", retry_schedule => "'{1h}'");
$t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
$t->wait_for_sql("select exists (select from webhook.delivery
	where endpoint_id = $patient and status = 'pending' and attempts = 1)");
my $old_secret = $t->sql("select webhook.secret($patient)");
$t->sql("update webhook.endpoint set timeout = '1200ms' where id = $patient;
	select webhook.rotate_secret($patient);
	update webhook.queue set next_attempt_at = now() where endpoint_id = $patient");
$t->wait_for_sql("select exists (select from webhook.delivery
	where endpoint_id = $patient and attempts = 2 and status = 'failed')");
my @used = $t->rows("select a.error, extract(epoch from a.duration) as took,
		webhook.verify(e.payload::text, (regexp_match(a.request_headers, 'X-Jasper-Signature: (\\S+)'))[1], '$old_secret') as is_old,
		webhook.verify(e.payload::text, (regexp_match(a.request_headers, 'X-Jasper-Signature: (\\S+)'))[1],
			webhook.secret($patient)) as is_new,
		array_length(regexp_split_to_array(a.request_headers, 'v1,'), 1) - 1 as signatures
	from webhook.attempt a join webhook.event e on e.id = a.event_id
	where a.endpoint_id = $patient order by a.attempt");
like($used[0]{error}, qr/timed out after 3\d\d milliseconds/, 'the error says after how long it timed out');
like($used[1]{error}, qr/timed out after 1[2-9]\d\d milliseconds/, 'a new timeout applies to the next attempt');
cmp_ok($used[1]{took}, '>=', 1.2, 'which takes as long');
is_deeply([ map { $_->{is_old} ? 1 : 0, $_->{is_new} ? 1 : 0, $_->{signatures} } @used ],
	[ 1, 0, 1, 0, 1, 2 ], 'and its headers show with which secrets it was signed');

# an_event_is_taken_when_its_endpoint_is_gone: no delivery of it is made.
my $early = $t->endpoint('/ok/early', events => "'{team.*}'");
$t->configure('webhook.enabled = off');
$t->wait_for_sql("select bool_and(state = 'off') from webhook.status");
$event = $t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
$t->sql("delete from webhook.endpoint where id = $early");
$t->configure('webhook.enabled = on');
$t->wait_for_workers;
$t->wait_for_sql("select webhook._waiting_events() = 0");
is($t->sql("select count(*) from webhook.delivery where endpoint_id = $early"), 0,
	'deleted before a worker took the event: it never was one of its receivers');

# deleted_while_on_the_wire: the view and explain tell it as it is.
my $leaving = $t->endpoint('/hang?leaving', events => "'{team.*}'", timeout => "'3s'");
$event = $t->sql(q{select webhook.emit('team.member_added', 'org_1', '{}')});
$t->wait_for_journal(1, qr/leaving/);
$t->sql("delete from webhook.endpoint where id = $leaving");
is( $t->sql("select d.status, x.verdict, x.explanation from webhook.delivery d
		join webhook.explain('$event') x using (endpoint_id) where endpoint_id = $leaving and d.event_id = '$event'"),
	'sending|sending|attempt 1 is on the wire; the endpoint was deleted since',
	'a request to an endpoint that was deleted is on the wire');
$t->wait_for_sql("select exists (select from webhook.delivery where endpoint_id = $leaving and status = 'failed')");
pass('and fails without a retry');

# made_while_its_organization_is_deleted: whoever is second sees what the first did.
$t->sql("select webhook.set_organization('left', 'x')");
my ($maker, $deleter) = ($t->session, $t->session);
my $left = $t->receiver->url('/ok/left');
$maker->query_safe("begin; select webhook.create_endpoint('left', '$left')");
$deleter->query_until(qr/begun/, "\\echo begun\ndelete from webhook.organization where id = 'left';\n");
$t->wait_for_sql("select not exists (select from webhook.organization where id = 'left')
	or exists (select from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^delete')");
$maker->query_safe('commit');
$deleter->query_safe('select');
is($t->sql("select count(*) from webhook.endpoint where organization_id = 'left'"), 0,
	'an endpoint is not left behind by its organization');
$t->sql("select webhook.set_organization('left', 'x')");
$deleter->query_safe("begin; delete from webhook.organization where id = 'left'");
like($t->sql_error("set lock_timeout = '100ms'; select webhook.create_endpoint('left', '$left')"), qr/^55P03/,
	'nor made for one that is being deleted');
$deleter->query_safe('commit');
$_->quit for $maker, $deleter;

# a_hundred_thousand: one statement, whatever its size.
$t->sql("update webhook.endpoint set status = 'paused' where id = $late");
$t->sql("insert into webhook.attempt (event_id, endpoint_id, started_at, delivery_created_at, duration,
		attempt, organization_id, outcome, url, error, error_class)
	select e.id, $late, now() - interval '1 s', now(), '1s', 1, 'org_1', 'failed', 'https://x.example/', 'x', 'http'
	  from (select webhook.emit('team.member_removed', 'org_1', '{}') as id
	          from generate_series(1, 100000)) e");
my $began = Time::HiRes::time();
is($t->sql("select webhook.recover($late, now() - interval '1 hour')"), 100000,
	'recover: a hundred thousand deliveries');
my $took = Time::HiRes::time() - $began;
cmp_ok($took, '<', 30, sprintf 'in %.1f s', $took);
is($t->sql("select remaining from webhook.progress where endpoint_id = $late
		order by started_at desc limit 1"), 100000, 'progress counts them');

done_testing();
