# A look at more endpoints than are read at once goes on until it is through.

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

done_testing();
