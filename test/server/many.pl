# A look at more endpoints than are read at once goes on until it is through, and
# each has its turn.

use strict;
use warnings;
use List::Util qw(max min);
use Test::More;
use Webhook;

my $t = Webhook->new('many');
my $failing = 20;
my $url = $t->receiver->url('/ok');
$t->sql("select webhook.set_organization('other', 'Other');
	insert into webhook.endpoint (organization_id, url) select 'other', '$url' from generate_series(1, 8000)");
$t->endpoint("/status/500,200?number=$_", retry_schedule => "'{2s}'") for 1 .. $failing;
$t->emit;
$t->wait_for_sql("select count(*) = $failing from webhook.attempt");

# Whatever changes there, all are looked at anew.
$t->sql("update webhook.endpoint set description = 'new' where organization_id = 'org_1'");
$t->wait_until_done;
my @times = map { $_->{time} } grep { $_->{attempt} == 2 } $t->receiver->journal;
is(scalar(@times), $failing, 'all were tried again');
cmp_ok(max(@times) - min(@times), '<', 3, 'when it was time for it');

# each_in_turn: with fewer places than endpoints, and rows for all that are due.
$t->configure('webhook.max_in_flight = 5');
$t->sql("select webhook.set_organization('turns', 'x');
	select webhook.create_endpoint('turns', '" . $t->receiver->url('/delay/20') . "?turn=' || n)
	  from generate_series(1, 20) n");
$t->emit(organization => 'turns');
$t->wait_until_done;			# and all have answered before
$t->sql("update webhook.endpoint set status = 'paused' where organization_id = 'turns'");
$t->emit(organization => 'turns') for 1 .. 5;
$t->wait_for_sql("select count(*) = 100 from webhook.queue");
$t->sql("update webhook.queue set next_attempt_at = now();
	update webhook.endpoint set status = 'enabled' where organization_id = 'turns'");
my %turns;
my @requests = sort { $a->{time} <=> $b->{time} } $t->wait_for_journal(120, qr/turn=/);
$turns{ $_->{path} }++ for @requests[ 20 .. 59 ];
is(scalar(keys %turns), 20, 'within two rounds of requests each endpoint has had its turn');

done_testing();
