-- What operators do with deliveries: cancel, recover, replay, drain.

create function webhook._cancellation(cancelled webhook.queue, reason text) returns setof webhook.attempt
language sql stable rows 1
begin atomic
    select cancelled.event_id, cancelled.endpoint_id, clock_timestamp(), cancelled.created_at, interval '0',
           cancelled.attempts, null::int, false, abs(cancelled.first_attempt) > 1, e.organization_id, 'cancelled',
           coalesce(t.url, ''), null, case when cancelled.first_attempt < 0 then 'cancelled by hand' else reason end,
           'cancelled', null, null
      from webhook.event e
      left join webhook.endpoint t on t.id = cancelled.endpoint_id and t.organization_id is not distinct from e.organization_id
     where e.id = cancelled.event_id;
end;
comment on function webhook._cancellation(webhook.queue, text) is
    'Internal: the row of the delivery log that ends a waiting delivery as cancelled; the reason counts unless somebody cancelled it before';

create function webhook._cancel_waiting(endpoint_id bigint, reason text) returns bigint
language plpgsql set search_path to pg_catalog, pg_temp set jit to off set enable_seqscan to off
set plan_cache_mode to force_custom_plan
-- Else planned as if most of the queue were this endpoint's, when most is
-- another's: then any index will do, such as all of one that begins otherwise.
as $$
declare
    number bigint;
begin
    with cancelled as (
        delete from webhook.queue q
         where q.endpoint_id = _cancel_waiting.endpoint_id and q.next_attempt_at is not null
        returning q as row),
    logged as (
        insert into webhook.attempt
        select a.* from cancelled c, webhook._cancellation(c.row, reason) a)
    select count(*) into number from cancelled;
    return number;
end
$$;
comment on function webhook._cancel_waiting(bigint, text) is 'Internal: end the waiting deliveries of an endpoint as cancelled';

create function webhook._log_cancelled(cancelled webhook.queue[]) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    insert into webhook.attempt
    select a.*
      from unnest(cancelled) c
      left join webhook.event e on e.id = c.event_id
      left join webhook.endpoint t on t.id = c.endpoint_id and t.organization_id is not distinct from e.organization_id,
           webhook._cancellation(c, case when t.id is null then 'the endpoint was deleted'
                                         else 'the endpoint was disabled' end) a;
end
$$;
comment on function webhook._log_cancelled(webhook.queue[]) is 'Internal: log deliveries that were waiting as cancelled';

create function webhook._cancel_rows(tids tid[], event_ids uuid[], endpoint_ids bigint[]) returns setof bigint
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    cancelled webhook.queue[];
begin
    with free as materialized (
        select q.ctid as tid
          from unnest(tids, event_ids, endpoint_ids) as d(tid, event_id, endpoint_id)
          join webhook.queue q on q.ctid = d.tid and q.event_id = d.event_id and q.endpoint_id = d.endpoint_id
           for update of q skip locked),
    deleted as (delete from webhook.queue q using free f where q.ctid = f.tid returning q)
    select array_agg(d.q) into cancelled from deleted d;
    perform webhook._log_cancelled(cancelled);
    return query
        select q.endpoint_id
          from unnest(event_ids, endpoint_ids) as d(event_id, endpoint_id)
          join webhook.queue q on q.event_id = d.event_id and q.endpoint_id = d.endpoint_id;
end
$$;
comment on function webhook._cancel_rows(tid[], uuid[], bigint[]) is
    'Internal: end deliveries that were cancelled before a worker took them, or that it queued while their endpoint was disabled or deleted; returns the endpoints of those that stay, because somebody has locked them';

create function webhook._cancel_some(endpoint_ids bigint[], marks timestamptz[], most int)
returns table (endpoint_id bigint, mark timestamptz)
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    gone      constant bigint[] := array(
        select g from unnest(endpoint_ids) g
         where not exists (select from webhook.endpoint t where t.id = g and t.status <> 'disabled'));
    cancelled webhook.queue[];
begin
    with found as materialized (
        select w.tid
          from unnest(endpoint_ids, marks) as g(id, mark)
         cross join lateral (select q.ctid as tid from webhook.queue q
                              where q.endpoint_id = g.id and q.next_attempt_at >= g.mark
                              order by q.next_attempt_at limit most
                                for update skip locked) w
         where g.id = any (gone)
         limit most),
    deleted as (delete from webhook.queue q using found f where q.ctid = f.tid returning q)
    select array_agg(d.q) into cancelled from deleted d;
    perform webhook._log_cancelled(cancelled);
    if cardinality(cancelled) = most then
        return query select c.endpoint_id, max(c.next_attempt_at) from unnest(cancelled) c group by 1;
        return;
    end if;
    return query
        select g, null::timestamptz from unnest(gone) g
         where exists (select from webhook.queue q where q.endpoint_id = g and q.next_attempt_at is not null);
end
$$;
comment on function webhook._cancel_some(bigint[], timestamptz[], int) is
    'Internal: end as cancelled so many of the deliveries, due from a mark on, that wait for endpoints that are disabled or deleted; returns those of which there may be more, with their next mark, or, with NULL, those of which all that is left is locked';

create unlogged table webhook.cancel_request (
    event_id    uuid not null,
    endpoint_id bigint not null,
    primary key (event_id, endpoint_id)
);
comment on table webhook.cancel_request is 'Internal: deliveries that the current transaction cancels when it commits; otherwise empty';
comment on column webhook.cancel_request.event_id is 'Event to cancel';
comment on column webhook.cancel_request.endpoint_id is 'Endpoint at which it is cancelled';

create function webhook._cancellable(event_id uuid, endpoint_id bigint) returns setof bigint
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select q.endpoint_id from webhook.queue q
     where q.event_id = _cancellable.event_id and q.endpoint_id = coalesce(_cancellable.endpoint_id, q.endpoint_id)
       and q.first_attempt > 0
    union all
    select t.id
      from webhook.event e
      join webhook.endpoint t on t.organization_id = e.organization_id
     where e.id = _cancellable.event_id and t.id = coalesce(_cancellable.endpoint_id, t.id)
       and webhook._will_be_taken(e, t)
       and not exists (select from webhook.queue q where q.event_id = e.id and q.endpoint_id = t.id);
end;
comment on function webhook._cancellable(uuid, bigint) is
    'Internal: endpoints, or the one given if it is among them, to which an event may still go: a worker has it for them or has yet to take it';

create function webhook._cancel_untaken(event_id uuid, endpoint_id bigint) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    taken bigint[];
begin
    if not exists (select from webhook.event e join webhook.endpoint t on t.organization_id = e.organization_id
                    where e.id = _cancel_untaken.event_id and t.id = _cancel_untaken.endpoint_id
                      and webhook._will_be_taken(e, t)) then
        return;
    end if;
    -- A worker that takes the event at this moment meets these rows: its own
    -- are there first, or it finds ours.  So they stay until it ends them.
    with queued as (
        insert into webhook.queue as q (event_id, endpoint_id, created_at, next_attempt_at, origin, first_attempt)
        select e.id, t.id, clock_timestamp(), clock_timestamp(), e.origin,
               case when t.id = _cancel_untaken.endpoint_id then -1 else 1 end
          from webhook.event e
          join webhook.endpoint t on t.organization_id = e.organization_id
         where e.id = _cancel_untaken.event_id and webhook._will_be_taken(e, t)
         order by t.id
        on conflict do nothing
        returning q.endpoint_id)
    select array_agg(n.endpoint_id) into taken from queued n;
    perform webhook._check_isolation(array[_cancel_untaken.event_id], taken);
    -- Taken, and even ended, between our look and our rows: not ours.  Looked at
    -- for each of them: as a join it can be asked of all endpoints there are.
    delete from webhook.queue q
     where q.event_id = _cancel_untaken.event_id and q.endpoint_id = any (taken)
       and (select not webhook._will_be_taken(e, t)
              from webhook.event e, webhook.endpoint t
             where e.id = q.event_id and t.id = q.endpoint_id);
    update webhook.event e set xid = '3'    -- counts as taken
     where e.id = _cancel_untaken.event_id;
end
$$;
comment on function webhook._cancel_untaken(uuid, bigint) is
    'Internal: take an event in place of the workers if they have yet to take it for an endpoint, and cancel it there';

create function webhook._cancel_now(event_id uuid, endpoint_id bigint) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    perform webhook._cancel_untaken(event_id, endpoint_id);
    -- What a worker is recording is seen as it leaves it; what was taken in its
    -- place, now or before, is left to it.
    perform from webhook.queue q
      where q.event_id = _cancel_now.event_id and q.endpoint_id = _cancel_now.endpoint_id and q.first_attempt > 0
        for update;
    with ended as (
        delete from webhook.queue q using webhook.event e
         where q.event_id = _cancel_now.event_id and q.endpoint_id = _cancel_now.endpoint_id
           and q.first_attempt > 0 and q.next_attempt_at is not null
           and e.id = q.event_id and (q.attempts > 0 or e.xid <> '3')
        returning q as row)
    insert into webhook.attempt
    select a.*
      from ended d,
           webhook._cancellation(d.row, case when webhook._is_forgotten(event_id) then 'the payload was forgotten'
                                             else 'cancelled by hand' end) a;
    update webhook.queue q set first_attempt = -q.first_attempt
     where q.event_id = _cancel_now.event_id and q.endpoint_id = _cancel_now.endpoint_id and q.first_attempt > 0;
end
$$;
comment on function webhook._cancel_now(uuid, bigint) is
    'Internal: end a delivery as cancelled, whether a worker has taken it or not; what is on the wire ends as it ends, and no other attempt follows';

create function webhook._cancel_at_commit() returns trigger
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: fired by whoever cancels, who has no grant on the queue
as $$
begin
    perform webhook._cancel_now(new.event_id, new.endpoint_id);
    delete from webhook.cancel_request r where r.event_id = new.event_id and r.endpoint_id = new.endpoint_id;
    return null;
end
$$;
comment on function webhook._cancel_at_commit() is 'Internal: carry out what was asked of webhook.cancel, the moment its transaction commits';

-- At commit: a worker that came to the rows of a transaction that stays open
-- would wait for it, and everybody else for the worker.
create constraint trigger cancel_at_commit after insert on webhook.cancel_request
deferrable initially deferred for each row execute function webhook._cancel_at_commit();
alter table webhook.cancel_request enable always trigger cancel_at_commit;

create function webhook.cancel(event_id uuid, endpoint_id bigint default null) returns bigint
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: the queue is not granted
as $$
declare
    cancelled bigint;
begin
    -- One at a time: the second sees what the first has done.
    perform from webhook.event e
      where e.id = cancel.event_id and webhook._has_access(e.organization_id, 'manager')
        for update;
    if not found then
        return 0;
    end if;
    insert into webhook.cancel_request
    select cancel.event_id, c from webhook._cancellable(cancel.event_id, cancel.endpoint_id) c
    on conflict do nothing;
    get diagnostics cancelled = row_count;
    return cancelled;
end
$$;
comment on function webhook.cancel(uuid, bigint) is
    'End what is not delivered yet of an event, at one endpoint or at all, as cancelled, whether a worker has taken it or not, when the transaction commits; an attempt on the wire by then ends as it ends, and no other follows. Returns how many deliveries; 0 when there are none, or no such event';

create function webhook._get_endpoint(endpoint_id bigint) returns webhook.endpoint
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
declare
    found_one webhook.endpoint;
begin
    select * into found_one from webhook.endpoint t
     where t.id = _get_endpoint.endpoint_id and webhook._has_access(t.organization_id, 'manager');
    if found_one.id is null then
        raise exception 'endpoint % does not exist', coalesce(endpoint_id::text, 'null')
            using errcode = 'no_data_found', hint = 'See: select id, url from webhook.endpoint';
    end if;
    if found_one.status = 'disabled' then
        raise exception 'endpoint % is disabled', endpoint_id
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Enable it first: update webhook.endpoint set status = ''enabled'' where id = %s', endpoint_id);
    end if;
    return found_one;
end
$$;
comment on function webhook._get_endpoint(bigint) is
    'Internal: an endpoint that deliveries can be queued for; else P0002 or 55000';

create function webhook._check_range(since timestamptz, until timestamptz) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
begin
    if since is null or until is null then
        raise exception 'a range of time needs a begin and an end'
            using errcode = 'null_value_not_allowed',
                  hint = 'Use for example since => now() - interval ''1 hour''.';
    end if;
    if since > until then
        raise exception 'a range of time cannot end before it begins'
            using errcode = 'invalid_parameter_value',
                  detail = format('It begins at %s and ends at %s.', since, until);
    end if;
end
$$;
comment on function webhook._check_range(timestamptz, timestamptz) is 'Internal: raise 22004 unless both ends are given, 22023 unless in order';

create function webhook.recover(endpoint_id bigint, since timestamptz, until timestamptz default now(),
    status text default 'failed')
returns bigint
language plpgsql security definer set search_path to pg_catalog, pg_temp set plan_cache_mode to force_custom_plan
-- definer: the queue is not granted, and the log is append-only for others
-- custom plans: a partial index finds what did not succeed
as $$
declare
    began    constant timestamptz := clock_timestamp();
    endpoint webhook.endpoint;
    queued   bigint;
begin
    perform webhook._check_range(since, until);
    if recover.status is null then
        raise exception 'the status of deliveries to recover must not be null'
            using errcode = 'null_value_not_allowed', hint = 'Use failed, cancelled or succeeded.';
    end if;
    if recover.status not in ('succeeded', 'failed', 'cancelled') then
        raise exception 'deliveries with the status "%" cannot be recovered', recover.status
            using errcode = 'invalid_parameter_value', hint = 'Use failed, cancelled or succeeded.';
    end if;
    endpoint := webhook._get_endpoint(recover.endpoint_id);
    with reopened as (
        update webhook.attempt a set outcome = null
          from webhook.event e
         where a.endpoint_id = recover.endpoint_id and a.outcome = recover.status
           and a.started_at + a.duration between recover.since and recover.until
           and e.id = a.event_id and e.organization_id = endpoint.organization_id and not e.is_test and e.payload::text <> webhook._forgotten()
        returning a.event_id, a.attempt),
    queued as (
        insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin, attempts, first_attempt)
        select r.event_id, recover.endpoint_id, began, began, webhook._origin(), r.attempt, r.attempt + 1
          from reopened r
        on conflict do nothing
        returning 1)
    select count(*) into queued from queued;
    perform webhook._note_operation('recover', recover.endpoint_id, began, queued);
    return queued;
end
$$;
comment on function webhook.recover(bigint, timestamptz, timestamptz, text) is
    'Deliver again what ended at an endpoint between two times as failed (or cancelled, or succeeded): same ids and bytes, attempt numbers continue, schedules start anew; returns how many. Tests are left out. Errors: NULL times or status 22004, times in the wrong order or another status 22023, unknown endpoint P0002, disabled 55000';

create function webhook.replay(endpoint_id bigint, since timestamptz, until timestamptz default now()) returns bigint
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: queue and cursors are not granted
as $$
declare
    began    constant timestamptz := clock_timestamp();
    endpoint webhook.endpoint;
    queued   bigint;
    queued_behind_snapshot uuid[];
begin
    perform webhook._check_range(since, until);
    endpoint := webhook._get_endpoint(replay.endpoint_id);
    -- One replay after the other: what the first queued may have ended while the second still queues.
    perform from webhook.endpoint t where t.id = replay.endpoint_id for no key update;
    with missed as (
        select e.id from webhook.event e
         where e.id >= webhook._uuid_at(replay.since)
           and e.id < webhook._uuid_at(replay.until + interval '1 ms')
           and e.created_at between replay.since and replay.until
           and e.organization_id = endpoint.organization_id and not e.is_test
           and e.origin = webhook._origin() and not webhook._is_forgotten(e.id)
           and webhook._subscribes(endpoint.events, e.event_type)
           and not exists (select from webhook.attempt a
                            where a.event_id = e.id and a.endpoint_id = replay.endpoint_id)
           -- Not left to the conflict below: that row may have ended since we looked for attempts.
           and not exists (select from webhook.queue q
                            where q.event_id = e.id and q.endpoint_id = replay.endpoint_id)
           -- What a worker will take anyhow would arrive twice.
           and (not webhook._was_there(endpoint.created_at, endpoint.created_xid, e.created_at, e.xid) or e.xid = '3'
                or exists (select from webhook.cursor c
                            where c.origin = e.origin
                              and ((1::bigint << (replay.endpoint_id & 63)::int) & c.shards) <> 0
                              and not webhook._is_new(e.xid, e.id, c)))),
    queued as (
        insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
        select m.id, replay.endpoint_id, began, began, webhook._origin() from missed m
        on conflict do nothing
        returning queue.event_id)
    select count(*), array_agg(q.event_id) filter (where current_setting('transaction_isolation') !~ '^read')
      into queued, queued_behind_snapshot
      from queued q;
    perform webhook._check_isolation(queued_behind_snapshot, array[replay.endpoint_id]);
    perform webhook._note_operation('replay', replay.endpoint_id, began, queued);
    return queued;
end
$$;
comment on function webhook.replay(bigint, timestamptz, timestamptz) is
    'Deliver to an endpoint the events of its organization that were emitted between two times and that it never got, as its subscription is now; returns how many. Tests are left out. Errors: NULL times 22004, times in the wrong order 22023, unknown endpoint P0002, disabled 55000';

create function webhook._note_operation(kind text, endpoint_id bigint, started_at timestamptz, total bigint) returns void
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    insert into webhook.operation (kind, endpoint_id, started_at, total)
    select kind, endpoint_id, started_at, total where total > 0;
end;
comment on function webhook._note_operation(text, bigint, timestamptz, bigint) is
    'Internal: remember a long operation for webhook.progress, for a day';
