-- Why something was sent or not, what would be sent, and unsaying it.

create function webhook._forgotten() returns text
language sql immutable parallel safe
return '{"redacted":true}';
comment on function webhook._forgotten() is 'Internal: the payload of an event that was forgotten; workers know it and do not send it';

create function webhook._is_forgotten(event_id uuid) returns boolean
language sql stable
begin atomic
    select exists (select from webhook.event e
                    where e.id = event_id and e.payload::text = webhook._forgotten());
end;
comment on function webhook._is_forgotten(uuid) is 'Internal: whether an event was redacted, and nothing of it can be sent again';

create function webhook._verdict(e webhook.event, t webhook.endpoint, q webhook.queue, a webhook.attempt,
    trouble text, out verdict text, out explanation text)
returns record
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    -- The first line that applies.
    select r.verdict, r.explanation
      from (select format('attempt %s', q.attempts + case when q.next_attempt_at is null then 0 else 1 end) as number,
                   '; the last one failed: ' || a.error as after) w
     cross join lateral (values
        (a.outcome = 'succeeded', 'delivered',
         format('attempt %s was answered with status %s at %s', a.attempt, a.response_status,
                date_trunc('second', a.started_at + a.duration))),
        (a.outcome = 'failed', 'failed', format('given up after attempt %s: %s', a.attempt, a.error)),
        (a.outcome = 'cancelled', 'cancelled', a.error),
        (q.first_attempt < 0 and q.next_attempt_at is null, 'sending',
         w.number || ' is on the wire; cancelled by hand, no other follows'),
        (q.event_id is not null and q.next_attempt_at is null, 'sending', w.number || ' is on the wire'),
        (q.first_attempt < 0, 'cancelled', 'cancelled by hand'),
        (q.event_id is not null and t.status = 'disabled', 'cancelled', 'the endpoint was disabled'),
        (q.event_id is not null and t.status = 'paused', 'paused',
         w.number || ' waits until the endpoint is enabled' || coalesce(w.after, '')),
        (q.next_attempt_at > clock_timestamp(), 'waiting',
         format('%s is due at %s%s', w.number, date_trunc('second', q.next_attempt_at), w.after)),
        (q.event_id is not null and trouble is not null, 'waiting', format('%s is due, but %s', w.number, trouble)),
        (q.event_id is not null, 'waiting', w.number || ' is due, as soon as the endpoint has a free place'
         || coalesce(format(' and its rate limit of %s per second allows', t.rate_limit), '')),
        (e.is_test, 'not sent', 'a test goes to nobody but the endpoint that is tested'),
        (not webhook._was_there(t.created_at, t.created_xid, e.created_at, e.xid), 'created later',
         format('the endpoint was created at %s, the event at %s', date_trunc('milliseconds', t.created_at),
                date_trunc('milliseconds', e.created_at))),
        (t.status = 'disabled', 'disabled',
         format('the endpoint is disabled since %s%s', date_trunc('second', t.disabled_at), ': ' || t.disabled_reason)),
        (not webhook._subscribes(t.events, e.event_type), 'not subscribed',
         format('the endpoint subscribes to %s%s', array_to_string(t.events, ', '),
                case when e.event_type like 'webhook.%' then '; events of this kind only go to who lists their exact names' end)),
        (e.payload::text = webhook._forgotten(), 'cancelled', 'the payload was forgotten before a worker took the event'),
        (webhook._is_waiting(e.id, t.id) and t.status = 'paused', 'paused',
         'no worker has taken the event yet, and the endpoint is paused'),
        (webhook._is_waiting(e.id, t.id), 'waiting',
         'no worker has taken the event yet' || coalesce(': ' || trouble, '')),
        (true, 'not subscribed', 'the endpoint was not committed yet, not subscribed, or disabled when the event was taken')
     ) as r(applies, verdict, explanation)
     where r.applies
     limit 1;
end;
comment on function webhook._verdict(webhook.event, webhook.endpoint, webhook.queue, webhook.attempt, text) is
    'Internal: what became of an event at an endpoint, from its queue row and its last attempt if there are any; trouble: what keeps workers from work, needed unless that attempt was the end';

create function webhook.explain(event_id uuid, out endpoint_id bigint, out verdict text, out explanation text, out url text)
returns setof record
language plpgsql stable security definer set search_path to pg_catalog, pg_temp set jit to off
-- definer: the queue is not granted
as $$
declare
    e webhook.event;
begin
    select * into e from webhook.event v
     where v.id = explain.event_id and webhook._has_access(v.organization_id);
    if not found then
        raise exception 'event % does not exist', coalesce(explain.event_id::text, 'null')
            using errcode = 'no_data_found', hint = 'Events are kept for webhook.retention.';
    end if;
    return query
        select i.endpoint_id, v.verdict,
               v.explanation || case when t.id is null and v.explanation <> 'the endpoint was deleted'
                                     then '; the endpoint was deleted since' else '' end,
               coalesce(t.url, a.url)
          from (select n.id from webhook.endpoint n where n.organization_id = e.organization_id
                union
                select n.endpoint_id from webhook.queue n where n.event_id = e.id
                union
                select n.endpoint_id from webhook.attempt n where n.event_id = e.id) i(endpoint_id)
          left join webhook.endpoint t on t.id = i.endpoint_id and t.organization_id is not distinct from e.organization_id
          left join webhook.queue q on q.event_id = e.id and q.endpoint_id = i.endpoint_id
          left join lateral (select *
                               from webhook.attempt n
                              where n.event_id = e.id and n.endpoint_id = i.endpoint_id
                              order by n.attempt desc, n.started_at desc
                              limit 1) a on true
         -- Read at most once, since it is the same for all of them and may take
         -- long, and not at all where everything has ended.
         cross join lateral webhook._verdict(e, t, q, a, case when a.outcome is null then
                        (select webhook._stopped())
                    end) v
         order by 1;
end
$$;
comment on function webhook.explain(uuid) is
    'Why an endpoint got an event or not: one row per endpoint of its organization, with a verdict (delivered, sending, waiting, paused, failed, cancelled, disabled, created later, not subscribed, not sent) and an explanation in words. Error: unknown event P0002';

create function webhook._preview(endpoint_id bigint, event text, data json,
    out headers text, out body text, out curl text)
returns record
language c volatile strict as 'MODULE_PATHNAME', 'webhook_preview';
comment on function webhook._preview(bigint, text, json) is 'Internal: the request that would be made; nothing is recorded or sent';

create function webhook.preview(endpoint_id bigint, event text default 'webhook.test', data text default null,
    out headers text, out body text, out curl text)
returns record
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: reads the secret to sign
as $$
begin
    perform from webhook.endpoint t
      where t.id = preview.endpoint_id and webhook._has_access(t.organization_id, 'manager');
    if not found then
        raise exception 'endpoint % does not exist', coalesce(preview.endpoint_id::text, 'null')
            using errcode = 'no_data_found', hint = 'See: select id, url from webhook.endpoint';
    end if;
    perform webhook._check_event(preview.event);
    select p.headers, p.body, p.curl into headers, body, curl
      from webhook._preview(preview.endpoint_id, preview.event,
               coalesce(preview.data::json,
                        (select t.example from webhook.event_type t where t.name = preview.event),
                        json_build_object('endpoint_id', preview.endpoint_id, 'message', 'This is a test.'))) p;
end
$$;
comment on function webhook.preview(bigint, text, text) is
    'What a request to an endpoint would look like: its headers, signed as of now, its body, and a curl command for a POSIX shell that sends the same; nothing is recorded or sent. Without data: the example of the event type. Errors: unknown endpoint P0002, unknown event or no object 22023, malformed JSON 22P02';

create function webhook.preview(endpoint_id bigint, event text, data json,
    out headers text, out body text, out curl text)
returns record
language sql volatile
begin atomic
    select p.headers, p.body, p.curl from webhook.preview(endpoint_id, event, data::text) p;
end;
comment on function webhook.preview(bigint, text, json) is 'The same with data as json';

create function webhook.preview(endpoint_id bigint, event text, data jsonb,
    out headers text, out body text, out curl text)
returns record
language sql volatile
begin atomic
    select p.headers, p.body, p.curl from webhook.preview(endpoint_id, event, data::text) p;
end;
comment on function webhook.preview(bigint, text, jsonb) is 'The same with data as jsonb';

create function webhook._forget(event_ids uuid[]) returns bigint
language plpgsql set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set jit to off
-- A custom plan would weigh each of the ids, again for each table and index.
as $$
declare
    redacted bigint;
    sending  bigint;
begin
    -- What no worker has taken shall not be: transaction 3 counts as taken.
    update webhook.event e set payload = webhook._forgotten()::json, xid = '3'
     where e.id = any (event_ids) and e.payload::text <> webhook._forgotten();
    get diagnostics redacted = row_count;
    with cancelled as (
        delete from webhook.queue q
         where q.event_id = any (event_ids) and q.next_attempt_at is not null
        returning q as row)
    insert into webhook.attempt
    select a.* from cancelled c, webhook._cancellation(c.row, 'the payload was forgotten') a;
    -- What is on the wire ends as it ends, and no other attempt follows.
    insert into webhook.cancel_request
    select q.event_id, q.endpoint_id from webhook.queue q where q.event_id = any (event_ids)
    on conflict do nothing;
    get diagnostics sending = row_count;
    update webhook.attempt a set response_body = null, request_headers = null, response_headers = null
     where a.event_id = any (event_ids)
       and (a.response_body is not null or a.request_headers is not null or a.response_headers is not null);
    if sending > 0 then
        raise notice 'deliveries on the wire go on: %', sending
            using hint = 'Their answers are logged when they arrive: run it once more then.';
    end if;
    return redacted;
end
$$;
comment on function webhook._forget(uuid[]) is 'Internal: redact events and their attempts, cancel what waits; returns how many events were not redacted before';

create function webhook.forget(event_id uuid) returns bigint
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: events and attempts are changed by nobody else
as $$
begin
    perform from webhook.event e
      where e.id = forget.event_id and webhook._has_access(e.organization_id, 'manager');
    if not found then
        raise exception 'event % does not exist', coalesce(forget.event_id::text, 'null')
            using errcode = 'no_data_found', hint = 'Events are kept for webhook.retention.';
    end if;
    return webhook._forget(array[forget.event_id]);
end
$$;
comment on function webhook.forget(uuid) is
    'Redact an event in the current transaction: its payload, and the response bodies and headers of its attempts; what waits is cancelled, what is on the wire is not retried. A webhook.delivery_failed that told of it stays: it names the event by its id and holds nothing of it. Returns 1, or 0 when it was redacted before. Error: unknown event P0002';

create function webhook.forget(organization_id text) returns bigint
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: events and attempts are changed by nobody else
as $$
declare
    ids uuid[] := array(select e.id from webhook.event e where e.organization_id = forget.organization_id);
begin
    perform webhook._check_access(forget.organization_id);
    if ids = '{}' and not exists (select from webhook.organization o where o.id = forget.organization_id) then
        raise exception 'unknown organization "%"', coalesce(forget.organization_id, 'null')
            using errcode = 'no_data_found',
                  hint = 'For an event write: select webhook.forget(event_id => ''...'')';
    end if;
    return webhook._forget(ids);
end
$$;
comment on function webhook.forget(text) is
    'Redact all events of an organization in the current transaction, as forget(event_id) does it; returns how many were not redacted before. Error: an organization without a row and without events P0002';
