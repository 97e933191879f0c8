-- Progress of what takes long: recover, replay, drain.

create function webhook._undelivered() returns bigint
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select webhook._waiting_events()
           + (select count(*) from webhook.queue q
               where not exists (select from webhook.endpoint t
                                  where t.id = q.endpoint_id and t.status = 'paused'));
end;
comment on function webhook._undelivered() is
    'Internal: events that were not taken and deliveries that have not ended, without what waits for paused endpoints';

create function webhook._progress(out kind text, out endpoint_id bigint, out started_at timestamptz,
    out total bigint, out done bigint, out remaining bigint, out rate numeric, out estimated_end timestamptz)
returns setof record
language sql stable security definer set search_path to pg_catalog, pg_temp
-- definer: the queue is not granted; shows what its caller may act for
begin atomic
    with queued as materialized (       -- read once, however many operations there were
        select q.endpoint_id, q.created_at, count(*) as number
          from webhook.queue q
         where q.created_at in (select o.started_at from webhook.operation o where o.kind <> 'drain')
         group by 1, 2),
    operation as (
        select o.kind, o.endpoint_id, o.started_at, o.total,
               case o.kind when 'drain' then webhook._undelivered() else coalesce(q.number, 0) end as remaining
          from webhook.operation o
          left join queued q on q.endpoint_id = o.endpoint_id and q.created_at = o.started_at
         -- Who drains is in a transaction, and who is not was interrupted.
         where (o.kind <> 'drain'
                or o.pid <> pg_backend_pid()
                   and exists (select from pg_locks l where l.pid = o.pid and l.locktype = 'virtualxid'))
           and webhook._has_access((select t.organization_id from webhook.endpoint t where t.id = o.endpoint_id))),
    measured as (
        select o.*, greatest(o.total - o.remaining, 0) as done,
               greatest(o.total - o.remaining, 0)
               / extract(epoch from greatest(clock_timestamp() - o.started_at, interval '1 ms')) as rate
          from operation o)
    select m.kind, m.endpoint_id, m.started_at, m.total, m.done, m.remaining,
           case when m.remaining > 0 then round(m.rate, 1) end,
           case when m.remaining > 0 and m.rate > 0
                then clock_timestamp() + least(m.remaining / m.rate, 1e9) * interval '1 s' end
      from measured m;
end;
comment on function webhook._progress() is 'Internal: the rows of webhook.progress';

create view webhook.progress with (security_barrier) as select * from webhook._progress();
comment on view webhook.progress is 'One row per recover and replay of the last day, and per drain that is running: how far it has come';
comment on column webhook.progress.kind is 'recover, replay or drain';
comment on column webhook.progress.endpoint_id is 'Endpoint whose deliveries were queued; NULL for a drain';
comment on column webhook.progress.started_at is 'When it began';
comment on column webhook.progress.total is 'Deliveries that it queued, or that waited when a drain began';
comment on column webhook.progress.done is 'Those of them that have ended';
comment on column webhook.progress.remaining is 'Those that have not; of a drain, all that waits now';
comment on column webhook.progress.rate is 'Deliveries ended per second since it began; NULL when none remain';
comment on column webhook.progress.estimated_end is 'When none will remain at this rate; NULL when none remain, or none has ended yet';

create function webhook._drain_begin() returns bigint
language sql volatile security definer set search_path to pg_catalog, pg_temp
-- definer: operations are not granted
begin atomic
    select webhook._check_writable('webhook.drain()');
    delete from webhook.operation o where o.kind = 'drain' and o.pid = pg_backend_pid();    -- interrupted
    insert into webhook.operation (kind, started_at, total)
    values ('drain', clock_timestamp(), webhook._undelivered())
    returning id;
end;
comment on function webhook._drain_begin() is 'Internal: show this session''s drain in webhook.progress; returns its id';

create function webhook._drain_end(operation_id bigint) returns void
language sql volatile security definer set search_path to pg_catalog, pg_temp
-- definer: operations are not granted
begin atomic
    delete from webhook.operation o where o.id = operation_id and o.kind = 'drain' and o.pid = pg_backend_pid();
end;
comment on function webhook._drain_end(bigint) is 'Internal: no longer show a drain of this session';

create function webhook._drain_look(operation_id bigint, timeout interval,
    out is_done boolean, out is_late boolean, out message text, out problem text)
language sql stable security definer set search_path to pg_catalog, pg_temp
-- definer: counts the queue and the outbox
begin atomic
    select l.remaining = 0, clock_timestamp() - o.started_at >= timeout,
           format('%s remaining, %s done', l.remaining, greatest(o.total - l.remaining, 0))
           || coalesce(', ' || nullif(l.paused, 0) || ' waiting for paused endpoints', ''),
           webhook._stopped()
      from webhook.operation o
     cross join (select webhook._undelivered() as remaining,
                        (select count(*) from webhook.queue q join webhook.endpoint t on t.id = q.endpoint_id
                          where t.status = 'paused') as paused) l
     where o.id = operation_id;
end;
comment on function webhook._drain_look(bigint, interval) is 'Internal: how far a drain has come, in words, and why nothing moves';

-- It commits between looks, so it can have no settings of its own: everything
-- it names is qualified, and it runs with the rights of its caller.
create procedure webhook.drain(timeout interval default '10 minutes')
language plpgsql
as $$
declare
    operation_id pg_catalog.int8;
    look         record;
    said         pg_catalog.text;
    turn         pg_catalog.int4 := 0;
    began        pg_catalog.timestamptz;
begin
    operation_id := webhook._drain_begin();
    commit;
    loop
        began := pg_catalog.clock_timestamp();
        look := webhook._drain_look(operation_id, drain.timeout);
        if look.message is distinct from said and (turn % 5 = 0 or look.is_done or look.is_late) then
            raise notice '%', pg_catalog.concat_ws('; ', look.message, look.problem);
            said := look.message;
        end if;
        exit when look.is_done or look.is_late;
        commit;
        -- Counting a million takes its time; it gets a fifth of it.
        perform pg_catalog.pg_sleep(greatest(0.2, 4 * pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - began)));
        turn := turn + 1;
    end loop;
    perform webhook._drain_end(operation_id);
    commit;
    if not look.is_done then
        raise exception 'deliveries still wait after %', drain.timeout
            using errcode = 'query_canceled', detail = look.message,
                  hint = 'See webhook.progress and webhook.status, or give it more time.';
    end if;
end
$$;
comment on procedure webhook.drain(interval) is
    'Wait until nothing waits any more but what is for paused endpoints, with NOTICEs on the way; with a NULL timeout without limit; cannot run inside a transaction block (2D000). Error: something waits after the timeout 57014';
