# Where this server is in trouble itself, the log says so, and no endpoint is
# blamed.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Webhook;

my $t = Webhook->new('internal', "webhook.retry_schedule = ''",
	"webhook.disable_after = '1s'");
my $node = $t->node;
my $off = $node->data_dir . '/no-descriptors';
{
	local $ENV{LD_PRELOAD} = Webhook::preload('socket');
	$node->restart;
}
$t->wait_for_workers;

# Attempts at an endpoint that fail for longer than webhook.disable_after.
sub is_internal
{
	my ($name, $error) = @_;
	my $began = time;
	my $attempt = $t->attempt_at('/ok');
	my ($organization, $endpoint) = @$attempt{qw(organization_id endpoint_id)};

	is("$attempt->{error_class}: $attempt->{error}", "internal: $error", "$name: the log says so");
	Webhook::wait_until('more failures', 30, sub {
		$t->emit(organization => $organization);
		$t->wait_until_done;
		return time - $began > 1.5;
	});
	is($t->sql("select status, exists (select from webhook.failing where endpoint_id = $endpoint)
			from webhook.endpoint where id = $endpoint"),
		'enabled|f', "$name: the endpoint is not blamed");
}

# no_descriptors
append_to_file($off, '');
is_internal('no descriptor', 'this server has too many open files');
unlink $off;
is($t->attempt_at('/ok')->{response_status}, 200, 'when that is over, it sends');

# no_authorities
$node->append_conf('postgresql.conf', "webhook.ca_file = '/no/such/file'");
$node->restart;
is_internal('no authorities', 'the certificate authorities of this server cannot be read');

done_testing();
