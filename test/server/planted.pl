# What an owner of our tables plants in them may stop a worker: it says so,
# ends when it is told to, and goes on when the plant is gone.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('planted');
$t->endpoint('/ok');
$t->sql(q{
	create table public.locked ();
	grant all on public.locked to webhook;
	create function public.refuse() returns trigger language plpgsql as
		$$ begin raise exception 'planted'; end $$;
	create function public.wait() returns trigger language plpgsql as
		$$ begin lock table public.locked; return null; end $$;
});

sub trigger
{
	my ($event, $function, $when) = @_;

	return "create constraint trigger plant after $event on webhook.queue
		deferrable initially $when for each row execute function public.$function()";
}
my $drop = 'drop trigger plant on webhook.queue';

for my $plant (
	[ 'a trigger that refuses what is taken', trigger('insert', 'refuse', 'immediate'), $drop, 'planted' ],
	[ 'a trigger that waits for a lock', trigger('insert', 'wait', 'immediate'), $drop, 'lock timeout' ],
	[ 'a deferred trigger', trigger('insert', 'refuse', 'deferred'), $drop, 'cannot fire deferred trigger' ],
	[ 'a trigger that refuses what is recorded',
		'create trigger plant before insert on webhook.attempt for each row execute function public.refuse()',
		'drop trigger plant on webhook.attempt', 'planted' ])
{
	my ($name, $make, $unmake, $error) = @$plant;
	my $session = $t->session;
	my $logged = $t->sql('select count(*) from webhook.attempt');

	$session->query_safe('begin; lock table public.locked');
	$t->sql($make);
	my @ids = map { $t->emit } 1 .. 3;
	$t->wait_for_sql("select state = 'failing' and reason ~ '$error' from webhook.status");
	pass("$name: webhook.status says so");
	is($t->sql('select count(*) from webhook.attempt'), $logged, 'nothing is logged');
	is($t->sql("select count(*) from webhook.check() where subject = 'trigger plant on webhook.queue'
			and problem = 'it is deferred, and workers cannot fire it'"),
		$make =~ /deferred/ ? 1 : 0, 'webhook.check() knows deferred triggers');

	my ($pid) = $t->worker_pids;
	my $start = time;
	kill TERM => $pid;
	Webhook::wait_until('the worker to end', 10, sub { !kill 0 => $pid });
	cmp_ok(time - $start, '<', 2, 'the worker ends when it is told to');

	$t->sql($unmake);
	$session->query_safe('rollback');
	$session->quit;
	$t->wait_until_done;
	my %times = $t->receiver->arrivals;
	is(scalar(grep { !$times{$_} } @ids), 0, 'without it, all arrives');
	is($t->sql("select count(*) from webhook.delivery where status = 'succeeded' and event_id = any ('{"
				. join(',', @ids) . "}')"), 3, 'and is logged');
}

# Workers that become one merge their cursors: all of them, or none.
sub cursors
{
	my ($workers) = @_;

	$t->configure("webhook.workers = $workers");
	$t->wait_for_workers($workers);
	return $t->emit;
}
cursors(3);
$t->wait_for_sql('select count(*) = 3 from webhook.cursor');
$t->sql(q{create function public.refuse_second() returns trigger language plpgsql as
		$$ begin if (select count(*) from webhook.cursor) < 3 then raise exception 'planted'; end if; return old; end $$;
	create trigger plant before delete on webhook.cursor for each row execute function public.refuse_second()});
$t->configure('webhook.workers = 1');
$t->wait_for_sql("select bool_and(state = 'failing' and reason ~ 'planted') from webhook.status");
$t->sql('drop trigger plant on webhook.cursor');
my $merged = cursors(1);
$t->wait_until_done;
is($t->sql('select shards from webhook.cursor'), -1, 'a merge of cursors that failed is made up for');
is($t->sql("select count(*) from webhook.attempt where event_id = '$merged'"), 1, 'and all goes on');

# What cannot be sent or counted is refused by the tables, even where triggers do
# not fire, and ends by itself when it came in all the same.
my $endpoint = $t->endpoint('/ok');
for my $row ([ endpoint => timeout => '1000 years' ], [ endpoint => timeout => '-1 s' ],
	[ endpoint => timeout => '100 years -36000 days 1 ms' ], [ endpoint => timeout => '-1 year 360 days 1 ms' ],
	[ endpoint => retry_schedule => '{1s,170000000 years}' ], [ endpoint => retry_schedule => '{-1 s}' ],
	[ endpoint => retry_schedule => '{293000 years -105480000 days}' ],
	[ endpoint => id => 0 ], [ endpoint => id => -1 ], [ endpoint => revision => 0 ],
	[ endpoint_secret => secret => 'x' x 1025 ],
	[ queue => attempts => 2147483647 ], [ queue => first_attempt => -2147483648 ],
	[ queue => interruptions => 2147483647 ])
{
	my ($table, $column, $value) = @$row;

	$t->sql("insert into webhook.queue select id, $endpoint, now(), now() + interval '1 hour', origin
		from webhook.event limit 1 on conflict do nothing");
	like($t->sql_error("set session_replication_role = replica; update webhook.$table set $column = '$value'"),
		qr/^23514: /, "$table.$column is not $value");
}

my ($pid) = $t->worker_pids;
$t->sql("insert into webhook.queue (event_id, endpoint_id, created_at, origin, attempts)
	select n, $endpoint, now(), webhook._origin(), 1
	  from unnest(array[webhook._uuid_at('2001-01-01'), webhook._uuid_at('2101-01-01')]) n;
	select pg_terminate_backend($pid, 60000)");
$t->wait_for_sql('select count(*) = 0 from webhook.queue where next_attempt_at < now() or next_attempt_at is null');
$t->wait_for_workers;
pass('deliveries of events that are not there end, on the wire or not');

$t->sql("create database wide template template0 encoding 'WIN1252' locale 'C'");
$t->install('wide');
$t->endpoint('/ok/wide', database => 'wide', retry_schedule => "'{}'");
$t->wait_for_workers(1, 'wide');
my $event = $t->emit(database => 'wide');
$t->wait_for_journal(1, qr{^/ok/wide$});
my $planted = $t->sql("insert into webhook.event (id, origin, xid, created_at, event_type, organization_id, payload)
	select webhook._uuid_at(clock_timestamp()), origin, pg_current_xact_id(), now(), event_type, organization_id,
			('{\"a\":\"' || chr(129) || '\"}')::json from webhook.event
	returning id", 'wide');
my $after = $t->emit(database => 'wide');
my %arrived = map { $_->{id} => 1 } $t->wait_for_journal(2, qr{^/ok/wide$});
ok($arrived{$after}, 'what comes after a payload that is not text arrives');
$t->wait_until_done('wide');
is($t->sql("select outcome, error_class, error from webhook.attempt where event_id = '$planted'", 'wide'),
	'failed|internal|the payload cannot be converted to UTF-8', 'and the log says so');

done_testing();
