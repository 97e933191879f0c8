# More databases than there are places for: who has none is told.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('places', 'autovacuum = off');
my $node = $t->node;

# The copies are wanted since they say so; few of them get a process.
my $script = $node->basedir . '/databases.sql';
$t->sql('create database pattern');
$t->install('pattern');
append_to_file($script, join '', map { <<"SQL" } 1 .. 62);
create database d$_ template pattern;
\\c d$_
select webhook._announce();
\\c postgres
SQL
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $script ],
	'64 databases');

# the_65th_is_told
$t->sql('create database late');
my (undef, undef, $stderr) = $node->psql('late', 'create extension webhook');
like($stderr, qr/WARNING:  all 64 places for databases are taken\n/, 'CREATE EXTENSION warns');
like($stderr, qr/DETAIL:  Events are recorded, and not delivered/, 'and says what that means');
is($t->sql('select reason from webhook.status', 'late'),
	'the worker is not running: all 64 places for databases are taken', 'webhook.status says it, too');
unlike($t->sql("select coalesce(string_agg(reason, ''), '') from webhook.status"), qr/places/,
	'where there is one it does not');

# a_place_is_free_again
$t->sql('drop database d1');
$t->sql('select webhook._announce()', 'late');
unlike($t->sql("select coalesce(string_agg(reason, ''), '') from webhook.status", 'late'), qr/places/,
	'a database is dropped: its place is for another');

done_testing();
