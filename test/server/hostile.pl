# No way to a superuser: what a hostile role plants runs with nobody else's
# rights, whether it was there before the extension or comes after.
#
# A plant counts in a sequence for each kind of user that it runs as; the roles
# of the server that must not run one are the superuser and, but for plants of
# the owner, role webhook.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('hostile', "webhook.retry_schedule = '10ms'");
my $node = $t->node;

$t->sql("create role mallory login; create role manager login; create role publisher login;
	create role tenant login;
	create database plain owner mallory; create database bare owner mallory;
	create database shadowed owner mallory;");

sub sql_as
{
	my ($role, $database, $text) = @_;

	return $node->safe_psql($database, $text, extra_params => [ '-U', $role ]);
}

# SQLSTATE of what a role does: "00000" when it works.
sub state_of
{
	my ($role, $database, $text) = @_;
	my ($status, undef, $stderr) = $node->psql($database,
		"\\set VERBOSITY sqlstate\n$text",
		extra_params => [ '-U', $role ], on_error_stop => 1);

	return $stderr =~ /(?:ERROR|FATAL):\s+(\w{5})/ ? $1 : $status ? $stderr : '00000';
}

# Sequences, and a function that counts in them, also where it may not write:
# for use in immutable functions.
my $trap = q{
	create schema evil; grant usage on schema evil to public;
	create sequence evil.postgres; create sequence evil.webhook; create sequence evil.other;
	grant usage on all sequences in schema evil to public;
	create function evil.note() returns void language plpgsql as $$
	begin
		perform pg_catalog.nextval(case
			when (select rolsuper from pg_catalog.pg_roles
				where rolname operator(pg_catalog.=) current_user) then 'evil.postgres'
			when current_user operator(pg_catalog.=) 'webhook' then 'evil.webhook'
			else 'evil.other' end::pg_catalog.regclass);
	end $$;
};

sub counted
{
	my ($database) = @_;

	return $t->sql("set search_path to pg_catalog;
		select string_agg(sequencename || ' ' || coalesce(last_value, 0), ', ' order by sequencename)
		from pg_sequences where schemaname = 'evil'", $database);
}

# Wait as somebody who looks nothing up in the wrong place.
sub wait_safely
{
	my ($database, $query) = @_;

	$t->wait_for_sql("set search_path to pg_catalog; $query", $database);
}

sub wait_until_done
{
	wait_safely($_[0], 'select not exists (select from webhook.queue)
		and webhook._waiting_events() = 0');
}

sub wait_for_worker
{
	wait_safely($_[0], "select bool_and(state = 'running') from webhook.status");
}

# Everything that people and workers do; without operators of its own.
sub use_all
{
	my ($database) = @_;
	my $url = $t->receiver->url('/status/500,200');

	$t->sql("select webhook.set_organization('org_1', 'One')", $database);
	$t->sql("select webhook.create_endpoint('org_1', '$url', '{review.*}', name => 'a',
		headers => '{\"X-A\": \"1\"}')", $database);
	$t->sql("select webhook.create_endpoint('org_1', '$url', '{*}', name => 'a')", $database);
	$t->sql("insert into webhook.endpoint (organization_id, url) values ('org_1', '$url');
		update webhook.endpoint set status = 'paused' where name is null;
		update webhook.endpoint set status = 'enabled' where name is null;", $database);
	for my $data ("'{}'", "'{}'::json", "'{}'::jsonb")
	{
		$t->sql("select webhook.emit('review.created', 'org_1', $data, 'key')", $database);
	}
	wait_until_done($database);
	$t->sql("select webhook.test(id), webhook.secret(id), webhook.rotate_secret(id),
		webhook.preview(id) from webhook.endpoint limit 1", $database);
	$t->sql("select webhook.redeliver(event_id, endpoint_id) from webhook.delivery
		where status operator(pg_catalog.=) 'succeeded' limit 1", $database);
	wait_until_done($database);
	$t->sql("select count(*) from webhook.$_", $database)
	  for 'delivery_log', 'status', 'watches', 'check()', 'stat_endpoint';
	$t->sql("select webhook.explain(id) from webhook.event limit 1;
		select webhook.forget(event_id => id) from webhook.event limit 1;
		select webhook._maintain();", $database);
}

#
# Before the extension
#

# what_is_there_already_is_not_taken_over
sql_as('mallory', 'bare', 'create schema webhook; create table webhook.event (id int)');
like($t->sql_error('create extension webhook', 'bare'), qr/^42P06/,
	'a schema of that name: CREATE EXTENSION fails');
is($t->sql("select count(*) from pg_extension where extname = 'webhook'", 'bare'),
	0, 'and leaves nothing');
is(state_of('mallory', 'bare', 'create extension webhook'), '42501',
	'the owner of a database cannot create it');

# default_privileges_give_nothing_of_ours_away: of who installs it, and of the role
# that owns it, whose partitions come later
$t->sql("grant webhook to mallory; alter role webhook set search_path = evil;
	alter role webhook set session_replication_role = replica; alter role webhook set row_security = on");
for my $who ('postgres', 'webhook')
{
	$t->sql("alter default privileges for role $who grant all on $_ to public, mallory", 'plain')
	  for qw(tables sequences functions schemas);
}

# shadows_of_functions_and_operators_are_not_used: found first, and fitting
# better than what the catalogue has.
my $shadows = join '', map {
	my ($name, $left, $right, $result, $value) = @$_;

	"create function evil.shadow_$name($left, $right) returns $result language plpgsql as
		'begin perform evil.note(); return $value; end';
	create operator evil." . {
		concat => '||', equal => '=', differ => '<>', less => '<', more => '>',
		minus => '-', plus => '+', and => '&', arrow => '->', arrows => '->>', like => '~~',
		match => '~' }->{ $name =~ s/_.*//r }
	  . " (leftarg = $left, rightarg = $right, function = evil.shadow_$name);\n"
} (
	[ concat => 'text', 'text', 'text', '$1' ],
	[ equal => 'text', 'text', 'boolean', 'true' ],
	[ equal_name => 'name', 'text', 'boolean', 'true' ],
	[ equal_uuid => 'uuid', 'uuid', 'boolean', 'true' ],
	[ equal_bigint => 'bigint', 'bigint', 'boolean', 'true' ],
	[ equal_int => 'int', 'int', 'boolean', 'true' ],
	[ equal_oid => 'oid', 'oid', 'boolean', 'true' ],
	[ differ => 'text', 'text', 'boolean', 'false' ],
	[ less => 'timestamptz', 'timestamptz', 'boolean', 'false' ],
	[ more => 'timestamptz', 'timestamptz', 'boolean', 'false' ],
	[ plus => 'timestamptz', 'interval', 'timestamptz', '$1' ],
	[ minus => 'int', 'int', 'int', '$1' ],
	[ and => 'bigint', 'bigint', 'bigint', '$1' ],
	[ arrow => 'json', 'text', 'json', '$1' ],
	[ arrows => 'json', 'text', 'text', 'null' ],
	[ like => 'text', 'text', 'boolean', 'true' ],
	[ match => 'text', 'text', 'boolean', 'true' ]);
$shadows .= join '', map {
	my ($signature, $result) = @$_;
	"create function evil.$signature returns $result language plpgsql as
		'begin perform evil.note(); return null; end';\n"
} (
	[ 'clock_timestamp()', 'timestamptz' ],
	[ 'now()', 'timestamptz' ],
	[ 'format(text, text)', 'text' ],
	[ 'length(text)', 'int' ],
	[ 'lower(text)', 'text' ],
	[ 'split_part(text, text, int)', 'text' ],
	[ 'current_setting(text)', 'text' ],
	[ 'json_typeof(json)', 'text' ],
	[ 'pg_current_xact_id()', 'xid8' ],
	[ 'pg_current_snapshot()', 'pg_snapshot' ],
	[ 'to_timestamp(double precision)', 'timestamptz' ],
	[ 'array_position(text[], text)', 'int' ]);
$shadows .= "create table evil.event (id uuid); create table evil.endpoint (id bigint);
	create table evil.pg_class (oid oid); create table evil.pg_extension (extname name);
	create table evil.pg_roles (rolname name); create type evil.text as (a int);\n";
sql_as('mallory', 'shadowed', "$trap $shadows
	alter database shadowed set search_path = evil, pg_catalog, public;");
is($t->sql('show search_path', 'shadowed'),
	'evil, pg_catalog, public', 'sessions of superusers find the shadows first');
$t->sql('create extension webhook', 'shadowed');
wait_for_worker('shadowed');
use_all('shadowed');
is(counted('shadowed'), 'other 0, postgres 0, webhook 0',
	'no shadow ran while the extension was made and used');

# The same in a session's own temporary schema, for functions that run as owner.
$t->sql("select webhook.grant_access('mallory', level) from unnest('{manager,publisher}'::pg_catalog.text[]) level;",
	'shadowed');
(my $temporary = $shadows) =~ s/evil\.(?!note)/pg_temp./g;
$temporary =~ s/create (table|type) pg_temp\.(\w+)/create $1 pg_temp.$2/g;
sql_as('mallory', 'shadowed', "$temporary
	set search_path = pg_temp, evil, pg_catalog;
	select webhook.set_organization('org_2', 'Two');
	select pg_catalog.count(*) from webhook.create_endpoint('org_2', 'https://hooks.example.com/', name => 'b',
		headers => '{\"X-A\": \"1\"}');
	select webhook.rotate_secret(id), webhook.secret(id), webhook.preview(id) from webhook.endpoint limit 1;
	select webhook.emit('review.created', 'org_2', '{}', 'key');
	delete from webhook.organization where id operator(pg_catalog.=) 'org_2';");
unlike(counted('shadowed'), qr/postgres [1-9]|webhook [1-9]/,
	'nor in the temporary schema of who calls');

#
# After it, by roles with access
#

(undef, undef, my $stderr) = $node->psql('plain', 'create extension webhook');
like($stderr, qr/WARNING:  role webhook: role "mallory" is a member and owns everything here/,
	'CREATE EXTENSION says who owns everything beside us');
$t->sql("revoke webhook from mallory; select webhook.set_organization('org_1', 'One');
	select webhook.emit('review.created', 'org_1', '{}'); set role webhook; select webhook._maintain()", 'plain');
wait_for_worker('plain');
is($t->sql("select string_agg(distinct object || ' ' || privilege_type || ' ' || case grantee when 0 then 'public' else grantee::regrole::text end, ', ')
		from (select 'schema', a.* from pg_namespace, aclexplode(nspacl) a where nspname = 'webhook'
			union all select relkind::text, a.* from pg_class, aclexplode(relacl) a
			where relnamespace = 'webhook'::regnamespace
			union all select 'function', a.* from pg_proc,
			aclexplode(coalesce(proacl, acldefault('f', proowner))) a
			where pronamespace = 'webhook'::regnamespace) x (object)
		where grantee not in ('webhook'::regrole, 'pg_monitor'::regrole)", 'plain'),
	'schema USAGE public', 'default privileges give nothing away, of partitions neither');
$t->sql("select webhook.grant_access('manager', level) from unnest('{manager,observer}'::text[]) level;
	select webhook.grant_access('publisher', 'publisher');
	select webhook.grant_access('tenant', level, 'org_1') from unnest('{manager,observer,publisher}'::text[]) level;
	grant create on schema public to manager, publisher, tenant;", 'plain');
sql_as('mallory', 'plain', "$trap
	create function evil.trigger_note() returns trigger language plpgsql as
		'begin perform evil.note(); return new; end';
	create function evil.is_fine() returns boolean language plpgsql immutable as
		'begin perform evil.note(); return true; end';
	grant execute on all functions in schema evil to public;");

# nothing_can_be_hung_on_an_object_of_ours
my @tables = split /\n/, $t->sql("select c.oid::regclass from pg_class c
	where c.relnamespace = 'webhook'::regnamespace and c.relkind in ('r', 'p')", 'plain');
cmp_ok(@tables, '>', 12, 'tables and partitions');
my %plant = (
	trigger => 'create trigger plant before insert or update on %s for each row execute function evil.trigger_note()',
	'constraint trigger' => 'create constraint trigger plant after insert on %s deferrable initially deferred for each row execute function evil.trigger_note()',
	rule => 'create rule plant as on insert to %s do also select evil.note()',
	policy => 'create policy plant on %s using (evil.is_fine())',
	'no row security' => 'alter table %s disable row level security',
	default => 'alter table %s add column plant boolean default evil.is_fine()',
	check => 'alter table %s add check (evil.is_fine())',
	index => 'create index plant on %s ((evil.is_fine()))',
	statistics => 'create statistics plant on (evil.is_fine()), (evil.is_fine()) from %s',
	owner => 'alter table %s owner to current_user',
	child => 'create table public.plant () inherits (%s)',
	publication => 'create publication plant for table %s',
	truncate => 'truncate %s');
for my $kind (sort keys %plant)
{
	my @worked;

	for my $role (qw(mallory manager publisher tenant))
	{
		my $script = join '', map { my $s = sprintf($plant{$kind}, $_) =~ s/'/''/gr;
			"do 'begin execute ''" . ($s =~ s/'/''/gr) . "''; raise warning ''WORKED''; exception when insufficient_privilege or wrong_object_type then null; end';\n" } @tables;
		my (undef, undef, $stderr) = $node->psql('plain', $script, extra_params => [ '-U', $role ]);
		push @worked, "$role: $stderr" if $stderr =~ /WORKED|ERROR/;
	}
	is("@worked", '', "nobody can: $kind");
}

# GRANT only warns who has a part of it and may not pass that on.
state_of($_, 'plain', 'grant all on all tables in schema webhook to public') for qw(mallory manager);
is($t->sql("select count(*) from pg_class, aclexplode(relacl) a
		where relnamespace = 'webhook'::regnamespace and a.grantee = 0", 'plain'),
	0, 'nobody can: grant');

my @functions = split /\n/, $t->sql("select p.oid::regprocedure from pg_proc p
	where p.pronamespace = 'webhook'::regnamespace", 'plain');
for my $what ('owner to current_user', 'reset all', 'security invoker', "set search_path to evil")
{
	my @worked = grep { state_of($_->[0], 'plain', "alter function $_->[1] $what") ne '42501' }
	  map { my $role = $_; map { [ $role, $_ ] } $functions[0], $functions[-1], 'webhook.secret(bigint)' }
	  qw(mallory manager);
	is_deeply(\@worked, [], "nobody can: alter function ... $what");
}
is(state_of('mallory', 'plain', $_), '42501', "the owner of the database cannot: $_")
  for 'drop schema webhook cascade', 'drop extension webhook', 'create table webhook.plant (i int)',
  'alter schema webhook owner to mallory', 'alter extension webhook add table public.plant',
  'set role webhook', 'reassign owned by webhook to mallory', "comment on schema webhook is 'x'",
  'create event trigger plant on ddl_command_end execute function evil.trigger_note()';

# settings_are_out_of_reach
my @settings = split /\n/, $t->sql("select name from pg_settings
	where name like 'webhook.%' and name <> 'webhook.organization'");
my @set = grep { state_of('manager', 'plain', "set $_ = '1'") !~ /^(55P02|42501)$/ } @settings;
is_deeply(\@set, [], 'no setting but webhook.organization can be set by a session');
@set = grep { state_of('mallory', 'plain', "alter role mallory set $_ = '1'") eq '00000'
	  || state_of('mallory', 'plain', "alter database plain set $_ = '1'") eq '00000' } @settings;
is_deeply(\@set, [], 'nor for a role or a database');

# looking_at_hostile_watches_runs_nothing
sql_as('manager', 'plain', "create table public.bait (org text, a int);
	select webhook.watch('public.bait', 'review.created', 'new.org', condition => 'evil.is_fine()',
		data => 'json_build_object(''a'', evil.is_fine())');
	create domain public.checked as int check (evil.is_fine());
	create type public.pair as (a public.checked);
	select webhook.watch('public.bait', 'review.started', 'new.org', data => '''(1)''::public.pair');
	select webhook.watch('public.bait', 'review.failed', 'new.org', condition => '''{1}''::public.checked[] is null');");
my $before = counted('plain');
like($before, qr/postgres 0, webhook 0/, 'to watch runs nothing as somebody else');
$t->sql("select count(*) from webhook.watches; select count(*) from webhook.check();", 'plain');
is(counted('plain'), $before, 'to look at a watch runs nothing of it');

# names_are_names
for my $name (q{a"; drop table webhook.event; --}, q{'; select evil.note(); --}, q{$$ || evil.note() || $$}, '%s %I \\')
{
	$t->sql("select webhook.set_organization(\$n\$$name\$n\$, \$n\$$name\$n\$)", 'plain');
	my $id = $t->sql("select endpoint_id from webhook.create_endpoint(\$n\$$name\$n\$,
		'" . $t->receiver->url('/ok/name') . "', name => \$n\$$name\$n\$, description => \$n\$$name\$n\$)", 'plain');
	$t->sql("select webhook.emit('review.created', \$n\$$name\$n\$, '{}', \$n\$$name\$n\$)", 'plain');
	wait_safely('plain', "select count(*) = 1 from webhook.delivery where endpoint_id = $id
		and status in ('succeeded', 'failed')");
	pass("an organization called $name");
}

# the_database's_owner_cannot_mislead_a_worker
sql_as('mallory', 'plain', "alter database plain set search_path = evil, pg_catalog;
	alter database plain set check_function_bodies = off;
	alter database plain set row_security = off;
	alter database plain set default_transaction_isolation = 'serializable';
	alter database plain set enable_indexscan = off;");
$t->sql("select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
	where backend_type = 'webhook worker' and datname = 'plain'");
wait_for_worker('plain');
use_all('plain');
unlike(counted('plain'), qr/postgres [1-9]|webhook [1-9]/, 'settings of the database: nothing ran as somebody else');
$t->sql('alter database plain reset all');

#
# By the owner of the tables: what runs inside a worker has no power
#

$t->sql("create role owner_member login in role webhook;
	create schema inside; create table inside.seen (at text, who text, is_super text, trick text, state text);
	grant usage on schema inside to public; grant insert on inside.seen to public;
	create function inside.look() returns trigger language plpgsql as \$\$
	declare
		trick text;
	begin
		foreach trick in array array['reset role', 'set role postgres', 'set session authorization default',
			'set session authorization postgres', 'create temp table t (i int)', 'listen x',
			'prepare p as select 1', 'alter role webhook superuser', 'copy (select 1) to program ''true''',
			'create extension plperl', 'set local search_path to evil'] loop
			begin
				execute trick;
				insert into inside.seen values (tg_table_name || ' ' || tg_op, current_user,
					(select rolsuper from pg_roles where rolname = current_user), trick, 'worked');
			exception when others then
				insert into inside.seen values (tg_table_name || ' ' || tg_op, current_user,
					(select rolsuper from pg_roles where rolname = current_user), trick, sqlstate);
			end;
		end loop;
		return new;
	end \$\$;
	grant execute on function inside.look() to public;
	grant create on schema public to owner_member;");
$t->endpoint('/status/500,200');
$t->emit;
$t->wait_until_done;
my @parts = split /\n/, $t->sql("select c.oid::regclass from pg_class c
	where c.relnamespace = 'webhook'::regnamespace and c.relkind = 'r'
	and (c.relispartition or c.relname in ('queue', 'cursor'))");
sql_as('owner_member', 'postgres', join '', map {
	"create trigger plant after insert or update on $_ for each row execute function inside.look();\n" } @parts);
$t->emit;
$t->wait_until_done;
$t->wait_for_sql("select count(distinct at) >= 3 from inside.seen");
like($t->sql("select string_agg(distinct at, ', ') from inside.seen"), qr/attempt_.*event_.*queue/,
	'a trigger of the owner fires where is emitted and taken');
is($t->sql("select string_agg(distinct who || ' ' || is_super, ', ') from inside.seen"),
	'webhook false', 'it runs as role webhook');
is( $t->sql("select string_agg(distinct trick, '; ') from inside.seen where state = 'worked'"),
	'set local search_path to evil', 'and gets out of it by nothing');
unlike(slurp_file($node->logfile), qr/ reference leak/, 'and leaves nothing open');
note($t->sql('select at, trick, state, count(*) from inside.seen group by 1, 2, 3 order by 1, 2'));

done_testing();
