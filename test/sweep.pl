#!/usr/bin/perl
# End every process of a workspace: those that stand in it or inherited its
# WEBHOOK_WORKSPACE.  A server overwrites its environment, but stands in its
# data directory.
#
# usage: sweep.pl WORKSPACE PID, the process not to touch

use strict;
use warnings;
use Time::HiRes qw(sleep);

my ($workspace, $caller) = @ARGV;

sub of_workspace
{
	my ($pid) = @_;

	return 0 if $pid == $$ || $pid == $caller;
	return 0 unless defined(my $cwd = readlink "/proc/$pid/cwd");
	return 1 if $cwd eq $workspace || index($cwd, "$workspace/") == 0;
	open my $fh, '<', "/proc/$pid/environ" or return 0;
	local $/ = "\0";
	return scalar grep { chomp; $_ eq "WEBHOOK_WORKSPACE=$workspace" } <$fh>;
}

sub strays
{
	return grep { of_workspace($_) } map { m{(\d+)} } glob '/proc/[0-9]*';
}

# QUIT is an immediate shutdown to a server, and the end to everything else.
kill QUIT => strays();
for (1 .. 50)
{
	exit unless strays();
	sleep 0.1;
}
kill KILL => strays();
