-- Installation, access, copies.

create function webhook.version(out library text, out extension text, out libcurl text, out openssl text)
returns record
language c stable strict as 'MODULE_PATHNAME', 'webhook_version';
comment on function webhook.version() is 'Versions of the loaded library, of the installed SQL objects, of libcurl and of its TLS library';

create function webhook._workers(out database oid, out index int, out pid int, out state text, out since timestamptz,
    out in_flight int, out total int, out last_error text)
returns setof record
language c stable strict as 'MODULE_PATHNAME', 'webhook_workers';
comment on function webhook._workers() is 'Internal: the workers of this database as shared memory knows them; no rows when the library was not preloaded';

create function webhook._announce() returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'webhook_announce';
comment on function webhook._announce() is 'Internal: this database has the extension: start its workers after commit; false when the library was not preloaded';

create function webhook.adopt() returns bigint
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: queue, cursors and identity are not granted
as $$
declare
    queued bigint := 0;
    more   bigint;
begin
    lock table webhook.cursor in share row exclusive mode;
    -- What was emitted elsewhere and never taken: once, under its own cursor.
    insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
    select e.id, t.id, clock_timestamp(), clock_timestamp(), webhook._origin()
      from webhook.event e
      join webhook.endpoint t on t.organization_id = e.organization_id
     where e.origin <> webhook._origin() and not e.is_test
       and e.xid <> '3'     -- adopted there: was taken
       and t.status <> 'disabled' and t.created_at <= e.created_at
       and webhook._subscribes(t.events, e.event_type)
       and not exists (select from webhook.cursor c
                        where c.origin = e.origin
                          and ((1::bigint << (t.id & 63)::int) & c.shards) <> 0
                          and not webhook._is_new(e.xid, e.id, c))
    on conflict do nothing;
    get diagnostics queued = row_count;
    update webhook.queue set origin = webhook._origin(),
           next_attempt_at = coalesce(next_attempt_at, clock_timestamp())
     where origin <> webhook._origin();
    get diagnostics more = row_count;
    -- Everything of other origins is taken now.
    update webhook.event set origin = webhook._origin(), xid = '3'
     where origin <> webhook._origin();
    delete from webhook.cursor where origin <> webhook._origin();
    delete from webhook.identity;
    insert into webhook.identity (origin, instance)
    values (webhook._origin(), current_setting('webhook.instance'));
    perform webhook._announce();
    return queued + more;
end
$$;
comment on function webhook.adopt() is
    'Make this copy of a database deliver: after a restore, a clone or an upgrade workers stay silent until then. Returns how many pending deliveries it took over';

create function webhook.grant_access(role regrole, level text) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    -- Workers attach partitions, which changes the same catalogue rows.
    lock table webhook.event, webhook.attempt in share update exclusive mode;
    if level not in ('publisher', 'manager', 'observer') then
        raise exception 'unknown access level "%"', level
            using errcode = 'invalid_parameter_value', hint = 'Use publisher, manager or observer.';
    end if;
    execute format('grant usage on schema webhook to %s', role);
    if level = 'publisher' then
        execute format('grant execute on function webhook.emit(text, text, text, text), webhook.emit(text, text, json, text), webhook.emit(text, text, jsonb, text) to %s', role);
        execute format('grant select on webhook.event_type, webhook.organization to %s', role);
        return;
    end if;
    execute format('grant select (endpoint_id, name) on webhook.endpoint_header to %s', role);
    execute format('grant select on webhook.event_type, webhook.organization, webhook.endpoint, webhook.event, webhook.attempt, webhook.failing, webhook.delivery, webhook.delivery_log, webhook.status, webhook.watches to %s', role);
    execute format('grant execute on function webhook.version(), webhook.verify(text, text, text), webhook._workers(), webhook._status(), webhook.check() to %s', role);
    execute format('grant execute on function webhook._broken_watches(), webhook._trigger_arguments(bytea, smallint), webhook._watch_option(text[], text), webhook._watch_problem(regclass, name, text[], boolean), webhook._check_watch(regclass, name, text[], boolean), webhook._is_plain_table(regclass) to %s', role);
    perform webhook._grant_insight(role, level);
    if level = 'manager' then
        execute format('grant insert, update, delete on webhook.event_type, webhook.organization, webhook.endpoint, webhook.endpoint_header to %s', role);
        execute format('grant execute on function webhook.set_organization(text, text), webhook.create_endpoint(text, text, text[], text, text, text, interval[], interval, int, numeric, json), webhook.secret(bigint), webhook.rotate_secret(bigint, interval, text), webhook.test(bigint, text), webhook.redeliver(uuid, bigint) to %s', role);
        execute format('grant execute on function webhook._check_endpoint(), webhook._is_restoring(), webhook._check_url(text), webhook._check_events(text[]), webhook._check_schedule(interval[]), webhook._nearest(text, text[]), webhook._operational_events() to %s', role);
        execute format('grant execute on function webhook.watch(regclass, text, text, text, text, text, text), webhook.unwatch(regclass, text, text), webhook.emit_row() to %s', role);
        execute format('grant execute on function webhook._watch(regclass, text, text, text, text, text, text, text), webhook._make_watch(regclass, text, text, text[], text, text[]), webhook._execute_under(text, text), webhook._parse_operation(text), webhook._check_source(regclass, text[]), webhook._watch_name(text, text), webhook._watch_triggers(regclass, text, text) to %s', role);
    end if;
end
$$;
comment on function webhook.grant_access(regrole, text) is
    'Let a role emit (publisher), look (observer), or look and change endpoints, organizations and event types (manager); run by a superuser or a member of role webhook. Error: unknown level 22023';

create function webhook.revoke_access(role regrole) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    lock table webhook.event, webhook.attempt in share update exclusive mode;
    execute format('revoke all on all tables in schema webhook from %s', role);
    execute format('revoke all on all functions in schema webhook from %s', role);
    execute format('revoke all on schema webhook from %s', role);
end
$$;
comment on function webhook.revoke_access(regrole) is 'Take back what grant_access gave to a role';
