-- How much waits, and since when, at the cost of what waits.

create function webhook._untaken(c webhook.cursor, most bigint) returns setof uuid
language plpgsql stable set search_path to pg_catalog, pg_temp set enable_seqscan to off set enable_bitmapscan to off set jit to off
    set plan_cache_mode to force_generic_plan
-- As workers read it (queue.c): who ran when the window's ends were seen, and
-- what is beyond.  In plpgsql, which keeps the plan: making it takes longer
-- than running it, and a dashboard asks again and again.
as $$
declare
    running xid8[] := array(select pg_snapshot_xip(c.low) union select pg_snapshot_xip(c.high));
    beyond  xid8   := greatest(pg_snapshot_xmax(c.low), c.position_xid, '0');
begin
    return query
        select e.id
          from unnest(running) as r(xid)
          join webhook.event e on e.origin = c.origin and e.xid = r.xid
         where e.xid < beyond and not e.is_test and webhook._is_new(e.xid, e.id, c)
         limit most;
    return query
        select e.id
          from webhook.event e
         where e.origin = c.origin and e.xid <> '3'     -- adopted or forgotten: was taken
           and e.xid >= beyond
           and not e.is_test and webhook._is_new(e.xid, e.id, c)
         order by e.xid, e.id
         limit most;
end
$$;
comment on function webhook._untaken(webhook.cursor, bigint) is
    'Internal: events that a cursor has not read, up to a number (NULL: all); by index, so that what was taken costs nothing';

create function webhook._untaken(most bigint) returns setof uuid
language sql stable
begin atomic
    select distinct u.id
      from (select c from webhook.cursor c where c.origin = webhook._origin()
            union all
            select row(webhook._origin(), -1, null, null, null, null, null)::webhook.cursor
             where not exists (select from webhook.cursor c where c.origin = webhook._origin())) k(c)
     cross join lateral webhook._untaken(k.c, most) as u(id);
end;
comment on function webhook._untaken(bigint) is 'Internal: events that some cursor of this database has not read, up to a number for each (NULL: all)';

create function webhook._waiting_events() returns bigint
language sql stable
begin atomic
    select count(*) from webhook._untaken(null);
end;
comment on function webhook._waiting_events() is 'Internal: events that were emitted and not yet taken by every worker';

create function webhook._backlog(most bigint, out events bigint, out oldest_event timestamptz,
    out deliveries bigint, out oldest_delivery timestamptz)
returns record
language sql stable security definer set search_path to pg_catalog, pg_temp
-- definer: queue and cursors are not granted
begin atomic
    with untaken as materialized (select u.id from webhook._untaken(most) u(id))
    select (select count(*) from untaken),
           (select webhook._uuid_time(u.id) from untaken u order by u.id limit 1),
           (select count(*) from (select from webhook.queue limit most) q),
           (select webhook._uuid_time(q.event_id) from webhook.queue q order by q.event_id, q.endpoint_id limit 1);
end;
comment on function webhook._backlog(bigint) is
    'Internal: events not taken yet and deliveries not finished, counted up to a number, and since when the oldest of each waits';
