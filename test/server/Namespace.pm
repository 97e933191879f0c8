# A network of its own for a test of this directory, with no way out of it:
#
#   use Namespace;		# before everything that starts a process
#   Namespace::serve_names({ 'good.example.test' => 'A 93.184.216.34' });
#
# See test/namespace; where it cannot be had, the test is skipped.

package Namespace;

use strict;
use warnings;
use FindBin;
use IPC::Run ();
use Test::More ();

my $tools = "$FindBin::RealBin/..";
my $server;
my $zone;

sub import
{
	return if $ENV{WEBHOOK_NAMESPACE};
	$ENV{WEBHOOK_NAMESPACE} = 1;
	system('sh', "$tools/namespace", 'true') == 0
	  or Test::More::plan(skip_all => 'needs user and network namespaces');
	exec 'sh', "$tools/namespace", $^X, $0, @ARGV or die $!;
}

# Say what the names of this network resolve to, in the form of test/dns.py.
sub serve_names
{
	my ($names) = @_;

	$zone //= PostgreSQL::Test::Utils::tempdir() . '/zone';
	open my $file, '>', "$zone.new" or die $!;
	print $file map { "$_ $names->{$_}\n" } sort keys %$names;
	close $file;
	rename "$zone.new", $zone or die $!;
	return if $server;
	$server = IPC::Run::start(
		[ 'python3', "$tools/dns.py", '--ready-file', "$zone.port", $zone ],
		'<', \undef, '>', "$zone.log", '2>&1');
	Webhook::wait_until('the name server', 20, sub { -e "$zone.port" });
}

END
{
	my $status = $?;

	$server->kill_kill(grace => 0) if $server;
	$? = $status;
}

1;
