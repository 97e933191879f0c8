# Bodies of awkward sizes arrive byte for byte, and what is large in number or
# in bytes needs no memory that grows with it.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('sizes');
my $limit = 1024 * 1024;
my $kib64 = 64 * 1024;

# Data that makes a body of so many bytes, part of them two bytes a letter.
my $around = '{"event":"review.completed","timestamp":"2026-01-08T10:30:00Z",'
  . '"organization":{"id":"org_1","name":"Organization One"},"data":{"x":""}}';

sub emit_size
{
	my ($size) = @_;
	my $letters = $size - length $around;

	return $t->sql("select webhook.emit('review.completed', 'org_1',
		'{\"x\":\"' || repeat(chr(233), 1000) || repeat('x', $letters - 2000) || '\"}')");
}

# bodies_arrive_byte_for_byte
$t->configure("webhook.payload_limit = '2MB'");
$t->wait_for_sql("select current_setting('webhook.payload_limit') = '2MB'");
$t->endpoint('/ok');
my @sizes = ($kib64 - 1, $kib64, $kib64 + 1, $limit - 1, $limit, $limit + 1,
	2 * $limit);
my %size = map { emit_size($_) => $_ } @sizes;
$t->wait_for_journal(scalar @sizes);
for my $request ($t->receiver->journal)
{
	my $id = $request->{id};
	my $hash = $t->sql("select encode(sha256(convert_to(payload::text, 'UTF8')), 'hex'),
		octet_length(payload::text) from webhook.event where id = '$id'");

	is($hash, "$request->{sha256}|$size{$id}", "$size{$id} bytes arrive as they are");
	is($request->{signature}, 'valid', 'signed');
}
like($t->sql_error("select webhook.emit('review.completed', 'org_1',
		'{\"x\":\"' || repeat('x', 2 * $limit) || '\"}')"),
	qr/^54000: /, 'over the limit: refused');

# a_large_transaction_needs_no_memory: what the session holds at the end of
# many events is what it held at the end of few.
sub grown
{
	my ($number) = @_;

	return $t->sql("do \$\$ begin perform webhook.emit('review.completed', 'nobody', '{}')
			from generate_series(1, 100); end \$\$;
		create temp table before as select sum(total_bytes) as bytes from pg_backend_memory_contexts;
		begin;
		do \$\$ begin for i in 1..$number loop
			perform webhook.emit('review.completed', 'nobody', '{}'); end loop; end \$\$;
		select (select sum(total_bytes) from pg_backend_memory_contexts) - bytes from before;
		commit");
}
$t->sql("select webhook.set_organization('nobody', 'Nobody')");
cmp_ok(grown(50_000), '<', grown(1_000) + 500_000,
	'a transaction of 50,000 events holds no memory for them');
$t->wait_until_done(undef, 60);

# an_event_of_a_thousand_endpoints: each gets it, and the worker needs little
# more for it.  (Ten thousand: bench/parts/giant.)
sub own_memory
{
	my ($pid) = $t->worker_pids;

	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : die;
}
my $url = $t->receiver->url('/ok/many');
my $before = own_memory();
$t->sql("select webhook.set_organization('many', 'Many');
	select webhook.create_endpoint('many', '$url?' || i) from generate_series(1, 1000) i");
my $event = $t->emit(organization => 'many');
$t->wait_for_journal(1000, qr/many/, 60);
$t->wait_until_done;
my %times;
$times{ $_->{path} }++ for $t->receiver->journal(qr/many/);
is(scalar(grep { $_ == 1 } values %times), 1000, 'an event of 1,000 endpoints arrives once at each');
is($t->sql("select count(*) from webhook.delivery where event_id = '$event' and status = 'succeeded'"),
	1000, 'and has a row for each');
cmp_ok(own_memory() - $before, '<', 64 * 1024, 'and the worker needs less than 64 MiB more');

# of_all_these_only_those_concerned_are_read, whatever the planner takes an
# organization for: one of those with a thousand endpoints, and then a small one.
sub index_counts
{
	my ($count, $table) = @_;

	$t->sql('select pg_terminate_backend(pid, 10000) from webhook.status');	# counts all it did
	$t->wait_for_workers;
	return $t->sql("select sum($count) from pg_stat_user_indexes
		where relname ~ '^$table' and schemaname = 'webhook'");
}
sub entries_read { index_counts('idx_tup_read', @_) }

# What a worker counts for this, and not only for being started.
sub counted_for
{
	my ($work, @counts) = @_;
	my $first = index_counts(@counts);
	my $second = index_counts(@counts);

	$work->();
	return index_counts(@counts) - $second - ($second - $first);
}

for my $known ('both', 'the large one')
{
	$t->sql("delete from webhook.endpoint where organization_id = 'org_1'") if $known ne 'both';
	$t->sql('vacuum analyze webhook.endpoint');
	$t->endpoint('/ok') if $known ne 'both';
	my $read = counted_for(sub {
			for (1 .. 10)
			{
				$t->emit;
				$t->wait_until_done;
			}
		}, 'idx_tup_read', 'endpoint');
	cmp_ok($read, '<', 10 * 20,
		"an event of a small organization does not read those, with statistics of $known");
}

$t->sql("insert into webhook.organization (id, name) select 'small_' || n, 'x' from generate_series(1, 1000) n;
	insert into webhook.endpoint (organization_id, url) select 'small_' || n, '$url' from generate_series(1, 1000) n;
	analyze webhook.endpoint");
my $read = entries_read('endpoint');
$t->emit(organization => 'many') for 1 .. 3;
$t->wait_until_done;
cmp_ok(entries_read('endpoint') - $read, '<', 3 * 1000 * 10, 'each delivery reads its own endpoint');

# Each failure is an event, webhook.delivery_failed, which nobody subscribes to.
$t->sql("update webhook.endpoint set url = '" . $t->receiver->url('/status/500') . "', retry_schedule = '{}'
	where organization_id = 'many'");
$read = entries_read('endpoint');
$t->emit(organization => 'many') for 1 .. 3;
$t->wait_until_done;
is($t->sql("select count(*) from webhook.event where event_type = 'webhook.delivery_failed'"),
	3000, 'three thousand failures are told');
cmp_ok(entries_read('endpoint') - $read, '<', 3 * 1000 * 200, 'and do not read all endpoints each');

# a_change_of_one_endpoint_is_no_reason_to_look_at_all
my $looks = counted_for(sub {
		for my $n (1 .. 10)
		{
			$t->sql("update webhook.endpoint set description = '$n' where id = (select min(id) from webhook.endpoint)");
			$t->emit;			# and the worker has seen that
			$t->wait_until_done;
		}
	}, 'idx_scan', 'queue');
cmp_ok($looks, '<', 10 * 20, 'who changes an endpoint has no others looked at');

# what_is_not_due_is_not_read, however often there is a change.
$t->sql("update webhook.endpoint set status = 'paused' where organization_id = 'many'");
$t->emit(organization => 'many');
$t->wait_for_sql("select count(*) >= 1000 from webhook.queue");
$t->sql("update webhook.queue set next_attempt_at = now() + '1 day';
	update webhook.endpoint set status = 'enabled' where organization_id = 'many'");
$read = entries_read('event_2');
for my $n (1 .. 10)
{
	$t->sql("update webhook.endpoint set description = '$n' where id = (select min(id) from webhook.endpoint)");
	$t->emit;					# and the worker has seen that
	$t->wait_for_sql("select webhook._waiting_events() = 0 and count(*) = 1000 from webhook.queue");
}
cmp_ok(entries_read('event_2') - $read, '<', 1000, 'a change reads no event that is due tomorrow');

done_testing();
