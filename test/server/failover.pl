# Primaries are killed and their standbys promoted, while events flow: what was
# committed is delivered by whoever is the primary then, by the same checker as
# in torture.pl.  make torture ARGS="--failover" does it for longer.

use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = abs_path(PostgreSQL::Test::Utils::tempdir_short);
my $seed = $ENV{TORTURE_SEED} // int rand 1_000_000;

open my $pipe, '-|', 'python3', "$FindBin::RealBin/../torture/torture.py",
  '--failover', '--directory', $dir, '--seed', $seed, '--seconds', 8
  or die $!;
my $output = join '', <$pipe>;
close $pipe;
diag $output;
is($? >> 8, 0, "nothing is lost, seed $seed (TORTURE_SEED repeats it)");
like($output, qr/'failover': [1-9]/, 'and there was a failover');

done_testing();
