# Large bodies are sent a few at a time: they share a part of the worker's
# memory, whatever number of requests is allowed.  Small ones pass them.

use strict;
use warnings;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $mebibyte = 1024 * 1024;
my $endpoints = 24;				# times 8 MiB is 192 MiB
my $t = Webhook->new('memory', 'webhook.payload_limit = 16MB',
	"webhook.retry_schedule = ''");
my ($pid) = $t->wait_for_workers;

sub resident_mebibytes
{
	return slurp_file("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/ ? $1 / 1024 : die;
}

sub on_the_wire
{
	return $t->sql("select count(*) from webhook.queue where next_attempt_at is null");
}

sub emit_large
{
	my ($mebibytes, $from, $to) = @_;

	$t->sql("select webhook.emit('review.completed', 'o' || n,
			json_build_object('x', repeat('x', $mebibytes * $mebibyte)))
		from generate_series($from, $to) n");
}

# given receivers that hang, and a large event for each
for my $n (1 .. $endpoints)
{
	$t->sql("select webhook.set_organization('o$n', 'x')");
	$t->endpoint('/hang', organization => "o$n", timeout => "'2s'");
}
my $small = $t->attempt_at('/ok');
my $before = resident_mebibytes();
emit_large(8, 1, $endpoints);

# when as many as may are on the wire
Webhook::wait_until('some of them on the wire', 30, sub { on_the_wire() > 0 });
my $at_once = on_the_wire();
my $beside = $t->attempt_at('/ok');
my $grown = resident_mebibytes() - $before;

# then
cmp_ok($at_once, '<=', 8, "$at_once of $endpoints are on the wire");
is($beside->{response_status}, 200, 'a small event is delivered');
my $most = 0;
Webhook::wait_until('each to be attempted', 60, sub {
	$grown = max($grown, resident_mebibytes() - $before);
	$most = max($most, on_the_wire());
	return $t->sql("select count(distinct organization_id) = $endpoints
		from webhook.attempt where organization_id ~ '^o[0-9]'") eq 't';
});
cmp_ok($most, '<=', 8, "never more than $most at once");
cmp_ok($grown, '<', 64 + 8 + 32,
	sprintf('the worker grew by %d MiB, not by 192', $grown));
is($t->sql("select count(*) from webhook.attempt where organization_id ~ '^o[0-9]'
		and error_class = 'timeout'"), $endpoints, 'each was attempted, once');

# the_oldest_go_first, so that nobody's wait for ever
is($t->sql("select bool_and(place <= 16) from
		(select row_number() over (order by a.started_at) as place,
			row_number() over (order by a.event_id) as number
		from webhook.attempt a where a.organization_id ~ '^o[0-9]') x
		where number <= 8"),
	't', 'none of the oldest third was among the last');

# one_that_is_larger_than_all_of_it is sent alone
$t->configure('webhook.payload_limit = 64MB');
$t->sql("select webhook.set_organization('whole', 'x')");
$t->endpoint('/ok', organization => 'whole');
$t->wait_for_sql("select current_setting('webhook.payload_limit') = '64MB'");
$t->sql("select webhook.emit('review.completed', 'whole',
	json_build_object('x', repeat('x', 64 * $mebibyte - 500)))");
$t->wait_until_done;
is($t->sql("select response_status from webhook.attempt where organization_id = 'whole'"),
	200, 'the largest body there may be is delivered');
is(($t->worker_pids)[0], $pid, 'the worker is the same');

# looks_in_vain_leave_nothing
sub used
{
	my ($what) = @_;
	my $log = $t->node->logfile;
	my $offset = -s $log;
	my $used;

	$t->sql("select pg_log_backend_memory_contexts($pid)");
	Webhook::wait_until('the contexts of the worker', 20,
		sub { ($used) = slurp_file($log, $offset) =~ /$what: .* (\d+) used/ });
	return $used;
}

# It looks by itself when another transaction has ended, and then sleeps on.
sub wait_for_look
{
	my $sleeps = sub { slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m; $1 };
	my $before = $sleeps->();

	$t->sql('select pg_current_xact_id()');
	Webhook::wait_until('a look', 20, sub { $sleeps->() > $before });
}
$t->configure('webhook.max_in_flight = 10000');
wait_for_look() for 1 .. 2;
my $used = used('TopMemoryContext');
wait_for_look() for 1 .. 2;
cmp_ok(used('TopMemoryContext') - $used, '<', 40000, 'looks in vain leave nothing in memory');

# deleted_endpoints_are_forgotten
sub come_and_go
{
	my $url = $t->receiver->url('/ok');

	$t->sql("insert into webhook.organization (id, name) values ('many', 'x') on conflict do nothing;
		select webhook.create_endpoint('many', '$url/' || n) from generate_series(1, 200) n");
	$t->emit(organization => 'many');
	$t->wait_until_done;
	$t->sql("delete from webhook.endpoint where organization_id = 'many'");
}
come_and_go() for 1 .. 2;
$used = used('Grand total');
come_and_go() for 1 .. 3;
cmp_ok(used('Grand total') - $used, '<', 500_000, 'of endpoints that were deleted the worker keeps nothing');

# no_memory_for_a_retry: its place is free for the next try
my $off = $t->node->data_dir . '/no-memory';
{
	local $ENV{LD_PRELOAD} = Webhook::preload('memory');
	$t->node->restart;
}
$t->wait_for_workers;
my $endpoint = $t->endpoint('/status/500,200', organization => 'o1', retry_schedule => "'{2s}'");
$t->sql("delete from webhook.endpoint where organization_id = 'o1' and id <> $endpoint");
emit_large(2, 1, 1);
$t->wait_for_sql("select exists (select from webhook.queue
	where endpoint_id = $endpoint and attempts = 1)");
append_to_file($off, '');
$t->wait_for_sql("select exists (select from webhook.status where last_error = 'out of memory')");
unlink $off;
$t->wait_until_done;
is($t->sql("select string_agg(response_status::text, ' ' order by attempt)
		from webhook.attempt where endpoint_id = $endpoint"),
	'500 200', 'a retry for which there was no memory is sent when there is');

done_testing();
