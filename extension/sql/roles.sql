-- Who may do what: levels of access, and the rows of a bound role.

create function webhook._privileges() returns table (level text, is_for_bound boolean, privilege text, object text)
language sql immutable parallel safe
begin atomic
    values
    ('publisher', true, 'execute', 'function webhook.emit(text, text, text, text)'),
    ('publisher', true, 'execute', 'function webhook.emit(text, text, json, text)'),
    ('publisher', true, 'execute', 'function webhook.emit(text, text, jsonb, text)'),

    ('observer', true, 'select', 'webhook.endpoint'),
    ('observer', true, 'select (endpoint_id, name)', 'webhook.endpoint_header'),
    ('observer', true, 'select', 'webhook.event'),
    ('observer', true, 'select', 'webhook.attempt'),
    ('observer', true, 'select', 'webhook.failing'),
    ('observer', true, 'select', 'webhook.delivery'),
    ('observer', true, 'select', 'webhook.delivery_log'),
    ('observer', true, 'execute', 'function webhook.explain(uuid)'),
    ('observer', true, 'execute', 'function webhook._html(text)'),
    ('observer', true, 'execute', 'function webhook._style()'),
    ('observer', true, 'execute', 'function webhook._bars(bigint[], bigint[], int, int)'),
    ('observer', true, 'execute', 'function webhook._curve(text, float8[], float8, int, int)'),
    ('observer', true, 'execute', 'function webhook._frame(text, text, timestamptz, timestamptz, int, int)'),
    ('observer', true, 'execute', 'function webhook._report_cards(timestamptz)'),
    ('observer', true, 'execute', 'function webhook._report_errors(timestamptz)'),
    ('observer', true, 'execute', 'function webhook._report_charts(timestamptz, timestamptz)'),
    ('observer', true, 'execute', 'function webhook._report_endpoints(timestamptz, timestamptz)'),
    ('observer', true, 'execute', 'function webhook._report_failures(timestamptz)'),
    ('observer', true, 'execute', 'function webhook.report(timestamptz)'),
    ('observer', true, 'execute', 'function webhook.report(interval)'),
    ('observer', true, 'execute', 'function webhook.report(text)'),
    ('observer', true, 'execute', 'function webhook._short_time(float8)'),
    ('observer', true, 'execute', 'function webhook._uuid_at(timestamptz)'),
    ('observer', true, 'select', 'webhook.progress'),
    ('observer', true, 'execute', 'function webhook._progress()'),
    ('observer', true, 'execute', 'function webhook.version()'),
    ('observer', true, 'execute', 'function webhook.verify(text, text, text)'),

    -- The database as a whole.
    ('observer', false, 'select', 'webhook.status'),
    ('observer', false, 'execute', 'function webhook._status()'),
    ('observer', false, 'execute', 'function webhook._workers()'),
    ('observer', false, 'execute', 'function webhook.check()'),
    ('observer', false, 'select', 'webhook.watches'),
    ('observer', false, 'execute', 'function webhook._broken_watches()'),
    ('observer', false, 'execute', 'function webhook._trigger_arguments(bytea, smallint)'),
    ('observer', false, 'execute', 'function webhook._watch_option(text[], text)'),
    ('observer', false, 'execute', 'function webhook._watch_problem(regclass, name, text[], smallint, boolean)'),
    ('observer', false, 'execute', 'function webhook._check_watch(regclass, name, text[], smallint, boolean, boolean)'),
    ('observer', false, 'execute', 'function webhook._is_plain_table(regclass)'),
    ('observer', false, 'select', 'webhook.stat_database'),
    ('observer', false, 'select', 'webhook.stat_endpoint'),
    ('observer', false, 'execute', 'function webhook._stat_database()'),
    ('observer', false, 'execute', 'function webhook._stat_endpoints()'),
    ('observer', false, 'execute', 'function webhook._stat_durations()'),
    ('observer', false, 'select', 'webhook.dashboard'),
    ('observer', false, 'select', 'webhook.storage'),
    ('observer', false, 'execute', 'function webhook._storage()'),
    ('observer', false, 'execute', 'function webhook._dashboard()'),
    ('observer', false, 'execute', 'function webhook.openmetrics()'),
    ('observer', false, 'execute', 'function webhook._metrics()'),
    ('observer', false, 'execute', 'procedure webhook.drain(interval)'),
    ('observer', false, 'execute', 'function webhook._drain_begin()'),
    ('observer', false, 'execute', 'function webhook._drain_end(bigint)'),
    ('observer', false, 'execute', 'function webhook._drain_look(bigint, interval)'),

    ('manager', true, 'insert, update, delete', 'webhook.organization'),
    ('manager', true, 'delete', 'webhook.endpoint'),
    ('manager', false, 'insert, update', 'webhook.endpoint'),
    -- Not the id: who could choose that of a deleted endpoint would get what is
    -- left of its deliveries, and could stand in the way of ids to come.
    ('bound manager', true, replace('insert (*), update (*)', '*',
        'organization_id, name, url, events, description, status, disabled_reason, '
        'retry_schedule, timeout, created_at, max_in_flight, rate_limit'), 'webhook.endpoint'),
    ('manager', true, 'insert, update, delete', 'webhook.endpoint_header'),
    ('manager', true, 'execute', 'function webhook.set_organization(text, text)'),
    ('manager', true, 'execute', 'function webhook.create_endpoint(text, text, text[], text, text, text, interval[], interval, int, numeric, json)'),
    ('manager', true, 'execute', 'function webhook.secret(bigint)'),
    ('manager', true, 'execute', 'function webhook.rotate_secret(bigint, interval, text)'),
    ('manager', true, 'execute', 'function webhook.test(bigint, text)'),
    ('manager', true, 'execute', 'function webhook.redeliver(uuid, bigint)'),
    ('manager', true, 'execute', 'function webhook.recover(bigint, timestamptz, timestamptz, text)'),
    ('manager', true, 'execute', 'function webhook.replay(bigint, timestamptz, timestamptz)'),
    ('manager', true, 'execute', 'function webhook.cancel(uuid, bigint)'),
    ('manager', true, 'execute', 'function webhook.preview(bigint, text, text)'),
    ('manager', true, 'execute', 'function webhook.preview(bigint, text, json)'),
    ('manager', true, 'execute', 'function webhook.preview(bigint, text, jsonb)'),
    ('manager', true, 'execute', 'function webhook.forget(uuid)'),
    ('manager', true, 'execute', 'function webhook.forget(text)'),
    -- What the checks of an endpoint, which run as the manager, need.
    ('manager', true, 'execute', 'function webhook._is_restoring()'),
    ('manager', true, 'execute', 'function webhook._next_xid()'),
    ('manager', true, 'execute', 'function webhook._hold_organization(text)'),
    ('manager', true, 'execute', 'function webhook._check_url(text)'),
    ('manager', true, 'execute', 'function webhook._check_events(text[])'),
    ('manager', true, 'execute', 'function webhook._check_limits(webhook.endpoint)'),
    ('manager', true, 'execute', 'function webhook._check_schedule(interval[])'),
    ('manager', true, 'execute', 'function webhook._is_schedule(interval[])'),
    ('manager', true, 'execute', 'function webhook._nearest(text, text[])'),
    ('manager', true, 'execute', 'function webhook._operational_events()'),

    ('manager', false, 'insert, update, delete', 'webhook.event_type'),
    ('manager', false, 'execute', 'function webhook.stat_reset()'),
    ('manager', false, 'execute', 'function webhook.watch(regclass, text, text, text, text, text, text)'),
    ('manager', false, 'execute', 'function webhook.unwatch(regclass, text, text)'),
    ('manager', false, 'execute', 'function webhook.emit_row()'),
    ('manager', false, 'execute', 'function webhook._watch(regclass, text, text, text, text, text, text, text)'),
    ('manager', false, 'execute', 'function webhook._make_watch(regclass, text, text, text[], text, text[], smallint)'),
    ('manager', false, 'execute', 'function webhook._execute_under(text, text)'),
    ('manager', false, 'execute', 'function webhook._parse_operation(text)'),
    ('manager', false, 'execute', 'function webhook._check_source(regclass, text[])'),
    ('manager', false, 'execute', 'function webhook._watch_name(text, text)'),
    ('manager', false, 'execute', 'function webhook._watch_triggers(regclass, text, text)'),

    ('any', true, 'usage', 'schema webhook'),
    ('any', true, 'select', 'webhook.event_type'),
    ('any', true, 'select', 'webhook.organization'),
    ('any', true, 'execute', 'function webhook._has_access(text, text)'),
    -- Who may read this acts for all organizations: see access.c.
    ('any', false, 'select', 'webhook.access');
end;
comment on function webhook._privileges() is 'Internal: what grant_access grants: a manager gets what an observer gets, all get any; is_for_bound: also roles bound to an organization, which get bound levels besides';

create function webhook._check_grantee(role regrole) returns void
language plpgsql stable strict set search_path to pg_catalog, pg_temp
as $$
begin
    -- A regrole may be any number.
    if not exists (select from pg_roles r where r.oid = role) then
        raise exception 'role with OID % does not exist', role::oid using errcode = 'undefined_object';
    end if;
end
$$;
comment on function webhook._check_grantee(regrole) is 'Internal: raise 42704 unless there is such a role';

create function webhook._bind(role regrole, organization_id text) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    bound_to text;
    rolname  constant name := (select r.rolname from pg_roles r where r.oid = role);
begin
    select a.organization_id into bound_to from webhook.access a where a.role = _bind.role;
    if bound_to <> organization_id or (bound_to is not null and organization_id is null) then
        raise exception 'role "%" is bound to organization "%"', rolname, bound_to
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Take that back first: select webhook.revoke_access(%L)', role);
    end if;
    if organization_id is null or bound_to is not null then
        return;
    end if;
    if exists (select from pg_roles r where r.oid = role and r.rolsuper)
       or exists (select from pg_class c, aclexplode(c.relacl) g
                   where c.oid = 'webhook.access'::regclass and g.privilege_type = 'SELECT'
                     and (g.grantee = 0 or pg_has_role(role, g.grantee, 'usage'))) then
        raise exception 'role "%" may act for all organizations', rolname
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Take that back first: select webhook.revoke_access(%L)', role);
    end if;
    if not exists (select from webhook.organization o where o.id = _bind.organization_id) then
        raise exception 'unknown organization "%"', organization_id
            using errcode = 'foreign_key_violation',
                  hint = format('Record it first: select webhook.set_organization(%L, ''its name'')', organization_id);
    end if;
    insert into webhook.access (role, organization_id) values (_bind.role, _bind.organization_id);
end
$$;
comment on function webhook._bind(regrole, text) is 'Internal: bind a role to an organization, or see that it is bound to none when that is NULL; raises 55000, 23503';

create function webhook.grant_access(role regrole, level text, organization_id text default null) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    given record;
begin
    if level is null or level not in ('publisher', 'manager', 'observer') then
        raise exception 'unknown access level "%"', coalesce(level, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Use publisher, manager or observer.';
    end if;
    if role is null then
        raise exception 'the role to grant access to must not be null' using errcode = 'null_value_not_allowed';
    end if;
    perform webhook._check_grantee(role);
    -- Workers attach partitions, which changes the same catalogue rows.
    lock table webhook.event, webhook.attempt in share update exclusive mode;
    perform webhook._bind(role, organization_id);
    for given in
        select p.privilege, p.object
          from webhook._privileges() p
         where p.level in ('any', grant_access.level, case grant_access.level when 'manager' then 'observer' end,
                           case when grant_access.organization_id is not null then 'bound ' || grant_access.level end)
           and (p.is_for_bound or grant_access.organization_id is null)
    loop
        execute format('grant %s on %s to %s', given.privilege, given.object, role);
    end loop;
end
$$;
comment on function webhook.grant_access(regrole, text, text) is
    'Let a role emit (publisher), look (observer), or look and change endpoints, organizations and event types (manager), for all organizations or bound to one of them; run by a superuser or a member of role webhook. Errors: NULL role 22004, unknown role 42704, unknown level 22023, unknown organization 23503, bound to another or to none 55000';

create function webhook._grant_monitoring() returns void
language sql set search_path to pg_catalog, pg_temp
as $$
    grant select on webhook.stat_database, webhook.stat_endpoint, webhook.dashboard, webhook.storage to pg_monitor;
    grant execute on function webhook._stat_database(), webhook._stat_endpoints(), webhook._stat_durations() to pg_monitor;
    grant execute on function webhook._dashboard(), webhook._storage(), webhook.openmetrics(), webhook._metrics() to pg_monitor;
$$;
comment on function webhook._grant_monitoring() is 'Internal: let the server''s own monitoring role see numbers without payloads';

create function webhook.revoke_access(role regrole) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    if role is null then
        raise exception 'the role to revoke access from must not be null' using errcode = 'null_value_not_allowed';
    end if;
    perform webhook._check_grantee(role);
    lock table webhook.event, webhook.attempt in share update exclusive mode;
    execute format('revoke all on all tables in schema webhook from %s', role);
    execute format('revoke all on all routines in schema webhook from %s', role);
    execute format('revoke all on schema webhook from %s', role);
    delete from webhook.access a where a.role = revoke_access.role;
    if role = 'pg_monitor'::regrole then
        perform webhook._grant_monitoring();    -- grant_access did not give that
    end if;
end
$$;
comment on function webhook.revoke_access(regrole) is 'Take back what grant_access gave to a role, and what bound it to an organization. Errors: NULL role 22004, unknown role 42704';

-- Rows of a bound role.  The owner, as whom workers and our security definer
-- functions run, passes by.

alter table webhook.organization enable row level security;
alter table webhook.endpoint enable row level security;
alter table webhook.endpoint_header enable row level security;
alter table webhook.endpoint_secret enable row level security;   -- no policy: not even for who reads all tables
alter table webhook.event enable row level security;
alter table webhook.attempt enable row level security;
alter table webhook.queue enable row level security;
alter table webhook.failing enable row level security;
alter table webhook.idempotency_key enable row level security;

create policy own on webhook.organization using (webhook._has_access(id));
create policy own on webhook.endpoint using (webhook._has_access(organization_id));
create policy own on webhook.event using (webhook._has_access(organization_id));
create policy own on webhook.attempt using (webhook._has_access(organization_id));
create policy own on webhook.idempotency_key using (webhook._has_access(organization_id));
-- These belong to an endpoint, whose own policy decides.
create policy own on webhook.endpoint_header
    using (exists (select from webhook.endpoint t where t.id = endpoint_header.endpoint_id));
create policy own on webhook.queue
    using (exists (select from webhook.endpoint t where t.id = queue.endpoint_id));
create policy own on webhook.failing
    using (exists (select from webhook.endpoint t where t.id = failing.endpoint_id));
