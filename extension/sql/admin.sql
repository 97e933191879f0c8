-- Installation, copies.

create function webhook.version(out library text, out extension text, out libcurl text, out openssl text)
returns record
language c stable strict as 'MODULE_PATHNAME', 'webhook_version';
comment on function webhook.version() is 'Versions of the loaded library, of the installed SQL objects, of libcurl and of its TLS library';

create function webhook._workers(out database oid, out index int, out pid int, out state text, out since timestamptz,
    out in_flight int, out total int, out last_error text, out last_error_at timestamptz,
    out awaits_standby boolean)
returns setof record
language c stable strict as 'MODULE_PATHNAME', 'webhook_workers';
comment on function webhook._workers() is 'Internal: the workers of this database as shared memory knows them; no rows when the library was not preloaded';

create function webhook._trouble(last_error text, last_error_at timestamptz, since timestamptz) returns text
language sql immutable
return case when last_error_at >= coalesce(since, '-infinity') - interval '10 s' then last_error end;
comment on function webhook._trouble(text, timestamptz, timestamptz) is
    'Internal: the last error of a worker if it may be why it is in the state that it has been in since then; NULL for an older one';

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
    perform webhook._check_writable('webhook.adopt()');
    lock table webhook.cursor in share row exclusive mode;
    -- A cursor that was deleted: all that is visible counts as taken.
    insert into webhook.cursor (origin, shards, low)
    select l.origin, l.shards, case l.origin when webhook._origin() then pg_current_snapshot()
                                    else '9223372036854775807:9223372036854775807:' end
      from (select i.origin, bit_or(i.taken_shards)
                   & ~(select coalesce(bit_or(c.shards), 0) from webhook.cursor c where c.origin = i.origin)
              from webhook.identity i
             group by i.origin) as l(origin, shards)
     where l.shards <> 0;
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
    with gone as (delete from webhook.identity returning origin, taken_shards)
    insert into webhook.identity (origin, instance, taken_shards)
    select webhook._origin(), current_setting('webhook.instance'), coalesce(bit_or(g.taken_shards), 0)
      from gone g
     where g.origin = webhook._origin();
    perform webhook._announce();
    return queued + more;
end
$$;
comment on function webhook.adopt() is
    'Make this copy of a database deliver: after a restore, a clone or an upgrade workers stay silent until then, and where rows of webhook.cursor were deleted. Returns how many pending deliveries it took over';
