# Statistics in shared memory: what is counted, for whom, and how it is reset.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('stats');

# attempts_are_counted_per_endpoint_and_in_total
my $fine = $t->endpoint('/ok');
my $failing = $t->endpoint('/status/500', retry_schedule => "'{10ms}'");
$t->emit for 1 .. 3;
$t->wait_until_done;
$t->wait_for_sql('select succeeded + failed = 9 from webhook.stat_database');
is( $t->sql('select succeeded, failed, given_up, failures, reset_at is null
		from webhook.stat_database'),
	'3|6|3|{http=6}|t', 'attempts and deliveries given up are counted');
is( $t->sql("select endpoint_id, succeeded, failed, given_up, failures, last_error,
		last_success_at is not null, last_failure_at is not null
		from webhook.stat_endpoint order by 1"),
	"$fine|3|0|0|{}||t|f\n"
	  . "$failing|0|6|3|{http=6}|the receiver answered with status 500|f|t",
	'for each endpoint, with its last error');

# minutes_and_percentiles_are_of_now
is( $t->sql("select sum(n) filter (where i >= 59), sum(n), count(*)
		from webhook.stat_endpoint, unnest(minutes_succeeded) with ordinality m(n, i)
		where endpoint_id = $fine"),
	'3|3|60', 'successes are in the last of sixty minutes');
is( $t->sql("select p50 > '0' and p50 <= p95 and p95 < '5 s'
		from webhook.stat_endpoint where endpoint_id = $fine"),
	't', 'percentiles of the duration are plausible');
is( $t->sql('select count(*), max(count), count(*) filter (where le is null)
		from webhook._stat_durations()'),
	'32|9|1', 'every attempt is in the histogram');

# slow_attempts_move_the_percentile
my $slow = $t->endpoint('/hang', timeout => "'0.6 s'", retry_schedule => "'{}'");
$t->emit;
$t->wait_until_done;
$t->wait_for_sql("select failed = 1 from webhook.stat_endpoint where endpoint_id = $slow");
is( $t->sql("select failures, p50 between '0.5 s' and '5 s'
		from webhook.stat_endpoint where endpoint_id = $slow"),
	'{timeout=1}|t', 'a timeout counts as one, with its duration');

# tests_of_an_endpoint_are_not_counted
my $before = $t->sql('select attempts from webhook.stat_database');
$t->sql("select webhook.test($fine)");
is($t->sql('select attempts from webhook.stat_database'),
	$before, 'webhook.test counts nothing');

# members_of_pg_monitor_see_them
$t->sql('create role watcher; grant pg_monitor to watcher');
is( $t->sql('set role watcher;
		select count(*) from webhook.stat_endpoint, webhook.stat_database'),
	3, 'members of pg_monitor see the statistics');
like($t->sql_error('set role watcher; select webhook.stat_reset()'),
	qr/^42501/, 'and cannot reset them');

# databases_are_counted_apart
$t->sql('create database other');
$t->install('other');
is($t->sql('select attempts from webhook.stat_database', 'other'),
	0, 'another database has its own');
is($t->sql('select count(*) from webhook.stat_endpoint', 'other'),
	0, 'and its own endpoints');

# reset
$t->sql('select webhook.stat_reset()', 'other');
isnt($t->sql('select attempts from webhook.stat_database'),
	0, 'a reset is for one database');
$t->sql('select webhook.stat_reset()');
is( $t->sql('select attempts, failures, mean_duration is null, reset_at <= now(),
		(select count(*) from webhook.stat_endpoint)
		from webhook.stat_database'),
	'0|{}|t|t|0', 'reset: all is zero');
$t->emit;
$t->wait_for_sql("select succeeded = 1 from webhook.stat_endpoint where endpoint_id = $fine");
pass('and counting goes on');

# a_deleted_endpoint_is_not_shown
$t->sql("delete from webhook.endpoint where id = $fine");
is($t->sql("select count(*) from webhook.stat_endpoint where endpoint_id = $fine"),
	0, 'a deleted endpoint is not shown');

# an_id_that_is_used_again_starts_anew
$t->sql("insert into webhook.endpoint (id, organization_id, url)
	values ($fine, 'org_1', 'https://hooks.example.com/')");
is($t->sql("select count(*) from webhook.stat_endpoint where endpoint_id = $fine"),
	0, 'nor is another one with its id shown with what it had');

# a_full_table_forgets_those_used_longest_ago
$t->sql('delete from webhook.endpoint');
my $url = $t->receiver->url('/ok/many');
$t->sql("insert into webhook.endpoint (organization_id, url)
	select 'org_1', '$url' from generate_series(1, 2060)");
$t->emit;
$t->wait_until_done(undef, 60);
$t->wait_for_sql('select succeeded > 2060 from webhook.stat_database');
my $kept = $t->sql('select count(*) from webhook.stat_endpoint');
cmp_ok($kept, '<=', 2048, "no more entries than there is room for: $kept");
cmp_ok($kept, '>', 1900, 'and few are given up at once');

# the_extension_is_made_anew
$t->sql('drop extension webhook');
$t->install('postgres');
is( $t->sql('select attempts, (select count(*) from webhook._stat_endpoints())
		from webhook.stat_database'),
	'0|0', 'DROP and CREATE EXTENSION: all is zero, too');

done_testing();
