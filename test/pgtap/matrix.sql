-- Every table, view and function, and who may do what with it.  An object that
-- is not in the matrix is a failure: say who may use it.
begin;
select no_plan();

create role regress_webhook_nobody;
create role regress_webhook_publisher;
create role regress_webhook_observer;
create role regress_webhook_manager;
create role regress_webhook_tenant;     -- all levels, bound to org_2

select webhook.set_organization('org_1', 'One'),
       webhook.set_organization('org_2', 'Two') \g /dev/null
select webhook.grant_access('regress_webhook_publisher', 'publisher'),
       webhook.grant_access('regress_webhook_observer', 'observer'),
       webhook.grant_access('regress_webhook_manager', 'manager') \g /dev/null
select webhook.grant_access('regress_webhook_tenant', level, 'org_2')
  from unnest('{publisher,observer,manager}'::text[]) level \g /dev/null

-- r, a, w, d: select, insert, update, delete; c: select of some columns, ?: the
-- others of some columns; X: execute.
create temporary table matrix (
    object    text,
    publisher text,
    observer  text,
    manager   text,
    tenant    text,
    probe     text,     -- what the tenant tries on org_1: $1 an endpoint, $2 an event
    expected  text      -- what comes of it: a value, or an SQLSTATE
);
insert into matrix values
    ('access',             'r', 'r', 'r',    '', null, null),
    ('attempt',            '',  'r', 'r',    'r',
     $$select count(*) from webhook.attempt where organization_id = 'org_1'$$, '0'),
    ('cancel_request',     '',  '',  '',     '', null, null),
    ('cursor',             '',  '',  '',     '', null, null),
    ('dashboard',          '',  'r', 'r',    '', null, null),
    ('delivery',           '',  'r', 'r',    'r',
     $$select count(*) from webhook.delivery where organization_id = 'org_1'$$, '0'),
    ('delivery_log',       '',  'r', 'r',    'r',
     $$select count(*) from webhook.delivery_log where organization_id = 'org_1'$$, '0'),
    ('endpoint',           '',  'r', 'rawd', 'r??d',
     $$select count(*) from webhook.endpoint where organization_id = 'org_1'$$, '0'),
    ('endpoint_header',    '',  'c', 'cawd', 'cawd',
     $$select count(*) from webhook.endpoint_header where endpoint_id = $1$$, '0'),
    ('endpoint_secret',    '',  '',  '',     '', null, null),
    ('event',              '',  'r', 'r',    'r',
     $$select count(*) from webhook.event where organization_id = 'org_1'$$, '0'),
    ('event_type',         'r', 'r', 'rawd', 'r',
     $$select count(*) from webhook.event_type where is_builtin$$, '17'),
    ('failing',            '',  'r', 'r',    'r',
     $$select count(*) from webhook.failing where endpoint_id = $1$$, '0'),
    ('idempotency_key',    '',  '',  '',     '', null, null),
    ('identity',           '',  '',  '',     '', null, null),
    ('operation',          '',  '',  '',     '', null, null),
    ('organization',       'r', 'r', 'rawd', 'rawd',
     $$select string_agg(id, ',') from webhook.organization$$, 'org_2'),
    ('progress',           '',  'r', 'r',    'r', $$select count(*) from webhook.progress$$, '0'),
    ('queue',              '',  '',  '',     '', null, null),
    ('stat_database',      '',  'r', 'r',    '', null, null),
    ('storage',            '',  'r', 'r',    '', null, null),
    ('stat_endpoint',      '',  'r', 'r',    '', null, null),
    ('status',             '',  'r', 'r',    '', null, null),
    ('watches',            '',  'r', 'r',    '', null, null),

    ('adopt()', '', '', '', '', null, null),
    ('cancel(uuid,bigint)', '', '', 'X', 'X', $$select webhook.cancel('$2')$$, '0'),
    ('check()', '', 'X', 'X', '', null, null),
    ('create_endpoint', '', '', 'X', 'X',
     $$select webhook.create_endpoint('org_1', 'https://hooks.example.com/')$$, '42501'),
    ('drain(interval)', '', 'X', 'X', '', null, null),
    ('emit(text,text,json,text)', 'X', '', '', 'X',
     $$select webhook.emit('review.created', 'org_1', '{}'::json)$$, '42501'),
    ('emit(text,text,jsonb,text)', 'X', '', '', 'X',
     $$select webhook.emit('review.created', 'org_1', '{}'::jsonb)$$, '42501'),
    ('emit(text,text,text,text)', 'X', '', '', 'X',
     $$select webhook.emit('review.created', 'org_1', '{}')$$, '42501'),
    ('emit_row()', '', '', 'X', '', null, null),
    ('explain(uuid)', '', 'X', 'X', 'X', $$select webhook.explain('$2')$$, 'P0002'),
    ('forget(text)', '', '', 'X', 'X',
     $$select webhook.forget(organization_id => 'org_1')$$, '42501'),
    ('forget(uuid)', '', '', 'X', 'X', $$select webhook.forget(event_id => '$2')$$, 'P0002'),
    ('grant_access(regrole,text,text)', '', '', '', '', null, null),
    ('_hold_organization(text)', '', '', 'X', 'X', $$select webhook._hold_organization('org_1')$$, 'false'),
    ('openmetrics()', '', 'X', 'X', '', null, null),
    ('preview(bigint,text,json)', '', '', 'X', 'X',
     $$select webhook.preview($1, 'review.created', '{}'::json)$$, 'P0002'),
    ('preview(bigint,text,jsonb)', '', '', 'X', 'X',
     $$select webhook.preview($1, 'review.created', '{}'::jsonb)$$, 'P0002'),
    ('preview(bigint,text,text)', '', '', 'X', 'X', $$select webhook.preview($1)$$, 'P0002'),
    ('_progress()', '', 'X', 'X', 'X', $$select count(*) from webhook._progress()$$, '0'),
    ('recover(bigint,timestamp with time zone,timestamp with time zone,text)', '', '', 'X', 'X',
     $$select webhook.recover($1, '-infinity')$$, 'P0002'),
    ('redeliver(uuid,bigint)', '', '', 'X', 'X', $$select webhook.redeliver('$2', $1)$$, 'P0002'),
    ('report(interval)', '', 'X', 'X', 'X',
     $$select webhook.report(interval '1 day') like '%One%'$$, 'false'),
    ('report(text)', '', 'X', 'X', 'X', $$select webhook.report() like '%One%'$$, 'false'),
    ('report(timestamp with time zone)', '', 'X', 'X', 'X',
     $$select webhook.report(now() - interval '1 day') like '%One%'$$, 'false'),
    ('replay(bigint,timestamp with time zone,timestamp with time zone)', '', '', 'X', 'X',
     $$select webhook.replay($1, now() - interval '1 hour')$$, 'P0002'),
    ('revoke_access(regrole)', '', '', '', '', null, null),
    ('rotate_secret(bigint,interval,text)', '', '', 'X', 'X',
     $$select webhook.rotate_secret($1)$$, 'P0002'),
    ('secret(bigint)', '', '', 'X', 'X', $$select webhook.secret($1) is null$$, 'true'),
    ('set_organization(text,text)', '', '', 'X', 'X',
     $$select webhook.set_organization('org_1', 'Mine')$$, '42501'),
    ('stat_reset()', '', '', 'X', '', null, null),
    ('test(bigint,text)', '', '', 'X', 'X', $$select webhook.test($1)$$, 'P0002'),
    ('unwatch(regclass,text,text)', '', '', 'X', '', null, null),
    ('verify(text,text,text)', '', 'X', 'X', 'X',
     $$select webhook.verify('', '', 'secret')$$, 'false'),
    ('version()', '', 'X', 'X', 'X', $$select 1 from webhook.version()$$, '1'),
    ('watch(regclass,text,text,text,text,text,text)', '', '', 'X', '', null, null);

-- What those need that run as the caller; it touches no organization's rows.
insert into matrix
select object, case when is_for_all then 'X' else '' end,
       case when is_for_observers then 'X' else '' end, 'X', case when is_for_tenants then 'X' else '' end
  from (values
      ('_broken_watches()',                                          false, true,  false),
      ('_check_events(text[])',                                      false, false, true),
      ('_check_limits(webhook.endpoint)',                              false, false, true),
      ('_check_schedule(interval[])',                                false, false, true),
      ('_is_schedule(interval[])',                                   false, false, true),
      ('_check_source(regclass,text[])',                             false, false, false),
      ('_next_xid()',                                                false, false, true),
      ('_check_url(text)',                                           false, false, true),
      ('_check_watch(regclass,name,text[],smallint,boolean,boolean)', false, true,  false),
      ('_execute_under(text,text)',                                  false, false, false),
      ('_dashboard()',                                               false, true,  false),
      ('_drain_begin()',                                             false, true,  false),
      ('_drain_end(bigint)',                                         false, true,  false),
      ('_drain_look(bigint,interval)',                               false, true,  false),
      ('_has_access(text,text)',                                     true,  true,  true),
      ('_is_plain_table(regclass)',                                  false, true,  false),
      ('_is_restoring()',                                            false, false, true),
      ('_make_watch(regclass,text,text,text[],text,text[],smallint)', false, false, false),
      ('_metrics()',                                                 false, true,  false),
      ('_nearest(text,text[])',                                      false, false, true),
      ('_operational_events()',                                      false, false, true),
      ('_parse_operation(text)',                                     false, false, false),
      ('_html(text)', false, true, true),
      ('_style()', false, true, true),
      ('_bars(bigint[],bigint[],integer,integer)', false, true, true),
      ('_curve(text,double precision[],double precision,integer,integer)', false, true, true),
      ('_frame(text,text,timestamp with time zone,timestamp with time zone,integer,integer)', false, true, true),
      ('_report_cards(timestamp with time zone)', false, true, true),
      ('_report_errors(timestamp with time zone)', false, true, true),
      ('_report_charts(timestamp with time zone,timestamp with time zone)', false, true, true),
      ('_report_endpoints(timestamp with time zone,timestamp with time zone)', false, true, true),
      ('_report_failures(timestamp with time zone)', false, true, true),
      ('_short_time(double precision)', false, true, true),
      ('_uuid_at(timestamp with time zone)', false, true, true),
      ('_stat_database()',                                           false, true,  false),
      ('_storage()',                                                 false, true,  false),
      ('_stat_durations()',                                          false, true,  false),
      ('_stat_endpoints()',                                          false, true,  false),
      ('_status()',                                                  false, true,  false),
      ('_trigger_arguments(bytea,smallint)',                         false, true,  false),
      ('_watch(regclass,text,text,text,text,text,text,text)',        false, false, false),
      ('_watch_name(text,text)',                                     false, false, false),
      ('_watch_option(text[],text)',                                 false, true,  false),
      ('_watch_problem(regclass,name,text[],smallint,boolean)',      false, true,  false),
      ('_watch_triggers(regclass,text,text)',                        false, false, false),
      ('_workers()',                                                 false, true,  false))
      as internal(object, is_for_all, is_for_observers, is_for_tenants);

--
-- What is there
--

create temporary table object as
select c.relname::text as name, c.oid, 'pg_class'::regclass as class,
       false as is_definer, c.relname like '\_%' as is_internal
  from pg_class c
 where c.relnamespace = 'webhook'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
   and not c.relispartition and c.relkind <> 'S'
union all
select case when p.proname = 'create_endpoint' then p.proname::text
            else p.proname || regexp_replace(p.oid::regprocedure::text, '^[^(]*', '') end,
       p.oid, 'pg_proc', p.prosecdef, p.proname like '\_%'
  from pg_proc p
 where p.pronamespace = 'webhook'::regnamespace;

create function pg_temp.privileges(role name, class regclass, object oid) returns text
language sql as $$
    select case
        when class = 'pg_proc'::regclass then
            case when has_function_privilege(role, object, 'execute') then 'X' else '' end
        else
            (select string_agg(case when has_table_privilege(role, object, privilege) then letter
                                    when letter = 'r' and has_any_column_privilege(role, object, 'select') then 'c'
                                    when letter in ('a', 'w', 'x')
                                     and has_any_column_privilege(role, object, privilege) then '?' else '' end,
                               '' order by n)
               from unnest('{select,insert,update,delete,truncate,references,trigger}'::text[],
                           '{r,a,w,d,D,x,t}'::text[]) with ordinality as p(privilege, letter, n))
    end
$$;

select is_empty(
    $$select name from object where not is_internal except select object from matrix$$,
    'every object has a row in the matrix');
select is_empty($$select object from matrix except select name from object$$,
                'every row of the matrix is about an object');
select is_empty(
    $$select name, role from object, unnest('{publisher,observer,manager,tenant,nobody}'::text[]) as role
       where is_internal and not exists (select from matrix m where m.object = name)
         and pg_temp.privileges(('regress_webhook_' || role)::name, class, oid) <> ''$$,
    'internal objects are for nobody, unless they have a row');

select is(pg_temp.privileges(('regress_webhook_' || role)::name, class, oid), wanted,
          format('%s: %s', object, role))
  from matrix
  join object on name = matrix.object
 cross join lateral (values ('publisher', publisher), ('observer', observer),
                            ('manager', manager), ('tenant', tenant), ('nobody', '')) as e(role, wanted)
 order by object, role;

--
-- What a tenant reaches of another organization
--

select endpoint_id as endpoint
  from webhook.create_endpoint('org_1', 'https://hooks.example.com/x',
                               headers => '{"Authorization": "Bearer 1"}') \gset
select webhook.emit('review.created', 'org_1', '{}') as event \gset
insert into webhook.attempt (event_id, endpoint_id, started_at, delivery_created_at, duration,
                             attempt, organization_id, url, outcome)
values (:'event', :endpoint, now(), now(), '1s', 1, 'org_1', 'https://hooks.example.com/x', 'failed');
insert into webhook.failing values (:endpoint, now());
insert into webhook.operation (kind, endpoint_id, started_at, total) values ('recover', :endpoint, now(), 1);
insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
values (:'event', :endpoint, now(), 'infinity', webhook._origin());

create function pg_temp.result(who name, statement text) returns text
language plpgsql as $$
declare
    value text;
begin
    perform set_config('role', who, true);
    execute statement into value;
    raise exception using errcode = 'ZZ000', message = value;
exception when others then
    return case sqlstate when 'ZZ000' then sqlerrm else sqlstate end;
end
$$;

select is_empty(
    $$select m.object from matrix m join object o on o.name = m.object
       where m.tenant <> '' and m.probe is null and (o.is_definer or not o.is_internal)$$,
    'whatever a tenant may use is tried, unless it is internal and runs as himself');
select is(pg_temp.result('regress_webhook_tenant',
              replace(replace(probe, '$1', :'endpoint'), '$2', :'event')),
          expected, format('%s: a tenant and another organization', object))
  from matrix
 where probe is not null;
select isnt(pg_temp.result('regress_webhook_manager',
                replace(replace(probe, '$1', :'endpoint'), '$2', :'event')),
            expected, format('%s: others can', object))
  from matrix
 where manager <> '' and probe is not null
   and object not in ('event_type', 'verify(text,text,text)', 'version()', 'redeliver(uuid,bigint)',
                      'test(bigint,text)');

--
-- Rights that functions lend
--

select is_empty(
    $$select p.oid::regprocedure
        from pg_proc p
        join pg_roles r on r.oid = p.proowner
       where p.pronamespace = 'webhook'::regnamespace and p.prosecdef
         and (r.rolsuper or r.rolcanlogin or r.rolname <> 'webhook'
              or not coalesce(p.proconfig @> '{"search_path=pg_catalog, pg_temp"}', false))$$,
    'a security definer function: pinned search_path, and an owner without power');
select is_empty(
    $$select p.oid::regprocedure
        from pg_proc p
        join pg_language l on l.oid = p.prolang
       where p.pronamespace = 'webhook'::regnamespace
         and l.lanname <> 'c' and p.prosqlbody is null
         and p.prokind <> 'p'   -- it commits, and so can set nothing
         and not coalesce(p.proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)$$,
    'a function whose names are looked up when it runs: pinned search_path');
select is_empty(
    $$select c.oid::regclass
        from pg_class c
       where c.relnamespace = 'webhook'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
         and not c.relrowsecurity
         and exists (select from pg_attribute a
                      where a.attrelid = c.oid and a.attname in ('organization_id', 'endpoint_id')
                        and not a.attisdropped)
         and c.relname not in ('access', 'cancel_request', 'endpoint_secret', 'operation')$$,
    'a table with rows of organizations: row-level security');
select is_empty(
    $$select c.oid::regclass
        from pg_class c
       where c.relnamespace = 'webhook'::regnamespace and c.relkind = 'v'
         and has_table_privilege('regress_webhook_tenant', c.oid, 'select')
         and not coalesce(c.reloptions @> '{security_barrier=true}', false)$$,
    'a view that tenants read: a security barrier');
select is_empty(
    $$select c.oid::regclass from pg_class c
       where c.relnamespace = 'webhook'::regnamespace and c.relforcerowsecurity$$,
    'row-level security never holds for the owner, as whom workers run');

select * from finish();
rollback;
