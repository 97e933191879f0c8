#!/usr/bin/perl
# The processor time that a server has used, in clock ticks, by kind of process:
# ticks.pl POSTMASTER SESSION
#
# One process that reads all, since it is called while something is measured.

use strict;
use warnings;

my ($postmaster, $session) = @ARGV;
my %ticks = map { $_ => 0 } qw(worker walwriter session ended other);

sub slurp
{
	my ($path) = @_;
	open(my $file, '<', $path) or return '';
	local $/;
	return scalar(<$file>) // '';
}

# utime, stime, cutime and cstime, which follow the name in parentheses.
sub times_of
{
	my ($pid) = @_;
	my @fields = split ' ', (slurp("/proc/$pid/stat") =~ s/.*\) //sr);
	return @fields ? @fields[ 11 .. 14 ] : (0, 0, 0, 0);
}

sub kind_of
{
	my ($pid) = @_;
	my $title = slurp("/proc/$pid/cmdline");
	return
		$pid == $session             ? 'session'
	  : $title =~ /webhook worker/ ? 'worker'
	  : $title =~ /walwriter/      ? 'walwriter'
	  :                              'other';
}

my ($user, $system, @ended) = times_of($postmaster);
$ticks{other} += $user + $system;
$ticks{ended} += $ended[0] + $ended[1];
my $children = slurp("/proc/$postmaster/task/$postmaster/children");
die "cannot list the processes of the server\n" unless $children;
for my $pid (split ' ', $children)
{
	($user, $system) = times_of($pid);
	$ticks{ kind_of($pid) } += $user + $system;
}
print "$_ $ticks{$_}\n" for sort keys %ticks;
