# Where there are no random bytes, what would be made of them is refused: there
# is no secret and no event id that can be guessed.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('random');
my $node = $t->node;
my $off = $node->data_dir . '/no-random';
my $id = $t->endpoint('/ok');
my $url = $t->receiver->url('/ok');
{
	local $ENV{LD_PRELOAD} = Webhook::preload('random');
	$node->restart;
}
$t->wait_for_workers;

# given a session that began in better times
my $state = "select count(*) from webhook.event union all
	select count(*) from webhook.endpoint union all
	select count(*) from webhook.endpoint_secret";
my $before = $t->sql($state);
my $session = $t->session;
$session->query('select 1');

# when there are none
append_to_file($off, '');

sub error_of
{
	my ($statement) = @_;

	return $session->query(
		"do \$do\$ declare message text; begin
			execute \$q\$$statement\$q\$;
			raise 'nothing';
		 exception when others then
			perform set_config('test.error', sqlstate || ' ' || sqlerrm, false);
		 end \$do\$;
		 select current_setting('test.error')");
}

# then
like(error_of("select webhook.create_endpoint('org_1', '$url')"), qr/could not generate a random secret/,
	'no endpoint is made');
like(error_of("insert into webhook.endpoint (organization_id, url) values ('org_1', '$url')"),
	qr/could not generate/, 'nor inserted');
like(error_of("select webhook.rotate_secret($id)"), qr/could not generate/, 'no secret is rotated');
like(error_of("select webhook.emit('review.created', 'org_1', '{}')"), qr/could not generate random bytes for an event id/,
	'no event is recorded');
unlink $off;
is($t->sql($state), $before, 'nothing has changed');

# and afterwards all is well
my ($event) = $session->query("select webhook.emit('review.created', 'org_1', '{}')") =~ /([0-9a-f-]{36})/;
$t->wait_for_sql("select exists (select from webhook.attempt where event_id = '$event'
	and response_status = 200)");
pass('with random bytes events are delivered');

$session->quit;
done_testing();
