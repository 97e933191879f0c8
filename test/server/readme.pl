# README.md tells the truth: every statement in it runs, in order, and says
# what is written there; its Reference is what test/reference makes.
#
# A block marked "sql" is run with psql; a block marked "text" that follows it
# is the output.  Deliveries take a moment, so a lone select is asked again
# until it says what is written.  What differs from run to run (ids, secrets,
# times, addresses) and white space do not count, but what is masked must be of
# the same kind.
#
# README_OUT=FILE make test TESTS=server/readme
# writes the README with outputs and Reference as they are now, where they
# differ.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $root = "$FindBin::RealBin/../..";
my $readme = slurp_file("$root/README.md");
my $t = Webhook->new('readme');
my $node = $t->node;

# How the receivers of the README behave; paths as long as its own, so that
# the columns of outputs keep their width.
my %receiver = (
	'https://hooks.example.com/jasper' => '/ok/12345',
	'https://hooks.example.com/billing' => '/ok/123456',
	'https://ci.example.com/webhooks/jasper' => '/status/503,200',
	'https://old.example.com/jasper/deployments' => '/status/500,500,200');
my %url = map { $_ => $t->receiver->url($receiver{$_}) } keys %receiver;

$node->safe_psql('postgres', 'create database shop');

# Who runs a block: \c holds for those after it, too.
my $connect = '';

sub run_block
{
	my ($block) = @_;
	my $input = $connect . $block;
	my $output = '';

	$connect = "$1\n" while $block =~ /^(\\c .*)$/mg;
	$input =~ s/\Q$_\E/$url{$_}/g for keys %url;
	local $ENV{PGOPTIONS} = '-c TimeZone=UTC';
	IPC::Run::run(
		[   $node->installed_command('psql'), '-Xq', '-P', 'pager=off',
			'-v', 'SHOW_CONTEXT=never', '-d', $node->connstr('shop') ],
		'<', \$input, '>', \$output, '2>&1');
	# Longest first, where one begins with another.
	$output =~ s/\Q$url{$_}\E/$_/g
	  for sort { length $url{$b} <=> length $url{$a} } keys %url;
	$output =~ s/\Q$receiver{$_}\E/m{\.com(.*)} && $1/ge for keys %receiver;
	$output =~ s/\s+\z/\n/;
	return $output;
}

# What may differ, as the name of its kind.
sub masked
{
	my ($text) = @_;

	for ($text)
	{
		s/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/UUID/g;
		s/\bwhsec_[A-Za-z0-9+\/]+=*/SECRET/g;
		s/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d)?/TIME/g;
		s/\b\d\d:\d\d:\d\d(\.\d+)?\b/DURATION/g;
		s/\b\d+\.\d+(\.\d+)?\b/VERSION/g;
		s/-{3,}/---/g;
		s/[ \t]+/ /g;
		s/ $//mg;
	}
	return $text;
}

# A lone select that changes nothing.
sub is_question
{
	my ($block) = @_;

	return $block =~ /\A\s*select\b[^;]*(;|^\\g .*)\s*\z/im
	  && $block !~ /\bwebhook\.\w+\s*\(/;
}

sub run_until_right
{
	my ($block, $expected) = @_;
	my $end = time + ($ENV{README_OUT} ? 3 : $Webhook::limit);
	my $output;

	do { $output = run_block($block) }
	  while (is_question($block) && masked($output) ne masked($expected)
		&& time < $end);
	return $output;
}

sub check_block
{
	my ($line, $block, $expected) = @_;

	if (defined $expected)
	{
		my $output = run_until_right($block, $expected);

		is(masked($output), masked($expected), "the block that ends at line $line says this");
		return masked($output) eq masked($expected) ? $expected : $output;
	}
	unlike(run_block($block), qr/^(ERROR|FATAL|WARNING):/m,
		"the block that ends at line $line runs");
	return;
}

# every_statement_says_what_is_written
my $renewed = '';
my $rest = $readme;
while ($rest =~ /\A(.*?^```sql\n)(.*?)^```\n(\n```text\n(.*?)^```\n)?/ms)
{
	my ($before, $block, $expected) = ($1, $2, $4);

	$rest = substr $rest, $+[0];
	my $line = 1 + (() = substr($readme, 0, -length $rest) =~ /\n/g);
	my $output = check_block($line, $block, $expected);
	$renewed .= "$before$block```\n";
	$renewed .= "\n```text\n$output```\n" if defined $output;
}
$renewed .= $rest;

# the_reference_is_made_from_the_comments
my ($reference, $complaint) = ('', '');
my ($written) = $readme =~
  /^<!-- reference: begin -->\n(.*)^<!-- reference: end -->$/ms;
IPC::Run::run(
	[ 'sh', "$root/test/reference", '-d', $node->connstr('shop') ],
	'>', \$reference, '2>', \$complaint);
is($complaint, '', 'the Reference can be made');
unlike($reference, qr/\n\n\n|\| \|$/m, 'every object has a comment');
ok($written eq "\n$reference",
	'the Reference is what test/reference prints');
$renewed =~ s/(^<!-- reference: begin -->\n).*(^<!-- reference: end -->$)/$1\n$reference$2/ms;

# settings_are_those_of_the_server
my ($section) = $readme =~ /^## Settings\n(.*?)^## /ms;
my %documented = $section =~ /^\| `(webhook\.\w+)` \| (.*?) \|/mg;
s/`//g, s/^\(empty\)$// for values %documented;
my %settings = map { split /\|/, $_, 2 } split /\n/, $t->sql(
	"select name, case when source = 'configuration file' then boot_val
	        else current_setting(name) end
	   from pg_settings where name like 'webhook.%'");
is_deeply(\%documented, \%settings, 'settings and their defaults');

if ($ENV{README_OUT})
{
	open my $file, '>', $ENV{README_OUT} or die "$ENV{README_OUT}: $!";
	print $file $renewed;
	close $file;
}

done_testing();
