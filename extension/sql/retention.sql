-- Retention: partitions ahead, what expires, partitions that go.

create function webhook._maintain() returns boolean
language plpgsql set search_path to pg_catalog, pg_temp
set lock_timeout to '50ms'
as $$
begin
    begin
        for ahead in 0..3 loop
            perform webhook._make_partition(clock_timestamp() + ahead * webhook._retention() / 6);
        end loop;
    exception when lock_not_available or deadlock_detected then
        return false;   -- an emitter makes the first one: come back soon
    end;
    -- A block of its own: partitions ahead stay when a lock is in the way of this.
    begin
        delete from webhook.operation
         where started_at < clock_timestamp() - interval '1 day';
        -- What is much comes in turns, and dropping last: its locks are short.
        return webhook._expire_keys(10000) < 10000 and webhook._expire_waiting(10000) < 10000
           and coalesce(webhook._drop_expired() = 0, false);
    exception when lock_not_available or deadlock_detected then
        return false;
    end;
end
$$;
comment on function webhook._maintain() is 'Internal: partitions ahead, retention; run by a worker every ten minutes; false when it should run again soon';

create function webhook._expire_keys(at_most int) returns bigint
language sql set search_path to pg_catalog, pg_temp
begin atomic
    with expired as (
        delete from webhook.idempotency_key k
         where (k.organization_id, k.key) in (
                   select o.organization_id, o.key from webhook.idempotency_key o
                    where o.created_at < now() - webhook._retention()
                    order by o.created_at
                    limit at_most for update skip locked)
        returning 1)
    select count(*) from expired;
end;
comment on function webhook._expire_keys(int) is 'Internal: delete idempotency keys older than webhook.retention; returns how many';

create function webhook._expire_waiting(at_most int) returns bigint
language sql set search_path to pg_catalog, pg_temp
begin atomic
    with expired as (
        delete from webhook.queue q
         where (q.event_id, q.endpoint_id) in (
                   select o.event_id, o.endpoint_id from webhook.queue o
                    where o.event_id < webhook._uuid_at(now() - webhook._retention())
                      and o.next_attempt_at is not null
                    limit at_most for update skip locked)
        returning q as row),
    logged as (
        insert into webhook.attempt
        select a.* from expired x, webhook._cancellation(x.row, 'expired: the event is older than webhook.retention') a)
    select count(*) from expired;
end;
comment on function webhook._expire_waiting(int) is 'Internal: end deliveries that still wait when their event is older than webhook.retention, as cancelled; returns how many';

create function webhook._drop_expired() returns int
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    part   record;
    reason text;
begin
    for part in
        select p.name, a.name as attempts, p.from_at, p.to_at
          from webhook._partitions('webhook.event') p
          join webhook._partitions('webhook.attempt') a using (from_at, to_at)
         where p.to_at < clock_timestamp() - webhook._retention()
           and not exists (select from pg_class c
                            where c.relname in (p.name, a.name) and c.relnamespace = 'webhook'::regnamespace
                              and not pg_has_role(c.relowner, 'usage'))     -- see _check_objects
    loop
        if webhook._holds_new(part.name) or webhook._holds_unfinished(part.from_at, part.to_at, part.attempts) then
            continue;
        end if;
        begin
            -- Emitters queue behind whoever waits for the second lock: shortly,
            -- and for one partition at a time.
            set local lock_timeout = '10ms';
            lock table webhook.attempt in access exclusive mode;
            lock table webhook.event in access exclusive mode;
            -- What was committed while we waited is seen only now.
            if webhook._holds_new(part.name) or webhook._holds_queued(part.from_at, part.to_at) then
                raise lock_not_available;
            end if;
            execute format('drop table webhook.%I, webhook.%I', part.name, part.attempts);
            return 1;
        exception
            when lock_not_available or deadlock_detected then
                return null;
            when others then
                get stacked diagnostics reason = pg_exception_detail;
                raise warning 'could not drop partition "%": %', part.name, sqlerrm using detail = reason;
        end;
    end loop;
    return 0;
end
$$;
comment on function webhook._drop_expired() is 'Internal: drop the oldest partition beyond webhook.retention that holds nothing untaken or unfinished; returns how many, 0 or 1, or null when it was in use';

create function webhook._holds_new(partition name) returns boolean
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    c     record;
    found_new boolean;
begin
    -- By the index (origin, xid, id): a partition may have a hundred million rows.
    execute format('select exists (select from webhook.%1$I e where e.origin < $1 and not e.is_test)
                        or exists (select from webhook.%1$I e where e.origin > $1 and not e.is_test)', partition)
       into found_new using webhook._origin();
    if found_new then
        return true;    -- not adopted yet
    end if;
    for c in
        select k.low from webhook.cursor k where k.origin = webhook._origin()
        union all
        select null where not exists (select from webhook.cursor k where k.origin = webhook._origin())
    loop
        execute format('select exists (select from webhook.%1$I e
                                        where e.origin = $1 and e.xid > ''3'' and not e.is_test
                                          and e.xid >= coalesce(pg_snapshot_xmax($2), ''4''))
                            or exists (select from webhook.%1$I e
                                        where e.origin = $1 and not e.is_test
                                          and e.xid = any (array(select pg_snapshot_xip($2))))', partition)
           into found_new using webhook._origin(), c.low;
        if found_new then
            return true;
        end if;
    end loop;
    return false;
end
$$;
comment on function webhook._holds_new(name) is 'Internal: whether a partition of event holds what a cursor may not have read yet';

create function webhook._holds_queued(from_at timestamptz, to_at timestamptz) returns boolean
language sql stable set search_path to pg_catalog, pg_temp
return exists (select from webhook.queue q
                where q.event_id >= webhook._uuid_at(from_at) and q.event_id < webhook._uuid_at(to_at));
comment on function webhook._holds_queued(timestamptz, timestamptz) is 'Internal: whether deliveries of these days are queued';

create function webhook._holds_unfinished(from_at timestamptz, to_at timestamptz, attempts name) returns boolean
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    found_some boolean;
begin
    if webhook._holds_queued(from_at, to_at) then
        return true;
    end if;
    -- Who wonders where a delivery went must have the time to find its row.
    execute format('select exists (select from webhook.%I a
                                    where a.outcome <> ''succeeded'' and a.error_class = ''cancelled''
                                      and a.started_at > clock_timestamp() - webhook._retention() / 6)', attempts)
       into found_some;
    return found_some;
end
$$;
comment on function webhook._holds_unfinished(timestamptz, timestamptz, name) is
    'Internal: whether deliveries of these days are queued, or were cancelled within the last sixth of webhook.retention';
