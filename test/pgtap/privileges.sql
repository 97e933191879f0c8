-- Who may do what: nothing by default, and what grant_access gives.
begin;
select no_plan();

create temporary view member as
select d.classid, d.objid
  from pg_depend d
  join pg_extension e on e.oid = d.refobjid and e.extname = 'webhook'
 where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e';
create temporary view function as
select p.*, p.oid::regprocedure::text as signature
  from pg_proc p
  join member m on m.classid = 'pg_proc'::regclass and m.objid = p.oid;

--
-- The owner
--

select is(row(rolcanlogin, rolsuper, rolcreaterole, rolcreatedb,
              rolreplication, rolbypassrls)::text,
          '(f,f,f,f,f,f)',
          'role webhook cannot log in and has no special power')
  from pg_roles
 where rolname = 'webhook';
select is_empty(
    $$select m.roleid::regrole from pg_auth_members m
       where m.member = 'webhook'::regrole$$,
    'role webhook is a member of no other role');

select schema_owner_is('webhook', 'webhook');
select is_empty(
    $$select oid::regclass from pg_class
       where relnamespace = 'webhook'::regnamespace
         and relowner <> 'webhook'::regrole$$,
    'relations, partitions included, belong to role webhook');
select is_empty(
    $$select signature from function where proowner <> 'webhook'::regrole$$,
    'functions belong to role webhook');
select is_empty(
    $$select oid::regtype from pg_type
       where typnamespace = 'webhook'::regnamespace
         and typowner <> 'webhook'::regrole$$,
    'types belong to role webhook');
select is_empty(
    $$select pg_describe_object(d.classid, d.objid, d.objsubid)
        from pg_shdepend d
       where d.refobjid = 'webhook'::regrole and d.deptype = 'o'
         and d.dbid = (select oid from pg_database
                        where datname = current_database())
         and pg_describe_object(d.classid, d.objid, d.objsubid) !~ 'webhook'$$,
    'role webhook owns nothing else here');

--
-- PUBLIC
--

select is(
    (select string_agg(privilege_type, ',') from pg_namespace, aclexplode(nspacl)
      where nspname = 'webhook' and grantee = 0),
    'USAGE', 'PUBLIC may use the schema, and not create in it');
select is_empty(
    $$select oid::regclass, acl.privilege_type
        from pg_class, aclexplode(coalesce(relacl,
             acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))) as acl
       where relnamespace = 'webhook'::regnamespace and acl.grantee = 0$$,
    'PUBLIC has no privilege on a relation');
select is_empty(
    $$select attrelid::regclass, attname
        from pg_attribute
        join pg_class c on c.oid = attrelid,
             aclexplode(attacl) as acl
       where relnamespace = 'webhook'::regnamespace and acl.grantee = 0$$,
    'nor on a column');
select is_empty(
    $$select signature
        from function, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
       where acl.grantee = 0$$,
    'PUBLIC may execute no function');

--
-- Functions that others run
--

select is_empty(
    $$select signature from function
       where prosecdef
         and not coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)$$,
    'security definer: with a pinned search path');
select is_empty(
    $$select signature from function
        join pg_language l on l.oid = prolang
       where l.lanname in ('sql', 'plpgsql') and prosqlbody is null
         and prokind <> 'p'     -- it commits, and so can set nothing
         and not coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)$$,
    'a body that is text: with a pinned search path');
select is_empty(
    $$select signature from function
        join pg_language l on l.oid = prolang
       where l.lanname not in ('sql', 'plpgsql', 'c')$$,
    'sql, plpgsql and c only');
select is_empty(
    $$select signature from function where prosecdef and prokind = 'p'$$,
    'no security definer procedure');

--
-- What roles can do
--

select webhook.set_organization('org_abc123', 'Your Organization') \g /dev/null
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x')
\gset
select webhook.emit('review.created', 'org_abc123', '{}') as event_id \gset

-- Run a statement as a role, and take it back: its SQLSTATE, or "fine".
create function pg_temp.attempt(who name, statement text) returns text
language plpgsql as $$
begin
    perform set_config('role', who, true);
    execute statement;
    raise exception using errcode = 'ZZ000';
exception when others then
    return case sqlstate when 'ZZ000' then 'fine' else sqlstate end;
end
$$;

create temporary table statement (
    kind text,      -- what one must be allowed
    what text,
    text text
);
-- In the statements $1 stands for the endpoint and $2 for the event.
insert into statement values
    ('publish', 'emit text',
     $$select webhook.emit('review.created', 'org_abc123', '{}')$$),
    ('publish', 'emit json',
     $$select webhook.emit('review.created', 'org_abc123', '{}'::json)$$),
    ('publish', 'emit jsonb',
     $$select webhook.emit('review.created', 'org_abc123', '{}'::jsonb, 'key')$$),

    ('know', 'read event types', $$select * from webhook.event_type$$),
    ('know', 'read organizations', $$select * from webhook.organization$$),

    ('observe', 'read endpoints', $$select * from webhook.endpoint$$),
    ('observe', 'read events', $$select * from webhook.event$$),
    ('observe', 'read attempts', $$select * from webhook.attempt$$),
    ('observe', 'read deliveries', $$select * from webhook.delivery$$),
    ('observe', 'read the delivery log', $$select * from webhook.delivery_log$$),
    ('observe', 'read the status', $$select * from webhook.status$$),
    ('observe', 'read the dashboard', $$select * from webhook.dashboard$$),
    ('observe', 'read a report', $$select webhook.report()$$),
    ('observe', 'read the storage', $$select * from webhook.storage$$),
    ('observe', 'read metrics', $$select webhook.openmetrics()$$),
    ('observe', 'read the progress', $$select * from webhook.progress$$),
    ('observe', 'read who fails', $$select * from webhook.failing$$),
    ('observe', 'read statistics',
     $$select * from webhook.stat_database, webhook.stat_endpoint$$),
    ('observe', 'ask for a reason', $$select * from webhook.explain($2)$$),
    ('observe', 'ask for the version', $$select * from webhook.version()$$),
    ('observe', 'verify', $$select webhook.verify('{}', '', 'secret')$$),

    ('manage', 'create an endpoint',
     $$select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/y',
              '{review.*}', 'text', 'name',
              'whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno', '{1s}', '5s')$$),
    ('manage', 'insert an endpoint',
     $$insert into webhook.endpoint (organization_id, url)
       values ('org_abc123', 'https://hooks.example.com/y')$$),
    ('manage', 'change an endpoint',
     $$update webhook.endpoint set events = '{team.*}', status = 'disabled' where id = $1$$),
    ('manage', 'delete an endpoint', $$delete from webhook.endpoint where id = $1$$),
    ('manage', 'preview text', $$select webhook.preview($1, 'review.created', '{}')$$),
    ('manage', 'preview json', $$select webhook.preview($1, 'review.created', '{}'::json)$$),
    ('manage', 'preview jsonb', $$select webhook.preview($1, 'review.created', '{}'::jsonb)$$),
    ('manage', 'forget an event', $$select webhook.forget($2::uuid)$$),
    ('manage', 'forget an organization', $$select webhook.forget('org_abc123')$$),
    ('manage', 'reset statistics', $$select webhook.stat_reset()$$),
    ('manage', 'read a secret', $$select webhook.secret($1)$$),
    ('manage', 'rotate a secret', $$select webhook.rotate_secret($1)$$),
    ('observe', 'read names of headers', $$select endpoint_id, name from webhook.endpoint_header$$),
    ('manage', 'write a header',
     $$insert into webhook.endpoint_header values ($1, 'Authorization', 'Bearer abc')$$),
    ('own', 'read values of headers', $$select value from webhook.endpoint_header$$),
    ('manage', 'set an organization', $$select webhook.set_organization('org_2', 'Two')$$),
    ('manage', 'rename an organization',
     $$update webhook.organization set name = 'Other' where id = 'org_abc123'$$),
    ('manage', 'delete an organization',
     $$delete from webhook.organization where id = 'org_abc123'$$),
    ('manage', 'add an event type',
     $$insert into webhook.event_type (name) values ('invoice.paid')$$),
    ('manage', 'remove an event type',
     $$delete from webhook.event_type where name = 'review.failed'$$),

    ('own', 'read secrets from the table', $$select * from webhook.endpoint_secret$$),
    ('own', 'write secrets into the table',
     $$update webhook.endpoint_secret set secret = 'your-webhook-secret'$$),
    ('own', 'read the queue', $$select * from webhook.queue$$),
    ('own', 'write the queue', $$delete from webhook.queue$$),
    ('own', 'write events', $$delete from webhook.event$$),
    ('own', 'insert events',
     $$insert into webhook.event select * from webhook.event$$),
    ('own', 'write attempts', $$update webhook.attempt set error = null$$),
    ('own', 'truncate attempts', $$truncate webhook.attempt$$),
    ('own', 'write operations', $$delete from webhook.operation$$),
    ('own', 'write who fails', $$delete from webhook.failing$$),
    ('own', 'write cursors', $$delete from webhook.cursor$$),
    ('own', 'write identities', $$delete from webhook.identity$$),
    ('own', 'write idempotency keys', $$delete from webhook.idempotency_key$$),
    ('own', 'record operational events',
     $$select webhook._record('webhook.test', 'org_abc123', '{}', true)$$),
    ('own', 'adopt', $$select webhook.adopt()$$),
    ('own', 'grant access',
     $$select webhook.grant_access('regress_webhook_nobody', 'manager')$$),
    ('own', 'revoke access', $$select webhook.revoke_access('regress_webhook_observer')$$),
    ('own', 'create in the schema', $$create table webhook.mine (i int)$$),
    ('own', 'attach a trigger',
     $$create trigger mine before update on webhook.endpoint for each row
       execute function suppress_redundant_updates_trigger()$$);

create role regress_webhook_nobody;
create role regress_webhook_publisher;
create role regress_webhook_observer;
create role regress_webhook_manager;
select webhook.grant_access('regress_webhook_publisher', 'publisher') \g /dev/null
select webhook.grant_access('regress_webhook_observer', 'observer') \g /dev/null
select webhook.grant_access('regress_webhook_manager', 'manager') \g /dev/null

create temporary table level (name text, kinds text[]);
insert into level values
    ('nobody', '{}'),
    ('publisher', '{publish,know}'),
    ('observer', '{know,observe}'),
    ('manager', '{know,observe,manage}');

create function pg_temp.attempts(level text, kinds text[], endpoint_id bigint, event_id uuid)
returns setof text language sql as $$
    select is(pg_temp.attempt(('regress_webhook_' || level)::name,
                              replace(replace(s.text, '$1', endpoint_id::text),
                                      '$2', quote_literal(event_id))),
              case when s.kind = any (kinds) then 'fine' else '42501' end,
              format('%s %s %s', level,
                     case when s.kind = any (kinds) then 'can' else 'cannot' end,
                     s.what))
      from statement s
$$;

select pg_temp.attempts(name, kinds, :endpoint_id, :'event_id') from level;

-- Redelivery and tests reach the network or the queue: only their right is
-- asked here.
select is(has_function_privilege('regress_webhook_' || name, function, 'execute'),
          name = 'manager',
          format('%s %s %s', name,
                 case when name = 'manager' then 'may' else 'may not' end, function))
  from level,
       unnest('{"webhook.redeliver(uuid,bigint)","webhook.test(bigint,text)",
                 "webhook.cancel(uuid,bigint)",
                 "webhook.recover(bigint,timestamptz,timestamptz,text)",
                 "webhook.replay(bigint,timestamptz,timestamptz)"}'::text[])
           as function;

-- Nobody runs what only workers and triggers need.
select is_empty(
    $$select l.name, signature
        from function, level l
       where (proname in ('_make_secret', '_cancel_waiting', '_send_test', '_record',
                          '_maintain', '_drop_expired', '_interrupt', '_disable_endpoints',
                          '_judge_endpoints', '_tell_failed', '_tell_disabled', '_record_operational',
                          '_cancel_gone', '_cancel_now', '_cancel_untaken', '_expire_waiting', '_schedule_retries', '_make_partition')
              or prorettype = 'trigger'::regtype and prosecdef)
         and has_function_privilege('regress_webhook_' || l.name, oid, 'execute')$$,
    'functions of workers are for nobody else');

-- Partitions are reached through their parents only.
select is_empty(
    $$select l.name, c.oid::regclass
        from pg_class c, level l
       where c.relispartition and c.relnamespace = 'webhook'::regnamespace
         and has_table_privilege('regress_webhook_' || l.name, c.oid,
                                 'select, insert, update, delete, truncate')$$,
    'partitions are granted to nobody');

-- Of a table with secrets some may see some columns.
select bag_eq(
    $$select distinct attrelid::regclass::text, attname::text, acl.privilege_type
        from pg_attribute
        join pg_class c on c.oid = attrelid,
             aclexplode(attacl) as acl
       where relnamespace = 'webhook'::regnamespace$$,
    $$values ('webhook.endpoint_header', 'endpoint_id', 'SELECT'),
             ('webhook.endpoint_header', 'name', 'SELECT')$$,
    'privileges on columns');

-- Nobody may pass a privilege on.
select is_empty(
    $$select oid::regclass::text, acl.grantee::regrole
        from pg_class, aclexplode(relacl) as acl
       where relnamespace = 'webhook'::regnamespace
         and acl.is_grantable and acl.grantee <> relowner
      union all
      select signature, acl.grantee::regrole
        from function, aclexplode(proacl) as acl
       where acl.is_grantable and acl.grantee <> proowner$$,
    'no privilege can be passed on');

-- An emitter's search path and temporary tables play no part.
create function pg_temp.decoy() returns text language plpgsql as $$
begin
    perform set_config('role', 'regress_webhook_publisher', true);
    create temporary table idempotency_key (organization_id text, key text,
                                            event_id uuid, created_at timestamptz);
    create temporary table event_type (name text);
    perform set_config('search_path', 'pg_temp, pg_catalog', true);
    perform webhook.emit('review.created', 'org_abc123', '{}', 'decoy');
    perform set_config('search_path', 'public', true);
    perform set_config('role', 'none', true);
    return (select count(*) from pg_temp.idempotency_key) || ' '
        || (select count(*) from webhook.idempotency_key where key = 'decoy');
end
$$;
select is(pg_temp.decoy(), '0 1', 'emit is not led astray by a search path');

--
-- What was given can be taken back
--

select webhook.revoke_access(('regress_webhook_' || name)::regrole)
  from level \g /dev/null

select pg_temp.attempts(name, '{}', :endpoint_id, :'event_id') from level;

select is_empty(
    $$select pg_describe_object(d.classid, d.objid, d.objsubid), l.name
        from pg_shdepend d
        join level l on d.refobjid = ('regress_webhook_' || l.name)::regrole
       where d.deptype = 'a'
         and d.dbid = (select oid from pg_database
                        where datname = current_database())$$,
    'nothing of it is left');

-- What pg_monitor may since the extension was made is not what was given.
create view pg_temp.monitoring as
select oid::regclass::text as object, acl.privilege_type
  from pg_class, aclexplode(relacl) as acl
 where relnamespace = 'webhook'::regnamespace and acl.grantee = 'pg_monitor'::text::regrole
union all
select signature, acl.privilege_type
  from function, aclexplode(proacl) as acl
 where acl.grantee = 'pg_monitor'::text::regrole;
create temporary table monitoring_before as select * from pg_temp.monitoring;
select cmp_ok(count(*), '>', 8::bigint, 'pg_monitor may see numbers') from monitoring_before;
select webhook.grant_access('pg_monitor', 'observer') \g /dev/null
select cmp_ok(count(*), '>', 30::bigint, 'pg_monitor may observe as others do') from pg_temp.monitoring;
select webhook.revoke_access('pg_monitor') \g /dev/null
select bag_eq('select * from pg_temp.monitoring', 'select * from monitoring_before',
              'and keeps what it had when that is taken back');

-- A level is given anew, and may be raised.
select webhook.grant_access('regress_webhook_nobody', 'observer') \g /dev/null
select webhook.grant_access('regress_webhook_nobody', 'observer') \g /dev/null
select webhook.grant_access('regress_webhook_nobody', 'publisher') \g /dev/null
select pg_temp.attempts('nobody', '{publish,know,observe}', :endpoint_id, :'event_id');

-- Names of roles are names.
create role "regress_Webhook ""odd""";
select lives_ok(
    $$select webhook.grant_access('"regress_Webhook ""odd"""', 'publisher')$$,
    'a role may have an odd name');
select is(pg_temp.attempt('regress_Webhook "odd"',
              $$select webhook.emit('review.created', 'org_abc123', '{}')$$),
          'fine', 'and emit');

-- A member of role webhook may grant.
create role regress_webhook_admin;
grant webhook to regress_webhook_admin;
select is(pg_temp.attempt('regress_webhook_admin',
              $$select webhook.grant_access('regress_webhook_manager', 'manager')$$),
          'fine', 'a member of role webhook can grant access');

select * from finish();
rollback;
