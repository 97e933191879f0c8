# A short round of the torture, with a seed that is told; make torture does it
# for hours.  And its checker: it notices each thing that must never happen.

use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = abs_path(PostgreSQL::Test::Utils::tempdir_short);
my $tools = "$FindBin::RealBin/../torture";
my $seed = $ENV{TORTURE_SEED} // int rand 1_000_000;

sub output_of
{
	open my $pipe, '-|', 'python3', @_ or die $!;
	my $output = join '', <$pipe>;
	close $pipe;
	return $output;
}

# the_checker_notices
my $output = output_of("$tools/checker_test.py");
is(scalar(() = $output =~ /^not ok/mg), 0, 'the checker notices what is doctored')
  or diag $output;
like($output, qr/^1\.\.[1-9]/m, 'and was asked');

# nothing_is_lost_and_nothing_stuck
my @disk = $ENV{TORTURE_DISK} ? ('--disk', $ENV{TORTURE_DISK}) : ();
$output = output_of("$tools/torture.py", '--directory', $dir, '--seed', $seed,
	'--seconds', 20, @disk);
diag $output;
is($? >> 8, 0, "nothing is lost, seed $seed (TORTURE_SEED repeats it)");

done_testing();
