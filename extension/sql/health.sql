-- Failing for good: operational events, and disabling who fails for long.

create function webhook._record_operational(event text, organization_ids text[], data json[]) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    perform webhook._record(event, o.id, d.data, false)
       from unnest(organization_ids, data) as d(organization_id, data)
       join webhook.organization o on o.id = d.organization_id;
exception when others then
    null;   -- what it tells of has happened, and must not be undone by the telling
end
$$;
comment on function webhook._record_operational(text, text[], json[]) is
    'Internal: record events of our own under "webhook."; those that cannot be recorded are left out';

create function webhook._is_told(event_type text, is_test boolean) returns boolean
language sql immutable parallel safe
return event_type not like 'webhook.%' and not is_test;
comment on function webhook._is_told(text, boolean) is
    'Internal: whether webhook.delivery_failed tells of a delivery that failed; not of our own events, else it would go on for ever';

create function webhook._failure(event_id uuid, event_type text, endpoint_id bigint, url text, attempts int,
    response_status int, error text, error_class text)
returns json
language sql stable parallel safe
return json_build_object('event_id', event_id, 'event', event_type, 'endpoint_id', endpoint_id, 'url', url,
                         'attempts', attempts, 'response_status', response_status,
                         'error', error, 'error_class', error_class);
comment on function webhook._failure(uuid, text, bigint, text, int, int, text, text) is
    'Internal: the data of webhook.delivery_failed';

create function webhook._tell_failed(event_ids uuid[], endpoint_ids bigint[]) returns void
language plpgsql set search_path to pg_catalog, pg_temp
-- plpgsql keeps the plan, which takes longer to make than to run
as $$
begin
    perform webhook._record_operational('webhook.delivery_failed', array_agg(a.organization_id),
               array_agg(webhook._failure(a.event_id, e.event_type, a.endpoint_id, a.url, a.attempt,
                                          a.response_status, a.error, a.error_class)))
      from unnest(event_ids, endpoint_ids) as f(event_id, endpoint_id)
      join webhook.attempt a on a.event_id = f.event_id and a.endpoint_id = f.endpoint_id and a.outcome = 'failed'
      join webhook.event e on e.id = f.event_id
     where webhook._is_told(e.event_type, e.is_test)
    having count(*) > 0;
end
$$;
comment on function webhook._tell_failed(uuid[], bigint[]) is
    'Internal: record webhook.delivery_failed for deliveries whose last attempt has just been logged';

create function webhook._tell_disabled(endpoint webhook.endpoint) returns void
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    select webhook._record_operational('webhook.endpoint_disabled', array[endpoint.organization_id],
               array[json_build_object('endpoint_id', endpoint.id, 'name', endpoint.name, 'url', endpoint.url,
                                       'reason', endpoint.disabled_reason)]);
end;
comment on function webhook._tell_disabled(webhook.endpoint) is
    'Internal: record webhook.endpoint_disabled';

create function webhook._disable_endpoints(endpoint_ids bigint[], reason text) returns void
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    update webhook.endpoint set status = 'disabled', disabled_reason = reason
     where id in (select t.id from webhook.endpoint t
                   where t.id = any (endpoint_ids) and t.status <> 'disabled'
                   order by t.id for update skip locked);
end;
comment on function webhook._disable_endpoints(bigint[], text) is
    'Internal: disable endpoints, for example whose receiver answered 410 Gone (RFC 9110 15.5.11); who is being changed waits for its next failure';

create function webhook._disable_after() returns interval
language sql stable
return justify_hours(current_setting('webhook.disable_after')::interval);
comment on function webhook._disable_after() is 'Internal: the setting webhook.disable_after';

create function webhook._judge_endpoints(recovered bigint[], failing bigint[], since timestamptz[], hopeless bigint[])
returns setof bigint
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    judged bigint[] := recovered || failing || hopeless;
    free bigint[];
begin
    -- Who changes an endpoint has its row, and then that of webhook.failing, until the end of
    -- a transaction: nobody waits for that.  What is free stays as it is from here on.
    free := array(select t.id from webhook.endpoint t
                   where t.id = any (judged)
                   order by t.id for no key update skip locked);
    delete from webhook.failing f
     where f.endpoint_id in (select unnest(recovered) intersect select unnest(free));
    insert into webhook.failing as f (endpoint_id, since)
    select n.endpoint_id, n.since
      from unnest(failing, since) as n(endpoint_id, since)
     where n.endpoint_id in (select unnest(free))
    on conflict on constraint failing_pkey do update set since = excluded.since;
    -- The table knows better than the worker, whose attempt may be older than another chance.
    perform webhook._disable_endpoints(array_agg(t.id), format('every attempt failed for %s', webhook._disable_after()))
       from webhook.endpoint t
       join webhook.failing f on f.endpoint_id = t.id
      where t.id in (select unnest(hopeless) intersect select unnest(free)) and t.status = 'enabled'
        and clock_timestamp() - f.since >= webhook._disable_after();
    return query
    select t.id from webhook.endpoint t
     where t.id = any (judged) and t.id not in (select unnest(free));
end
$$;
comment on function webhook._judge_endpoints(bigint[], bigint[], timestamptz[], bigint[]) is
    'Internal: write down which endpoints succeed again and which began to fail, and disable those that fail for webhook.disable_after, unless paused or given another chance; returns those that are being changed, which are to be judged later';
