-- Installing and removing: DROP EXTENSION leaves nothing but the role.

-- What there is in a database, by kind.
create temporary view census as
select 'tables and indexes' as kind, count(*) from pg_class
 where relpersistence <> 't' and relnamespace <> 'pg_toast'::regnamespace
union all select 'toast tables', count(*) from pg_class
 where relnamespace = 'pg_toast'::regnamespace
union all select 'types', count(*) from pg_type where typnamespace <> pg_my_temp_schema()
union all select 'functions', count(*) from pg_proc
union all select 'triggers', count(*) from pg_trigger
union all select 'event triggers', count(*) from pg_event_trigger
union all select 'constraints', count(*) from pg_constraint
union all select 'column defaults', count(*) from pg_attrdef
union all select 'operators', count(*) from pg_operator
union all select 'casts', count(*) from pg_cast
union all select 'schemas', count(*) from pg_namespace
union all select 'comments', count(*) from pg_description
union all select 'initial privileges', count(*) from pg_init_privs
union all select 'default privileges', count(*) from pg_default_acl
union all select 'shared dependencies', count(*) from pg_shdepend
 where dbid = (select oid from pg_database where datname = current_database())
union all select 'settings of roles', count(*) from pg_db_role_setting
union all select 'publications', count(*) from pg_publication;
create temporary table before as table census;

create extension webhook;

-- Everything is in one schema of its own.
select extname, extnamespace::regnamespace as schema, extrelocatable,
       extversion = (select default_version from pg_available_extensions
                      where name = 'webhook') as is_default_version
  from pg_extension
 where extname = 'webhook';
select n.nspname, r.rolname as owner
  from pg_namespace n
  join pg_roles r on r.oid = n.nspowner
 where n.nspname = 'webhook';
select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication,
       rolbypassrls
  from pg_roles
 where rolname = 'webhook';

-- The library and the SQL objects belong together.
select library = extension as is_same_version,
       libcurl ~ '^\d+\.\d+' as has_libcurl, openssl <> '' as has_openssl
  from webhook.version();

-- It is there once.
create extension webhook;
create extension if not exists webhook;

-- Used: with partitions, rows and grants.
select webhook.set_organization('org_abc123', 'Your Organization');
select webhook.emit('review.completed', 'org_abc123', '{}', 'key') is not null
       as is_recorded;
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x');
create role regress_webhook_observer;
select webhook.grant_access('regress_webhook_observer', 'observer');
create view public.regress_failures as
select * from webhook.delivery where status = 'failed';

-- What depends on it is not taken along without a word.
\set VERBOSITY terse
drop extension webhook;
\set VERBOSITY default
drop view public.regress_failures;
drop extension webhook;

select kind, c.count - b.count as difference
  from census c
  join before b using (kind)
 where c.count <> b.count
 order by kind;
select rolname from pg_roles where rolname = 'webhook';

-- So that nothing is in the way of those who come later.
drop role regress_webhook_observer;
create extension webhook;
select count(*) from webhook.event;

-- What there is does not depend on how the session reads strings.
create temporary view definition as
select pg_describe_object('pg_proc'::regclass, p.oid, 0) as object, pg_get_functiondef(p.oid) as text
  from pg_proc p where p.pronamespace = to_regnamespace('webhook')
union all
select pg_describe_object('pg_class'::regclass, c.oid, 0), pg_get_viewdef(c.oid)
  from pg_class c where c.relnamespace = to_regnamespace('webhook') and c.relkind = 'v'
union all
select pg_describe_object('pg_constraint'::regclass, c.oid, 0), pg_get_constraintdef(c.oid)
  from pg_constraint c where c.connamespace = to_regnamespace('webhook')
union all
select 'comment on ' || pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
  from pg_description d
  join pg_depend e on (e.classid, e.objid) = (d.classoid, d.objoid) and e.deptype = 'e'
  join pg_extension x on x.oid = e.refobjid and x.extname = 'webhook';
create temporary table defined as table definition;
drop extension webhook;
set standard_conforming_strings = off;
create extension webhook;
create temporary table review (organization_id text, status text);
select webhook.watch('review', 'review.completed', 'new.organization_id', 'insert or update  of status');
reset standard_conforming_strings;
select count(*) > 300 as is_everything from defined;
select object from ((table definition except table defined) union all (table defined except table definition)) different;
drop table review;
drop extension webhook;
select count(*) as schemas from pg_namespace where nspname = 'webhook';
