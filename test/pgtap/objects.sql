-- What users rely on is there under its name: tables, columns, functions,
-- views and settings of the contract.
begin;
select no_plan();

create function pg_temp.signature_of(function regprocedure) returns text
language sql
return (select format('%s(%s) returns %s', oid::regproc,
                      pg_get_function_arguments(oid),
                      pg_get_function_result(oid))
          from pg_proc where oid = function);

--
-- Tables and views
--

select has_schema('webhook');
select has_table('webhook', name, 'table ' || name)
  from unnest('{event_type,organization,endpoint,event,queue,attempt}'::name[]) as name;
select has_view('webhook', name, 'view ' || name)
  from unnest('{delivery,delivery_log,status,storage,dashboard,stat_database,stat_endpoint}'::name[]) as name;

create temporary table expected_column (relation name, columns text);
insert into expected_column values
    ('event_type', 'name text, category text, description text, example json'),
    ('organization', 'id text, name text'),
    ('endpoint', 'id bigint, organization_id text, name text, url text,'
                 ' events text[], description text, status text,'
                 ' disabled_at timestamp with time zone, disabled_reason text,'
                 ' retry_schedule interval[], timeout interval,'
                 ' created_at timestamp with time zone,'
                 ' max_in_flight integer, rate_limit numeric'),
    ('endpoint_header', 'endpoint_id bigint, name text, value text'),
    ('event', 'id uuid, event_type text, organization_id text, payload json,'
              ' created_at timestamp with time zone'),
    ('delivery', 'event_id uuid, endpoint_id bigint, organization_id text,'
                 ' event_type text, status text, attempts integer,'
                 ' next_attempt_at timestamp with time zone,'
                 ' created_at timestamp with time zone,'
                 ' completed_at timestamp with time zone'),
    ('attempt', 'event_id uuid, endpoint_id bigint, attempt integer,'
                ' started_at timestamp with time zone, duration interval,'
                ' url text, request_headers text, response_status integer,'
                ' response_headers text, response_body text,'
                ' response_truncated boolean, error text, error_class text,'
                ' is_redelivery boolean'),
    ('delivery_log', 'created_at timestamp with time zone, event_type text,'
                     ' organization_id text, endpoint_id bigint, url text,'
                     ' status text, attempts integer, response_status integer,'
                     ' error text, next_attempt_at timestamp with time zone,'
                     ' completed_at timestamp with time zone,'
                     ' response_body text, payload json, event_id uuid,'
                     ' is_redelivery boolean'),
    ('status', 'pid integer, state text, since timestamp with time zone,'
               ' in_flight integer, waiting_events bigint, last_error text,'
               ' last_error_at timestamp with time zone,'
               ' reason text');

select has_column('webhook', relation, name, relation || '.' || name)
       || E'\n' ||
       col_type_is('webhook', relation, name, type,
                   relation || '.' || name || ' is ' || type)
  from expected_column,
       regexp_split_to_table(columns, ',\s*') as entry,
       lateral (select split_part(entry, ' ', 1)::name as name,
                       substr(entry, strpos(entry, ' ') + 1) as type) as it;

-- delivery_log is read by people: its columns stand in this order.
select is(
    (select string_agg(format('%s %s', attname, format_type(atttypid, null)),
                       ', ' order by attnum)
       from pg_attribute
      where attrelid = 'webhook.delivery_log'::regclass),
    (select columns from expected_column where relation = 'delivery_log'),
    'delivery_log has these columns in this order');

select col_is_pk('webhook', 'event_type', 'name', 'event_type: its name is the key');
select col_is_pk('webhook', 'organization', 'id', 'organization: its id is the key');
select col_is_pk('webhook', 'endpoint', 'id', 'endpoint: its id is the key');
select is(attidentity <> '', true, 'endpoint: ids are made')
  from pg_attribute
 where attrelid = 'webhook.endpoint'::regclass and attname = 'id';
select col_default_is('webhook', 'endpoint', 'events', '{*}',
                      'endpoint: all events unless told otherwise');
select col_default_is('webhook', 'endpoint', 'status', 'enabled',
                      'endpoint: enabled unless told otherwise');
select index_is_unique('webhook', 'endpoint', 'endpoint_name',
                       'endpoint: names are unique per organization');

-- States are constraints.
create function pg_temp.allowed(relation regclass, column_name text) returns text
language sql
return (select string_agg(matched[1], ' ' order by matched[1] collate "C")
          from pg_constraint,
               regexp_matches(pg_get_constraintdef(oid),
                              '''([a-z]+)''::text', 'g') as matched
         where conrelid = relation
           and pg_get_constraintdef(oid) ~ ('\(' || column_name || ' = ANY'));
select is(pg_temp.allowed('webhook.endpoint', 'status'),
          'disabled enabled paused', 'endpoint.status: its values');
select is(pg_temp.allowed('webhook.attempt', 'error_class'),
          'blocked cancelled connect dns http internal interrupted protocol'
          ' timeout tls', 'attempt.error_class: its values');

-- Parents of partitions: no key and no index, as a dump needs it.
select is(relkind::text, 'p', relname || ' is partitioned')
       || E'\n' || hasnt_pk('webhook', relname, relname || ' has no key')
       || E'\n' || is(relhasindex, false, relname || ' has no index')
  from pg_class
 where oid in ('webhook.event'::regclass, 'webhook.attempt'::regclass);
select is(count(*), 0::bigint, 'no foreign keys between our tables')
  from pg_constraint
 where contype = 'f' and connamespace = 'webhook'::regnamespace;

--
-- Functions
--

create temporary table expected_function (arguments text, signature text);
insert into expected_function values
    ('set_organization(text, text)',
     'webhook.set_organization(id text, name text) returns void'),
    ('secret(bigint)', 'webhook.secret(endpoint_id bigint) returns text'),
    ('rotate_secret(bigint, interval, text)',
     'webhook.rotate_secret(endpoint_id bigint,'
     ' overlap interval DEFAULT ''24:00:00''::interval,'
     ' secret text DEFAULT NULL::text) returns text'),
    ('emit(text, text, text, text)',
     'webhook.emit(event text, organization_id text, data text,'
     ' idempotency_key text DEFAULT NULL::text) returns uuid'),
    ('emit(text, text, json, text)',
     'webhook.emit(event text, organization_id text, data json,'
     ' idempotency_key text DEFAULT NULL::text) returns uuid'),
    ('emit(text, text, jsonb, text)',
     'webhook.emit(event text, organization_id text, data jsonb,'
     ' idempotency_key text DEFAULT NULL::text) returns uuid'),
    ('test(bigint, text)',
     'webhook.test(endpoint_id bigint, event text DEFAULT ''webhook.test''::text,'
     ' OUT status integer, OUT duration interval, OUT response_body text,'
     ' OUT error text, OUT error_class text) returns record'),
    ('redeliver(uuid, bigint)',
     'webhook.redeliver(event_id uuid, endpoint_id bigint) returns integer'),
    ('verify(text, text, text)',
     'webhook.verify(payload text, signature text, secret text) returns boolean'),
    ('version()',
     'webhook.version(OUT library text, OUT extension text, OUT libcurl text,'
     ' OUT openssl text) returns record'),
    ('explain(uuid)',
     'webhook.explain(event_id uuid, OUT endpoint_id bigint, OUT verdict text,'
     ' OUT explanation text, OUT url text) returns SETOF record'),
    ('forget(uuid)', 'webhook.forget(event_id uuid) returns bigint'),
    ('forget(text)', 'webhook.forget(organization_id text) returns bigint'),
    ('report(text)',
     'webhook.report(since text DEFAULT ''24 hours''::text) returns text'),
    ('openmetrics()', 'webhook.openmetrics() returns text'),
    ('stat_reset()', 'webhook.stat_reset() returns void'),
    ('adopt()', 'webhook.adopt() returns bigint');

set local intervalstyle = postgres;
select is(pg_temp.signature_of(to_regprocedure('webhook.' || arguments)),
          signature, 'function ' || arguments)
  from expected_function;

-- create_endpoint may grow arguments at its end: the first six are fixed.
select is(
    (select string_agg(name || ' ' || format_type(type, null), ', ' order by n)
       from pg_proc,
            unnest(proargnames, proallargtypes, proargmodes)
                with ordinality as a(name, type, mode, n)
      where oid = 'webhook.create_endpoint'::regproc
        and mode in ('i', 'b') and n <= 7),
    'organization_id text, url text, events text[], description text,'
    ' name text, secret text',
    'function create_endpoint: its arguments');
select is(
    (select string_agg(name || ' ' || format_type(type, null), ', ' order by n)
       from pg_proc,
            unnest(proargnames, proallargtypes, proargmodes)
                with ordinality as a(name, type, mode, n)
      where oid = 'webhook.create_endpoint'::regproc and mode in ('o', 'b')),
    'endpoint_id bigint, secret text',
    'function create_endpoint: its result');
select is(pronargs - pronargdefaults::int, 2,
          'function create_endpoint: organization and URL are enough')
  from pg_proc
 where oid = 'webhook.create_endpoint'::regproc;

-- access and its revocation start like this, and may take more.
select ok(pg_temp.signature_of(oid) ~ '^webhook\.grant_access\(role regrole, level text',
          'function grant_access')
  from pg_proc where oid = 'webhook.grant_access'::regproc;
select is(pg_temp.signature_of('webhook.revoke_access(regrole)'),
          'webhook.revoke_access(role regrole) returns void',
          'function revoke_access');

select volatility_is('webhook', 'verify', '{text,text,text}'::name[], 'immutable',
                     'verify can be used in a constraint');

--
-- Settings
--

create temporary table expected_setting
    (name text, boot text, unit text, least text, most text);
insert into expected_setting values
    ('allow_addresses', '', null, null, null),
    ('allow_http', 'off', null, null, null),
    ('ca_file', '', null, null, null),
    ('disable_after', '432000', 's', '0', '2147483647'),
    ('enabled', 'on', null, null, null),
    ('header_prefix', 'X-Jasper', null, null, null),
    ('instance', '', null, null, null),
    ('organization', '', null, null, null),
    ('log_headers', 'failed', null, null, null),
    ('max_in_flight', '500', null, '1', '10000'),
    ('max_in_flight_per_endpoint', '64', null, '1', '10000'),
    ('payload_limit', '1048576', 'B', '1024', '67108864'),
    ('response_body_limit', '16384', 'B', '0', '1048576'),
    ('retention', '43200', 'min', '60', '2147483647'),
    ('retry_schedule', '1s, 10s, 60s', null, null, null),
    ('timeout', '30000', 'ms', '1', '3600000'),
    ('workers', '1', null, '1', '32');

select is(row(s.boot_val, s.unit, s.min_val, s.max_val)::text,
          row(e.boot, e.unit, e.least, e.most)::text,
          format('setting webhook.%s: default, unit, limits', e.name))
  from expected_setting e
  left join pg_settings s on s.name = 'webhook.' || e.name
 order by e.name;
select is(s.context, case s.name when 'webhook.organization' then 'user' else 'sighup' end,
          s.name || ' follows a reload, or is a session''s')
       || E'\n' || isnt(s.short_desc, null, s.name || ' is described')
  from pg_settings s
 where s.name like 'webhook.%'
 order by s.name;
select is((select array_agg(name order by name collate "C") from pg_settings
            where name like 'webhook.%'),
          (select array_agg('webhook.' || name order by name collate "C")
             from expected_setting),
          'settings: no others');
select is(enumvals, '{failed,all}', 'webhook.log_headers: its values')
  from pg_settings
 where name = 'webhook.log_headers';

-- What decides whom we talk to is shown to superusers only.
create role regress_webhook_reader;
create function pg_temp.settings_seen_by(role name) returns text
language plpgsql as $$
declare
    seen text;
begin
    perform set_config('role', role, true);
    select string_agg(name, ' ' order by name collate "C") into seen
      from pg_settings where name like 'webhook.%';
    perform set_config('role', 'none', true);
    return seen;
end
$$;
select is(pg_temp.settings_seen_by('regress_webhook_reader'),
          (select string_agg('webhook.' || name, ' ' order by name collate "C")
             from expected_setting
            where name not in ('allow_addresses', 'allow_http', 'ca_file')),
          'settings of security are not shown to everybody');

select * from finish();
rollback;
