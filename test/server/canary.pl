# Secrets and values of headers are found nowhere, however much a server logs.
#
# The canaries come from a table that was filled from a file, or as parameters
# that the README says how to keep out of logs; so no statement of ours has them
# in its text.  What is made is written to a file.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('canary',
	"shared_preload_libraries = 'webhook, auto_explain, pg_stat_statements'",
	'log_statement = all',
	'log_min_duration_statement = 0',
	'log_min_messages = debug5',
	'log_min_error_statement = debug5',
	'log_error_verbosity = verbose',
	'debug_print_parse = on',
	'debug_print_rewritten = on',
	'debug_print_plan = on',
	'track_activity_query_size = 64kB',
	'auto_explain.log_min_duration = 0',
	'auto_explain.log_nested_statements = on',
	'auto_explain.log_verbose = on',
	'auto_explain.log_analyze = on',
	'auto_explain.log_triggers = on',
	'pg_stat_statements.track = all',
	'webhook.log_headers = all',
	"webhook.retry_schedule = '10ms'",
	"webhook.allow_http = off");
my $node = $t->node;
my $vault = $node->basedir;

my %canary = (
	imported => 'canary-imported-4b1d',
	rotated => 'whsec_Y2FuYXJ5LXJvdGF0ZWQtMTIzNDU2Nzg5MDEyMzQ1Ng==',
	bound => 'canary-bound-8c20ff01',
	header => 'Bearer canary-header-77aa',
	plain => 'canary-plain-header-91',
	short => 'canary-short-1',
	broken => 'canary-broken-header\n-line',    # as COPY reads it
	long => 'canary-' . 'x' x 5000);

open my $file, '>', "$vault/vault" or die $!;
print $file "$_\t$canary{$_}\n" for sort keys %canary;
close $file;
$canary{broken} = 'canary-broken-header';
$canary{long} = 'canary-xxxxxxxx';
$t->sql("create extension pg_stat_statements;
	create table vault (name text primary key, value text);
	copy vault from '$vault/vault';");

sub vault
{
	return "(select value from vault where name = '$_[0]')";
}

# What a query returns goes into a file, and from there becomes a canary.
sub keep
{
	my ($name, $query) = @_;

	$t->sql("copy ($query) to '$vault/$name'");
	chomp($canary{$name} = slurp_file("$vault/$name"));
}

sub authorization
{
	return "(select json_build_object('Authorization', value) from vault where name = '$_[0]')";
}

# Given: endpoints with secrets and headers of all origins
my %url = map { $_ => $t->receiver->url("/$_") } ('ok/a', 'ok/b', 'status/500');
my $own = $t->sql("select endpoint_id from webhook.create_endpoint('org_1', '$url{'ok/a'}',
	name => 'own', secret => " . vault('imported') . ', headers => ' . authorization('header') . ')');
my $made = $t->sql("select endpoint_id from webhook.create_endpoint('org_1', '$url{'ok/b'}')");
my $failing = $t->sql("insert into webhook.endpoint (organization_id, url)
	values ('org_1', '$url{'status/500'}') returning id");
$t->sql("insert into webhook.endpoint_header select $failing, 'X-Key', value from vault where name = 'plain';
	update webhook.endpoint_header set value = value || '' where endpoint_id = $failing;");
keep('made', "select webhook.secret($made)");
keep('made_again', "select webhook.rotate_secret($made)");
keep('inserted', "select webhook.secret($failing)");

# When: secrets change, requests are made and fail, statements fail
my $session = $t->session;
$session->query("select length(webhook.rotate_secret($own, secret => " . vault('rotated') . '))');
{
	open my $script, '>', "$vault/bench.sql" or die $!;
	print $script "select length(webhook.rotate_secret(:id, secret => :secret));\n",
	  "select endpoint_id from webhook.create_endpoint('org_1', '$url{'ok/b'}', secret => :secret);\n";
	close $script;
	# A plan that is made for the values would show them as constants.
	local $ENV{PGOPTIONS} = '-c log_parameter_max_length=0'
	  . ' -c plan_cache_mode=force_generic_plan';
	$ENV{PGOPTIONS} .= ' -c auto_explain.log_parameter_max_length=0'
	  if $node->pg_version >= 16;
	$node->command_ok(
		[   'pgbench', '--no-vacuum', '--protocol=extended', '--transactions=1',
			'--define', "id=$own", '--define', "secret=$canary{bound}",
			'--file', "$vault/bench.sql", 'postgres' ],
		'secrets as parameters');
}
$t->emit;
$t->sql("select webhook.test($own); select webhook.test($failing);");
$t->wait_until_done;
$t->sql("select headers, curl from webhook.preview($own)");
$t->sql("select webhook.redeliver(event_id, endpoint_id) from webhook.delivery
	where status = 'failed' limit 1");
$t->wait_until_done;

my %failure = (
	'a short secret' =>
	  "select webhook.rotate_secret($own, secret => " . vault('short') . ')',
	'a short secret of a new endpoint' =>
	  "select webhook.create_endpoint('org_1', '$url{'ok/a'}', secret => " . vault('short') . ')',
	'a secret and a bad URL' =>
	  "select webhook.create_endpoint('org_1', 'http://x/', secret => " . vault('imported') . ')',
	'a secret for nobody' =>
	  'select webhook.rotate_secret(0, secret => ' . vault('imported') . ')',
	'a header with a line break' =>
	  "insert into webhook.endpoint_header select $own, 'X-A', value from vault where name = 'broken'",
	'the same through create_endpoint' =>
	  "select webhook.create_endpoint('org_1', '$url{'ok/a'}', headers => " . authorization('broken') . ')',
	'a header that is too long' =>
	  "update webhook.endpoint_header set value = " . vault('long'),
	'a header without a name' =>
	  "insert into webhook.endpoint_header select $own, null, value from vault where name = 'plain'",
	'a header whose name is its value' =>
	  "insert into webhook.endpoint_header select $own, value, 'X-A' from vault where name = 'header'",
	'a header of nobody' =>
	  "insert into webhook.endpoint_header select 0, 'X-A', value from vault where name = 'plain'",
	'a header without an endpoint' =>
	  "insert into webhook.endpoint_header select null, 'X-A', value from vault where name = 'plain'",
	'a header that is there' =>
	  "insert into webhook.endpoint_header select $own, 'authorization', value from vault where name = 'plain'",
	'headers that are no object' =>
	  "select webhook.create_endpoint('org_1', '$url{'ok/a'}',
		headers => (select json_build_array(value) from vault where name = 'header'))",
	'a secret twice' =>
	  "insert into webhook.endpoint_secret (endpoint_id, secret, created_at)
		select $own, value, created_at from vault, webhook.endpoint_secret
		where name = 'imported' and endpoint_id = $own");
isnt($t->sql_error($failure{$_}), "no error: ", "fails: $_") for sort keys %failure;

# Then: nothing of it is shown
my %seen = (
	'the log of the server' => slurp_file($node->logfile),
	'attempts, deliveries, endpoints, status' => join("\n",
		map { $t->sql("select r::text from $_ r") }
		  split /\n/, $t->sql("select oid::regclass from pg_class
			where relnamespace = 'webhook'::regnamespace and relkind in ('r', 'p', 'v')
			and relname not in ('endpoint_secret', 'endpoint_header')")),
	'pg_stat_activity' => $t->sql('select query from pg_stat_activity'),
	'pg_stat_statements' => $t->sql('select query from pg_stat_statements'));
ok(length $seen{$_} > 100, "$_: there is something") for sort keys %seen;
cmp_ok(() = $seen{'the log of the server'} =~ /Query Text: .*endpoint_secret/g,
	'>', 3, 'nested statements are logged');

# As text, as the bytes of a constant in a plan, in hexadecimal.
sub forms_of
{
	my ($text) = @_;

	return ($text, join(' ', map { ord } split //, $text), unpack('H*', $text));
}

for my $where (sort keys %seen)
{
	for my $name (sort keys %canary)
	{
		my @found = grep { $_ >= 0 }
		  map { index $seen{$where}, $_ } forms_of($canary{$name});
		ok(!@found, "$name is not in $where")
		  or diag(substr $seen{$where}, $found[0] < 500 ? 0 : $found[0] - 500, 1000);
	}
}
is(index($seen{$_}, 'canary-'), -1, "nor any part of it in $_")
  for sort keys %seen;

$session->quit;
done_testing();
