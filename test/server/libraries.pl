# Receivers that others wrote accept what is delivered: the Node sample of the
# product text, unmodified; the samples of README.md; and the npm packages
# standardwebhooks and svix, which are installed for the occasion.

use strict;
use warnings;
use FindBin;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $verify = "$FindBin::RealBin/../verify";
my $dir = PostgreSQL::Test::Utils::tempdir;
my $readme = slurp_file("$FindBin::RealBin/../../README.md");

sub can_run
{
	my ($output, $errors) = ('', '');
	my $result = eval {
		IPC::Run::run(\@_, '<', \undef, '>', \$output, '2>', \$errors,
			IPC::Run::timeout(120));
	};

	note($errors) unless $result;
	return $result;
}

plan skip_all => 'node is not installed' unless can_run('node', '--version');

# given: a test, an event with every kind of character, one that needs two
# attempts, and one that is signed with two secrets
my $t = Webhook->new('libraries');
my $endpoint = $t->endpoint('/status/500,200', retry_schedule => "'{0.1s}'");
my $old_secret = $t->sql("select webhook.secret($endpoint)");

$t->sql("select webhook.test($endpoint, 'team.member_added')");
$t->emit(data => '{ "note" : "Žluťoučký kůň 🐎", "html": "</a>\u0041\\\\" }');
$t->wait_for_journal(3);
$t->wait_until_done;

my $secret = $t->sql("select webhook.rotate_secret($endpoint)");
$t->receiver->trust($secret);
$t->emit(event => 'billing.credits_low', data => '{"balance":45}');
$t->wait_for_journal(5);
$t->wait_until_done;

my @journal = $t->receiver->journal;
my @lines = map { JSON::PP::encode_json($_) } @journal;
is(scalar @journal, 5, 'five requests have arrived');

# Every request of some lines is good, and none of them is when it is changed.
sub accepts
{
	my ($what, $checker, $key, @requests) = @_;
	my $input = join '', map { "$_\n" } @requests;
	my ($output, $errors) = ('', '');

	local $ENV{NODE_PATH} = "$dir/node_modules";
	IPC::Run::run([ 'node', "$verify/verify.js", $checker, $key ],
		'<', \$input, '>', \$output, '2>', \$errors);
	my @good = grep { m{^[^/ ]+ good$} } split /\n/, $output;
	my @bad = grep { m{^[^/ ]+/changed bad} } split /\n/, $output;

	is(scalar @good, scalar @requests, "$what accepts every delivery")
	  or diag $output . $errors;
	is(scalar @bad, scalar @requests, "$what refuses a changed body")
	  or diag $output . $errors;
}

# A function of the README, in a file of its own.
sub readme_sample
{
	my ($function) = @_;
	my ($code) = grep { /^function $function\b/m }
	  $readme =~ /^```js\n(.*?)^```$/msg;

	open my $file, '>', "$dir/$function.js" or die $!;
	print $file $code // '';
	close $file;
	return "$dir/$function.js";
}

# the_samples_accept: X-Jasper-Signature is made with the newest secret
for my $checker ([ 'the sample of the product text', "$verify/sample.js" ],
	[ 'verifySignature of the README', readme_sample('verifySignature') ])
{
	accepts("$checker->[0], before the rotation:",
		$checker->[1], $old_secret, @lines[0 .. 2]);
	accepts("$checker->[0], after it:",
		$checker->[1], $secret, @lines[3 .. 4]);
}

# the_one_liner_prints_the_signature
my ($command) = $readme =~ /^```sh\n(openssl dgst .*?)^```$/ms;
for my $number (0, 2)
{
	my %header = map { @$_ } @{ $journal[$number]{headers} };
	my ($output, $errors) = ('', '');

	open my $file, '>:encoding(UTF-8)', "$dir/body.json" or die $!;
	print $file $journal[$number]{body};
	close $file;
	local $ENV{SECRET} = $old_secret;
	IPC::Run::run([ 'sh', '-c', "cd '$dir' && $command" ],
		'>', \$output, '2>', \$errors);
	is($output . $errors, "$header{'X-Jasper-Signature'}\n",
		"the openssl command of the README, request $number");
}

# the_libraries_accept: webhook-signature lists every live secret
SKIP:
{
	skip 'npm is not installed', 1 unless can_run('npm', '--version');
	system("cp '$verify/package.json' '$dir'") == 0 or die;
	skip 'npm cannot install packages, perhaps for lack of a network', 1
	  unless can_run('npm', 'install', '--prefix', $dir, '--silent',
		'--no-audit', '--no-fund', '--ignore-scripts', '--fetch-retries=0');
	for my $checker ([ standardwebhooks => 'standardwebhooks' ],
		[ svix => 'svix' ],
		[ 'verifyRequest of the README' => readme_sample('verifyRequest') ])
	{
		accepts("$checker->[0], with the older secret:",
			$checker->[1], $old_secret, @lines);
		accepts("$checker->[0], with the newer one:",
			$checker->[1], $secret, @lines[3 .. 4]);
	}
}

done_testing();
