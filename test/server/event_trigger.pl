# Event triggers of the database's owner, as auditors have them, see all that the
# extension does to its tables, and stop none of it.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('event_trigger');

# They talk, look, write and run statements, before and after.
sub make_noisy
{
	$t->sql(q{
	create table public.audit (command text, tag text, process text);
	create function public.audit() returns event_trigger language plpgsql
	security definer set search_path = pg_catalog, public as $$
	begin
		raise notice 'audit: % %', tg_event, tg_tag;
		raise warning 'audit: % %', tg_event, tg_tag;
		insert into audit select tg_event, tg_tag, backend_type
			from pg_stat_activity where pid = pg_backend_pid();
		if tg_event = 'ddl_command_end' then
			perform object_identity from pg_event_trigger_ddl_commands();
		elsif tg_event = 'sql_drop' then
			perform object_identity from pg_event_trigger_dropped_objects();
		end if;
		perform set_config('search_path', 'public, pg_temp', false);
	end $$;
	create event trigger audit_start on ddl_command_start execute function public.audit();
	create event trigger audit_end on ddl_command_end
		when tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE FUNCTION', 'CREATE EXTENSION')
		execute function public.audit();
	create event trigger audit_drop on sql_drop execute function public.audit();
	}, 'noisy');
}

sub old_partitions
{
	return "(select count(*) from webhook._partitions('webhook.event')
		where to_at < now() - interval '30 days')";
}

# install_with_a_noisy_event_trigger
$t->sql('create database noisy');
make_noisy();
$t->install('noisy');
is($t->sql("select count(*) > 10 from public.audit where tag = 'CREATE EXTENSION'
	or command = 'ddl_command_end'", 'noisy'), 't', 'the event triggers saw the installation');
$t->endpoint('/ok/noisy', database => 'noisy');
$t->emit(database => 'noisy');
$t->wait_for_journal(1, qr/noisy/);
$t->wait_until_done('noisy');
pass('an event is delivered');

# maintenance_goes_on
$t->sql("set role webhook; select webhook._make_partition(now() - interval '60 days')", 'noisy');
is($t->sql('select ' . old_partitions(), 'noisy'), 1, 'given a partition of two months ago');
$t->sql("truncate public.audit; select pg_terminate_backend(pid) from webhook.status", 'noisy');
$t->wait_for_sql('select 0 = ' . old_partitions(), 'noisy');
is($t->sql("select string_agg(distinct process, ' ') from public.audit where command = 'sql_drop'", 'noisy'),
	'webhook worker', 'the worker has dropped it, and the event triggers saw it');
my $check = 'select subject, problem from webhook.check()';
is($t->sql($check, 'noisy'), $t->sql($check), 'nothing is wrong that is not wrong without them');

# the_end_of_it
$t->sql('drop extension webhook', 'noisy');
is($t->sql("select count(*) from pg_namespace where nspname = 'webhook'", 'noisy'), 0,
	'the extension is dropped');

done_testing();
