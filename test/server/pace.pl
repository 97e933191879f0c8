# How long an event waits for company.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('pace', 'webhook.max_in_flight_per_endpoint = 1');
my $events = 1500;

$t->endpoint('/ok');

# an_event_after_a_backlog_is_taken_at_once: each of the takes before it, one for
# each event, came sooner than single commits are taken.
$t->sql("select count(webhook.emit('review.completed', 'org_1', json_build_object('n', n)))
	from generate_series(1, $events) n");
$t->wait_for_sql("select succeeded = $events from webhook.stat_database");
$t->emit;
$t->wait_until_done;
cmp_ok($t->sql('select extract(epoch from max(a.started_at) - max(e.created_at))
	from webhook.attempt a join webhook.event e on e.id = a.event_id'), '<', 2, 'an event after a backlog is taken at once');

done_testing();
