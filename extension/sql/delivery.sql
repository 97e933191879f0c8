-- Policy of deliveries: what the worker asks SQL to decide, and what people do.

create function webhook._next_attempt_at(schedule interval[], failures int, ended_at timestamptz) returns timestamptz
language sql stable parallel safe
return ended_at + make_interval(secs => extract(epoch from schedule[failures])::float8);
comment on function webhook._next_attempt_at(interval[], int, timestamptz) is
    'Internal: when to retry after the n-th failed attempt that ended then; NULL when the schedule is used up';

create function webhook._schedule_retries(event_ids uuid[], endpoint_ids bigint[], ended_at timestamptz[], is_gone boolean[],
    not_before timestamptz[])
returns table (place bigint, next_attempt_at timestamptz)
language plpgsql set search_path to pg_catalog, pg_temp
-- plpgsql keeps the plan, which takes longer to make than to run
as $$
#variable_conflict use_column
begin
    return query
    update webhook.queue q
       set interruptions = 0,
           next_attempt_at = case when q.first_attempt > 0 then greatest(f.not_before,
               webhook._next_attempt_at(coalesce(t.retry_schedule, webhook._retry_schedule()),
                                        q.attempts - q.first_attempt + 1, f.ended_at)) end
      from unnest(event_ids, endpoint_ids, ended_at, is_gone, not_before) with ordinality
               as f(event_id, endpoint_id, ended_at, is_gone, not_before, place)
      join webhook.event e on e.id = f.event_id
      join webhook.endpoint t on t.id = f.endpoint_id and t.organization_id is not distinct from e.organization_id
     where q.event_id = f.event_id and q.endpoint_id = f.endpoint_id
       and q.next_attempt_at is null
       and (q.first_attempt < 0
            or not f.is_gone and t.status <> 'disabled'
               and webhook._next_attempt_at(coalesce(t.retry_schedule, webhook._retry_schedule()),
                                            q.attempts - q.first_attempt + 1, f.ended_at) is not null)
    returning f.place, q.next_attempt_at;
end
$$;
comment on function webhook._schedule_retries(uuid[], bigint[], timestamptz[], boolean[], timestamptz[]) is
    'Internal: schedule the retries of failed attempts, later where the receiver said Retry-After (not_before), and return their places in the arrays, from 1 on; a NULL time: it was cancelled meanwhile; those not returned have used up their schedule';

create function webhook._interrupt(for_origin int, shards bigint) returns bigint
language sql volatile set search_path to pg_catalog, pg_temp set enable_seqscan to on
-- One scan of the queue: where most of it has just been written, an index
-- without an order that helps costs a visit of the table for each row.
begin atomic
    with cut_off as (
        select q.event_id, q.endpoint_id, q.attempts, q.first_attempt, q.created_at,
               t.url, e.organization_id, e.event_type, e.is_test,
               q.first_attempt > 0 and t.status <> 'disabled'
               and webhook._next_attempt_at(coalesce(t.retry_schedule, webhook._retry_schedule()),
                                            q.attempts - q.first_attempt + 1, clock_timestamp()) is not null as goes_on
          from webhook.queue q
          left join webhook.event e on e.id = q.event_id
          left join webhook.endpoint t on t.id = q.endpoint_id and t.organization_id is not distinct from e.organization_id
         where q.next_attempt_at is null and q.origin = for_origin
           and ((1::bigint << (q.endpoint_id & 63)::int) & shards) <> 0),
    retried as (
        update webhook.queue q set next_attempt_at = clock_timestamp(), interruptions = q.interruptions + 1
          from cut_off c
         where q.event_id = c.event_id and q.endpoint_id = c.endpoint_id and c.goes_on),
    ended as (
        delete from webhook.queue q using cut_off c
         where q.event_id = c.event_id and q.endpoint_id = c.endpoint_id and c.goes_on is not true),
    logged as (
        insert into webhook.attempt
               (event_id, endpoint_id, started_at, delivery_created_at, duration, attempt,
                is_redelivery, organization_id, outcome, url, error, error_class)
        select c.event_id, c.endpoint_id, clock_timestamp(), c.created_at, interval '0', c.attempts,
               abs(c.first_attempt) > 1, c.organization_id,
               case when c.goes_on then null when c.first_attempt < 0 then 'cancelled' else 'failed' end,
               coalesce(c.url, ''), 'the worker ended before the answer was recorded', 'interrupted'
          from cut_off c
         where c.event_type is not null     -- else there may be no partition for it
        returning 1),
    told as (
        select webhook._record_operational('webhook.delivery_failed', array_agg(c.organization_id),
                   array_agg(webhook._failure(c.event_id, c.event_type, c.endpoint_id, c.url, c.attempts, null,
                                              'the worker ended before the answer was recorded', 'interrupted')))
          from cut_off c
         where c.goes_on is not true and c.first_attempt > 0 and c.url is not null
           and webhook._is_told(c.event_type, c.is_test)
        having count(*) > 0)
    select count(*) + 0 * (select count(*) from told) from logged;
end;
comment on function webhook._interrupt(int, bigint) is
    'Internal: log the attempts that a crash cut off as interrupted, and make them due at once or end them';

create function webhook._set_back(for_origin int, shards bigint, step interval) returns void
language sql volatile set search_path to pg_catalog, pg_temp set enable_seqscan to on
begin atomic
    update webhook.queue q
       set next_attempt_at = q.next_attempt_at - greatest(step, q.created_at - clock_timestamp()),
           created_at = least(q.created_at, clock_timestamp())
     where q.origin = for_origin
       and ((1::bigint << (q.endpoint_id & 63)::int) & shards) <> 0
       and greatest(step, q.created_at - clock_timestamp()) > interval '0';
end;
comment on function webhook._set_back(int, bigint, interval) is
    'Internal: the clock was set back, by a step or as far as rows were taken in what is now the future: retries come as much earlier';

create function webhook._check_isolation(event_ids uuid[], endpoint_ids bigint[]) returns void
language c volatile strict set search_path to pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'webhook_check_isolation';
comment on function webhook._check_isolation(uuid[], bigint[]) is
    'Internal: raise 40001 if any of these events was attempted at any of these endpoints since the snapshot of the transaction, from REPEATABLE READ up; asked once they are queued';

create function webhook.redeliver(event_id uuid, endpoint_id bigint) returns int
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: the queue is not granted
as $$
declare
    last int;
begin
    if not exists (select from webhook.event e
                    where e.id = redeliver.event_id and webhook._has_access(e.organization_id, 'manager')) then
        raise exception 'event % does not exist', coalesce(redeliver.event_id::text, 'null')
            using errcode = 'no_data_found', hint = 'Events are kept for webhook.retention.';
    end if;
    if webhook._is_forgotten(redeliver.event_id) then
        raise exception 'the payload of event % was forgotten', redeliver.event_id
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'There is nothing left to send; see webhook.forget().';
    end if;
    if not exists (select from webhook.endpoint t join webhook.event e on e.organization_id = t.organization_id
                    where t.id = redeliver.endpoint_id and e.id = redeliver.event_id) then
        raise exception 'endpoint % does not exist in the organization of the event', coalesce(redeliver.endpoint_id::text, 'null')
            using errcode = 'no_data_found', hint = 'See: select id, organization_id, url from webhook.endpoint';
    end if;
    if exists (select from webhook.endpoint t where t.id = redeliver.endpoint_id and t.status = 'disabled') then
        raise exception 'endpoint % is disabled', redeliver.endpoint_id
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Enable it first: update webhook.endpoint set status = ''enabled'' where id = %s', redeliver.endpoint_id);
    end if;
    if webhook._is_waiting(redeliver.event_id, redeliver.endpoint_id) then
        raise exception 'the delivery is not finished yet'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Redeliver when its status is succeeded, failed or cancelled: select * from webhook.delivery';
    end if;
    select coalesce(max(a.attempt), 0) into last from webhook.attempt a
     where a.event_id = redeliver.event_id and a.endpoint_id = redeliver.endpoint_id;
    insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin, attempts, first_attempt)
    values (redeliver.event_id, redeliver.endpoint_id, clock_timestamp(), clock_timestamp(),
            webhook._origin(), last, last + 1)
    on conflict on constraint queue_pkey do update
       set created_at = excluded.created_at, first_attempt = excluded.first_attempt
     where queue.first_attempt < 0 and queue.next_attempt_at is not null;   -- was cancelled, untaken
    if not found then
        -- Somebody else was faster.
        raise exception 'the delivery is not finished yet'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Redeliver when its status is succeeded, failed or cancelled: select * from webhook.delivery';
    end if;
    perform webhook._check_isolation(array[redeliver.event_id], array[redeliver.endpoint_id]);
    update webhook.attempt a set outcome = null
     where a.event_id = redeliver.event_id and a.endpoint_id = redeliver.endpoint_id and a.outcome is not null;
    return last + 1;
end
$$;
comment on function webhook.redeliver(uuid, bigint) is
    'Deliver an event to an endpoint (again): same id, same bytes, attempt numbers continue, the retry schedule starts anew; returns the next attempt number. Errors: unknown event or endpoint P0002, disabled, forgotten, pending or sending 55000';

create function webhook._is_new(xid xid8, id uuid, c webhook.cursor) returns boolean
language sql stable
return case
    when c.low is not null and pg_visible_in_snapshot(xid, c.low) then false
    when c.high is null then true
    when not pg_visible_in_snapshot(xid, c.high) then true
    else (xid, id) > (c.position_xid, c.position_id)
end;
comment on function webhook._is_new(xid8, uuid, webhook.cursor) is 'Internal: whether a cursor has not read an event yet; for people, not for workers';

create function webhook._subscribes(events text[], event_type text) returns boolean
language sql immutable parallel safe
return event_type = any (events)
    or (event_type not like 'webhook.%'
        and ('*' = any (events) or split_part(event_type, '.', 1) || '.*' = any (events)));
comment on function webhook._subscribes(text[], text) is 'Internal: whether a subscription covers an event type: exact name, category.*, or *';

create function webhook._was_there(created_at timestamptz, created_xid xid8, event_at timestamptz, event_xid xid8)
returns boolean
language sql immutable parallel safe
return created_at <= event_at or coalesce(created_xid <= event_xid, false);
comment on function webhook._was_there(timestamptz, xid8, timestamptz, xid8) is
    'Internal: whether an endpoint is older than an event, by the clock or, where that was set back, by transaction ids; what is inlined into the statement that takes';

create function webhook._will_be_taken(e webhook.event, t webhook.endpoint) returns boolean
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select e.organization_id = t.organization_id and e.origin = webhook._origin() and not e.is_test
           and e.xid <> '3'      -- adopted or forgotten: was taken
           and webhook._was_there(t.created_at, t.created_xid, e.created_at, e.xid) and t.status <> 'disabled'
           and webhook._subscribes(t.events, e.event_type)
           and not exists (select from webhook.cursor c
                            where c.origin = e.origin
                              and ((1::bigint << (t.id & 63)::int) & c.shards) <> 0
                              and not webhook._is_new(e.xid, e.id, c)
                              and ((e.xid, e.id) = (c.position_xid, c.position_id)
                                   and t.id > c.position_endpoint_id) is not true);
end;
comment on function webhook._will_be_taken(webhook.event, webhook.endpoint) is
    'Internal: whether a worker has yet to take an event from the outbox for an endpoint';

create function webhook._is_waiting(event_id uuid, endpoint_id bigint) returns boolean
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select exists (select from webhook.queue q
                    where q.event_id = _is_waiting.event_id and q.endpoint_id = _is_waiting.endpoint_id
                      and (q.first_attempt > 0 or q.next_attempt_at is null))
        or exists (select from webhook.event e, webhook.endpoint t
                    where e.id = _is_waiting.event_id and t.id = _is_waiting.endpoint_id
                      and webhook._will_be_taken(e, t));
end;
comment on function webhook._is_waiting(uuid, bigint) is 'Internal: whether a delivery is queued or will be taken from the outbox';

create function webhook._send_test(event_id uuid, endpoint_id bigint)
returns table (status int, duration interval, response_headers text, response_body text, is_truncated boolean,
               error text, error_class text, started_at timestamptz, url text, request_headers text)
language c volatile strict rows 1 as 'MODULE_PATHNAME', 'webhook_send_test';
comment on function webhook._send_test(uuid, bigint) is 'Internal: send one event to one endpoint from this session, and wait';

create function webhook._check_writable(command text) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_read_only')::boolean then
        raise exception 'cannot execute % in a read-only transaction', command
            using errcode = 'read_only_sql_transaction',
                  hint = case when pg_is_in_recovery() then 'This server is a standby: ask its primary.'
                              else 'Use a transaction that may write; see default_transaction_read_only.' end;
    end if;
end
$$;
comment on function webhook._check_writable(text) is
    'Internal: raise 25006 where nothing can be written, in the words of the server, for what would fail with those of some statement within';

create function webhook.test(endpoint_id bigint, event text default 'webhook.test',
    out status int, out duration interval, out response_body text, out error text, out error_class text)
returns record
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: reads the secret to sign, writes event and attempt
as $$
declare
    organization text;
    event_id     uuid;
    sent         record;
begin
    perform webhook._check_writable('webhook.test()');
    select t.organization_id into organization
      from webhook.endpoint t
     where t.id = test.endpoint_id and webhook._has_access(t.organization_id, 'manager');
    if not found then
        raise exception 'endpoint % does not exist', coalesce(test.endpoint_id::text, 'null')
            using errcode = 'no_data_found', hint = 'See: select id, url from webhook.endpoint';
    end if;
    perform webhook._check_event(test.event);
    event_id := webhook._record(test.event, organization,
        coalesce((select t.example from webhook.event_type t where t.name = test.event),
                 json_build_object('endpoint_id', test.endpoint_id, 'message', 'This is a test.')), true);
    select * into sent from webhook._send_test(event_id, test.endpoint_id);
    insert into webhook.attempt
           (event_id, endpoint_id, started_at, delivery_created_at, duration, attempt, response_status,
            response_truncated, organization_id, outcome, url, response_body, error, error_class,
            request_headers, response_headers)
    values (event_id, test.endpoint_id, sent.started_at, sent.started_at, sent.duration, 1, sent.status,
            sent.is_truncated, organization, case when sent.error is null then 'succeeded' else 'failed' end,
            sent.url, sent.response_body, sent.error, sent.error_class, sent.request_headers, sent.response_headers);
    status := sent.status;
    duration := sent.duration;
    response_body := sent.response_body;
    error := sent.error;
    error_class := sent.error_class;
end
$$;
comment on function webhook.test(bigint, text) is
    'Send a test event to an endpoint from this session, signed and logged, one attempt, whatever the status of the endpoint; a name of the catalogue sends its example. Errors: unknown endpoint P0002, unknown event 22023; a failed request is the result, not an error';
