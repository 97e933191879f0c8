#!/usr/bin/perl
# Run TAP files: a line for each, all that was said for one that failed, and
# the sums (passed, failed) into a file.
#
# usage: harness.pl DIRECTORY JOBS COMMAND... -- FILE...
# DIRECTORY receives the TAP of every file, and the sums as "sums".

use strict;
use warnings;
use File::Basename;
use File::Path qw(make_path);
use TAP::Harness;

my ($dir, $jobs, @command) = splice @ARGV, 0, 2;
push @command, shift @ARGV while $ARGV[0] ne '--';
shift @ARGV;

my ($passed, $failed) = (0, 0);

sub report
{
	my ($file, $parser) = @_;
	my $bad = $parser->failed;
	my $name = $file =~ s{^test/|\.\w+$}{}gr;
	my $count = $parser->passed + $bad;
	my $what = $count == 1 ? '1 test' : "$count tests";

	# Died, wrong plan, nothing said: a failure although no test failed.
	$bad ||= 1 if $parser->has_problems;
	$what = 'skipped: ' . $parser->skip_all if defined $parser->skip_all;

	$passed += $parser->passed;
	$failed += $bad;
	printf "%-4s %s (%s)\n", $bad ? 'FAIL' : 'ok', $name, $what;
	tell_all($file, $parser) if $bad;
}

sub tell_all
{
	my ($file, $parser) = @_;
	my $log = basename($file) =~ s/\.\w+$//r;

	print_tail("$dir/$file", 1000);
	print "    $_\n" for $parser->parse_errors;
	printf "    exit status %d\n", $parser->exit if $parser->exit;
	for my $server (glob "$ENV{TESTLOGDIR}/${log}_*.log")
	{
		print '--- ', basename($server), ", its end\n";
		print_tail($server, 30);
	}
}

sub print_tail
{
	my ($path, $count) = @_;

	open my $fh, '<', $path or return;
	my @lines = <$fh>;
	splice @lines, 0, @lines - $count if @lines > $count;
	print "    $_" for @lines;
}

make_path($dir);
$ENV{PERL_TEST_HARNESS_DUMP_TAP} = $dir;
$ENV{TESTLOGDIR} //= $dir;
$| = 1;

my $harness = TAP::Harness->new(
	{ verbosity => -3, merge => 1, jobs => $jobs, exec => \@command });
$harness->callback(after_test => sub { report($_[0][0], $_[1]) });
$harness->runtests(@ARGV);

open my $sums, '>', "$dir/sums" or die "could not write $dir/sums: $!\n";
print $sums "$passed $failed\n";
