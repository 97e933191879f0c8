# An event whose transaction also made the partition that it stands in.
#
# Its partition becomes known to other sessions a moment after the transaction
# becomes visible to their snapshots; a worker that is woken in between must
# not take the outbox for read.  There is no way to stop a commit there, so
# this is tried often.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('partition');
my $rounds = 200;

$t->endpoint('/ok');
$t->emit;
$t->wait_for_journal(1);
$t->wait_until_done;
my $session = $t->session;
my $lost = 0;

for my $round (1 .. $rounds)
{
	# emit makes what is missing, as it does where no worker has run yet.
	$session->query_safe(
		"do \$\$ declare part regclass; begin
			for part in select inhrelid::regclass from pg_inherits
				where inhparent in ('webhook.event'::regclass, 'webhook.attempt'::regclass)
			loop execute format('drop table %s', part); end loop; end \$\$");
	my $id = $session->query_safe(
		"select webhook.emit('review.completed', 'org_1', '{}')");
	chomp $id;
	$t->wait_for_journal($round + 1, undef, 10);
	# Its log is in the partition that the next round drops.
	Webhook::wait_until('the log', undef,
		sub { $session->query_safe('select count(*) from webhook.queue') =~ /^0/ });
}
my %times = $t->receiver->arrivals;
is(scalar keys %times, $rounds + 1, 'every event arrived');
$session->quit;

done_testing();
