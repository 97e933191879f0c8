# The worker's plans suit a large queue, even when they were made for an empty
# one: each row is looked up by its key or its place.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('plans',
	"shared_preload_libraries = 'webhook, auto_explain'",
	'auto_explain.log_min_duration = 0',
	'auto_explain.log_nested_statements = on',
	"webhook.retry_schedule = '10ms'",
	'autovacuum = off');

# given: statistics of tables with next to nothing in them
my $endpoint = $t->endpoint('/status/500');
$t->sql("update webhook.endpoint set status = 'paused' where id = $endpoint");
$t->emit;
$t->wait_for_sql('select count(*) = 1 from webhook.queue');
$t->sql('vacuum analyze webhook.queue, webhook.event, webhook.endpoint');

# when a delivery is due, fails, is due again, and has failed
my $offset = -s $t->node->logfile;
$t->sql("update webhook.endpoint set status = 'enabled' where id = $endpoint");
$t->wait_until_done;
my $log = slurp_file($t->node->logfile, $offset);
my @statements = $log =~ /Query Text: (.*\n(?:\t.*\n)*)/g;

# then what was run for it finds rows by key
for my $what (
	[ 'taking', 'set next_attempt_at = null', 'Tid Scan on queue' ],
	[ 'scheduling', 'greatest.*not_before|Update on queue q', 'Index Scan using queue_pkey' ],
	[ 'reading', 'as wish', 'Index Scan using event_\w+_id' ],
	[ 'telling', 'Function Scan on f\b.*attempt_', 'Index Scan using attempt_' ])
{
	my ($name, $text, $scan) = @$what;
	my @of_this = grep { /$text/s && /$scan/ } @statements;

	cmp_ok(scalar @of_this, '>', 0, "$name: plans were logged");
	is((grep { /$scan.*\n(?!\s+(?:Index|TID) Cond)/ } @of_this),
		0, "$name: by key")
	  or diag @of_this;
}
unlike($log, qr/Join Filter: .*event_id/, 'and no table is read from end to end for each');
done_testing();
