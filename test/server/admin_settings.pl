# Settings of the server, of databases and of roles, and their changes: the
# same bytes, the same outcomes, and nothing that waits for a request that
# hangs.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('admin_settings', 'max_worker_processes = 16');
my $node = $t->node;

sub arrived
{
	my ($id) = @_;
	my %times = $t->receiver->arrivals;

	return $times{$id} // 0;
}

sub wait_for_arrival
{
	my ($what, $id, $seconds) = @_;

	Webhook::wait_until("$what: event $id", $seconds // 30, sub { arrived($id) });
}

# What arrives for a few events, without what is new each time.
sub fingerprint
{
	my ($what) = @_;
	my $data = '{"a":  1.10, "b":"\u00e4 \\\\ x", "c":[true,null,1e3], "d":"2026-01-02T03:04:05Z"}';
	my @ids = (
		$t->sql("select webhook.emit('review.completed', 'org_1', '$data'::text)"),
		$t->sql("select webhook.emit('review.completed', 'org_1', '$data'::json)"),
		$t->sql("select webhook.emit('review.completed', 'org_1', '$data'::jsonb)"),
		$t->sql("insert into watched values (0.1, 'x', '2026-01-02') ; select id from webhook.event
			where event_type = 'team.member_added' order by id desc limit 1"));
	my %wanted = map { $_ => 1 } @ids;

	Webhook::wait_until("$what: eight requests", 60, sub {
		8 <= grep { $wanted{ $_->{id} } && $_->{path} =~ m{/ok/|/status/} } $t->receiver->journal });
	$t->wait_until_done;
	my @lines;
	for my $request (grep { $wanted{ $_->{id} } } $t->receiver->journal)
	{
		my $body = $request->{body} =~ s/"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/TIME/r;
		my @names = map { lc $_->[0] } @{ $request->{headers} };

		push @lines, "$request->{method} $request->{path} $request->{attempt} $request->{signature} @names $body";
	}
	my $outcomes = $t->sql("select string_agg(format('%s %s %s %s %s', a.attempt, a.outcome, a.response_status,
			a.error, a.response_body), '; ' order by a.endpoint_id, a.attempt, e.created_at)
		from webhook.attempt a join webhook.event e on e.id = a.event_id
		where e.id in ('" . join("','", @ids) . "')");
	return join "\n", sort(@lines), $outcomes;
}

# hostile_settings: set for the server, the database and the roles
$t->endpoint('/ok/main');
$t->endpoint('/status/500,200', retry_schedule => "'{10ms}'");
$t->sql("create table watched (a float8, b text, c date);
	select webhook.watch('watched', 'team.member_added', quote_literal('org_1'))");
my $plain = fingerprint('as usual');
is((() = $plain =~ /valid/g), 12, 'each event to both endpoints, one of them twice');
my @hostile = (
	[ statement_timeout => '1ms' ], [ lock_timeout => '1ms' ],
	[ idle_in_transaction_session_timeout => '1ms' ], [ idle_session_timeout => '1ms' ],
	[ search_path => 'evil' ], [ default_transaction_isolation => 'serializable' ],
	[ default_transaction_deferrable => 'on' ], [ row_security => 'off' ],
	[ client_min_messages => 'debug5' ], [ DateStyle => 'German' ],
	[ IntervalStyle => 'sql_standard' ], [ TimeZone => 'Asia/Kathmandu' ],
	[ lc_numeric => 'C.UTF-8' ], [ lc_messages => 'C' ], [ extra_float_digits => '-15' ],
	[ bytea_output => 'escape' ], [ array_nulls => 'off' ], [ transform_null_equals => 'on' ],
	[ quote_all_identifiers => 'on' ], [ standard_conforming_strings => 'off' ],
	[ jit => 'on' ], [ jit_above_cost => '0' ], [ parallel_setup_cost => '0' ],
	[ parallel_tuple_cost => '0' ], [ min_parallel_table_scan_size => '0' ],
	[ force_parallel_mode => 'on' ], [ debug_parallel_query => 'on' ],
	[ enable_nestloop => 'off' ], [ enable_indexscan => 'off' ], [ enable_tidscan => 'off' ],
	[ enable_indexonlyscan => 'off' ], [ enable_sort => 'off' ], [ enable_material => 'off' ],
	[ random_page_cost => '1000' ], [ join_collapse_limit => '1' ], [ from_collapse_limit => '1' ],
	[ work_mem => '64kB' ], [ synchronous_commit => 'off' ], [ xmloption => 'document' ],
	[ default_with_oids => 'off' ], [ check_function_bodies => 'on' ], [ transaction_timeout => '1s' ],
	[ session_replication_role => 'replica' ], [ gin_fuzzy_search_limit => '1' ],
	[ constraint_exclusion => 'on' ], [ enable_partition_pruning => 'off' ],
	[ plan_cache_mode => 'force_custom_plan' ]);
$t->sql('create schema evil;
	create function evil.now() returns timestamptz language sql as $$select null::timestamptz$$;
	create operator evil.= (leftarg = uuid, rightarg = uuid, function = uuid_ne);
	create operator evil.= (leftarg = int8, rightarg = int8, function = int8ne)');
my %known = map { $_ => 1 } split /\n/, $t->sql('select lower(name) from pg_settings');
@hostile = grep { $known{ lc $_->[0] } } @hostile;

# The application's own session obeys the settings; not to be the one that is
# stopped by them, it takes these back.
my @own = map { "$_=" . { statement_timeout => 0, lock_timeout => 0, search_path => 'public',
	idle_session_timeout => 0, idle_in_transaction_session_timeout => 0,
	transaction_timeout => 0, session_replication_role => 'origin',
	client_min_messages => 'warning', extra_float_digits => 1, standard_conforming_strings => 'on' }->{$_} }
  grep { $known{$_} } qw(statement_timeout lock_timeout search_path idle_session_timeout
  idle_in_transaction_session_timeout transaction_timeout session_replication_role
  client_min_messages extra_float_digits standard_conforming_strings);
$ENV{PGOPTIONS} = join ' ', map { "-c $_" } @own;
for my $scope ('server', 'database', 'roles')
{
	for (@hostile)
	{
		my ($name, $value) = @$_;
		my $set = "set $name = " . ($name eq 'search_path' ? $value : "'$value'");

		$t->sql("alter system $set") if $scope eq 'server';
		$t->sql("alter database postgres $set") if $scope eq 'database';
		$t->sql("alter role $_ $set") for $scope eq 'roles' ? ('postgres', 'webhook') : ();
	}
	$node->restart;
	is(fingerprint($scope), $plain, "hostile settings of the $scope: the same bytes and outcomes");
	$t->sql('alter system reset all') if $scope eq 'server';
	$t->sql('alter database postgres reset all') if $scope eq 'database';
	$t->sql("alter role $_ reset all") for $scope eq 'roles' ? ('postgres', 'webhook') : ();
}
delete $ENV{PGOPTIONS};
$node->restart;

# read_only: nothing is sent, one line a minute, and it goes on
my $offset = -s $node->logfile;
$t->configure('default_transaction_read_only = on');
$t->wait_for_sql("select state = 'read-only' and reason ~ 'default_transaction_read_only' from webhook.status");
my $id = $t->sql("set default_transaction_read_only = off;
	set transaction_read_only = off; select webhook.emit('review.completed', 'org_1', '{}')");
my $looks = 0;
Webhook::wait_until('the worker to look', 20, sub { $looks++ > 20 });
is(arrived($id), 0, 'read-only: nothing is sent');
my $log = slurp_file($node->logfile, $offset);
is(scalar(() = $log =~ /webhook worker.*read_only is on/g), 1, 'and one line in the log says so');
unlike($log, qr/(ERROR|FATAL)/, 'nothing fails');
$t->configure('default_transaction_read_only = off');
wait_for_arrival('writable again', $id);
pass('it goes on by itself');

# a_reload_takes_effect_although_a_request_hangs
my $hanging = $t->endpoint('/hang', timeout => "'1h'", events => "'{team.*}'");
$t->emit(event => 'team.member_removed');
$t->wait_for_journal(1, qr/hang/);
$t->configure("webhook.response_body_limit = 3\nwebhook.header_prefix = 'X-New'");
my $long = $t->endpoint('/body/100', events => "'{repository.*}'");
Webhook::wait_until('the new limit', 20, sub {
	my $event = $t->emit(event => 'repository.added');
	wait_for_arrival('reload', $event);
	$t->wait_for_sql("select count(*) = 1 from webhook.attempt where event_id = '$event' and endpoint_id = $long");
	return $t->sql("select response_body = 'xxx' and response_truncated from webhook.attempt
		where event_id = '$event' and endpoint_id = $long") eq 't';
});
pass('a new limit of bodies holds for new requests');
$t->configure("webhook.allow_addresses = ''");
Webhook::wait_until('the new addresses', 20, sub {
	my $event = $t->emit(event => 'repository.added');
	$t->wait_for_sql("select count(*) = 1 from webhook.attempt where event_id = '$event'
		and endpoint_id = $long and attempt = 1");
	return $t->sql("select error_class = 'blocked' from webhook.attempt
		where event_id = '$event' and endpoint_id = $long and attempt = 1") eq 't';
});
pass('an address that is not allowed any more is not dialled any more');
is($t->sql('select sum(in_flight) from webhook.status'), 1, 'the request that hangs goes on');
$t->configure("webhook.allow_addresses = '127.0.0.0/8'\nwebhook.response_body_limit = 16kB\nwebhook.header_prefix = 'X-Jasper'");
$t->sql("delete from webhook.endpoint where id = $long");

# a_storm_of_reloads
my @ids;
for my $n (1 .. 40)
{
	$node->append_conf('postgresql.conf', "webhook.timeout = ${n}s\nwebhook.max_in_flight = " . (100 + $n));
	$node->reload;
	push @ids, $t->emit if $n % 4 == 0;
}
ok(Webhook::wait_until('the storm of reloads', 30, sub { !grep { arrived($_) < 2 } @ids }),
	'a storm of reloads: all arrives, at both endpoints');

# workers_change_although_a_request_hangs
my $start = time;
$t->configure('webhook.workers = 3');
$id = $t->emit;
wait_for_arrival('another number of workers', $id, 15);
cmp_ok(time - $start, '<', 15, 'workers change although a request hangs, within seconds');
$t->wait_for_journal(2, qr/hang/);
is($t->sql("select count(*) from webhook.attempt where endpoint_id = $hanging"), 0,
	'what hung is sent again, without a mark against it');
is(join(' ', map { $_->{attempt} } $t->receiver->journal(qr/hang/)), '1 1', 'as the same attempt');

# deleted_in_flight and disabled_in_flight
$t->sql("delete from webhook.endpoint");
for my $change ("delete from webhook.endpoint where id = %s",
	"update webhook.endpoint set status = 'disabled' where id = %s")
{
	for my $status (200, 500)
	{
		my $count = $t->receiver->journal(qr/delay/);
		my $end = $t->endpoint("/delay/500/$status", timeout => "'10s'", retry_schedule => "'{10ms}'");
		$id = $t->emit;
		$t->wait_for_journal($count + 1, qr/delay/);
		$t->sql(sprintf $change, $end);
		$t->wait_for_sql("select count(*) = 1 from webhook.attempt where event_id = '$id'");
		is($t->sql("select string_agg(format('%s %s %s', status, attempts, response_status), ', ') from webhook.delivery_log
				where event_id = '$id'"),
			($status == 200 ? 'succeeded' : 'failed') . " 1 $status", sprintf("$change in flight: it ends as it was answered, $status", 'x'));
		is(scalar($t->receiver->journal(qr/delay/)), $count + 1, 'and is not tried again');
	}
}

done_testing();
