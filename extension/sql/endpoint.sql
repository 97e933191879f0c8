-- Configuration: checks and triggers that hold however a row comes in.

create function webhook._check_url(url text) returns void
language c stable strict parallel safe as 'MODULE_PATHNAME', 'webhook_check_url';
comment on function webhook._check_url(text) is 'Internal: raise 22023 unless an endpoint may have this URL; the policy is in extension/guard.h';

create function webhook._nearest(wanted text, known text[]) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'webhook_nearest';
comment on function webhook._nearest(text, text[]) is 'Internal: the nearest of some names by edit distance; NULL when none is near';

create function webhook._make_secret() returns text
language c volatile strict as 'MODULE_PATHNAME', 'webhook_make_secret';
comment on function webhook._make_secret() is 'Internal: whsec_ and base64 of 32 strong random bytes (Standard Webhooks 1.0.0)';

create function webhook._is_standard_secret(secret text) returns boolean
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'webhook_is_standard_secret';
comment on function webhook._is_standard_secret(text) is 'Internal: whether a secret can make webhook-signature: whsec_ and base64 of 24 to 64 bytes';

create function webhook._config_changed() returns trigger
language c as 'MODULE_PATHNAME', 'webhook_config_changed';
comment on function webhook._config_changed() is 'Internal: trigger; workers look at the configuration after commit';

create function webhook._due_changed() returns trigger
language c as 'MODULE_PATHNAME', 'webhook_due_changed';
comment on function webhook._due_changed() is 'Internal: trigger; workers look for due deliveries after commit';

create function webhook._operational_events() returns text[]
language sql immutable parallel safe
return array['webhook.test', 'webhook.endpoint_disabled', 'webhook.delivery_failed'];
comment on function webhook._operational_events() is 'Internal: names under webhook. that can be subscribed to, by exact name only';

create function webhook._check_events(events text[]) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
declare
    unknown text;
    nearest text;
begin
    -- Workers look through it for each event, for whomever they also work.
    if array_ndims(events) > 1 or cardinality(events) > 1000 then
        raise exception 'endpoint events must be a list of up to 1000 names'
            using errcode = 'invalid_parameter_value', hint = 'Write for example ''{review.completed,team.*}''.';
    end if;
    if array_position(events, null) is not null then
        raise exception 'endpoint events must not contain null'
            using errcode = 'invalid_parameter_value', hint = 'Write for example ''{review.completed,team.*}''.';
    end if;
    if coalesce(cardinality(events), 0) = 0 then
        raise exception 'endpoint must subscribe to at least one event'
            using errcode = 'invalid_parameter_value',
                  hint = 'List event names, category.*, or use ''{*}'' for all.';
    end if;
    select e into unknown
      from unnest(events) e
     where e <> '*' and e <> all (webhook._operational_events())
       and not exists (select from webhook.event_type t
                        where t.name = e or t.category || '.*' = e)
     limit 1;
    if unknown is null then
        return;
    end if;
    nearest := webhook._nearest(unknown,
        (select array_agg(name) || array_agg(distinct category || '.*') || webhook._operational_events()
           from webhook.event_type));
    raise exception 'unknown event type "%"', unknown
        using errcode = 'invalid_parameter_value',
              hint = case when unknown = 'webhook.*'
                          then 'List them by their names: ' || array_to_string(webhook._operational_events(), ', ') || '.'
                          else coalesce('Perhaps you meant "' || nearest || '".',
                                        'See the known ones: select name from webhook.event_type') end;
end
$$;
comment on function webhook._check_events(text[]) is 'Internal: raise 22023 unless every entry of a subscription is known';

create function webhook._check_event(event text) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
begin
    if event is null or event like '%*' then
        raise exception 'the exact name of an event is needed'
            using errcode = case when event is null then 'null_value_not_allowed' else 'invalid_parameter_value' end,
                  hint = 'Leave it out for webhook.test, or see: select name from webhook.event_type';
    end if;
    perform webhook._check_events(array[event]);
end
$$;
comment on function webhook._check_event(text) is 'Internal: raise 22004 or 22023 unless it is the name of one known event';

create function webhook._check_schedule(schedule interval[]) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
begin
    if cardinality(schedule) = 0 then
        return;
    end if;
    if array_ndims(schedule) <> 1 or array_lower(schedule, 1) <> 1 or cardinality(schedule) > 32
       or array_position(schedule, null) is not null or not webhook._is_schedule(schedule) then
        raise exception 'invalid retry schedule'
            using errcode = 'invalid_parameter_value',
                  detail = 'A retry schedule is a list of up to 32 delays, none of them null, negative or over a year.',
                  hint = 'Write for example ''{1s,10s,60s}'', or ''{}'' for one attempt.';
    end if;
end
$$;
comment on function webhook._check_schedule(interval[]) is 'Internal: raise 22023 for a malformed retry schedule';

create function webhook._check_limits(endpoint webhook.endpoint) returns void
language plpgsql immutable set search_path to pg_catalog, pg_temp
-- The constraints of the table say the same, but with the whole row.
as $$
begin
    if endpoint.url is null then
        raise exception 'endpoint must have a URL' using errcode = 'not_null_violation';
    end if;
    if endpoint.name = '' then
        raise exception 'endpoint name must not be empty'
            using errcode = 'check_violation', hint = 'Use null for an endpoint without a name.';
    end if;
    if length(endpoint.name) > 256 then
        raise exception 'endpoint name is too long'
            using errcode = 'check_violation',
                  detail = format('It has %s characters, and at most 256 are possible.', length(endpoint.name)),
                  hint = 'Keep what it is for in the description.';
    end if;
    if endpoint.status is null or endpoint.status not in ('enabled', 'paused', 'disabled') then
        raise exception 'invalid endpoint status "%"', coalesce(endpoint.status, 'null')
            using errcode = 'check_violation', hint = 'Use enabled, paused or disabled.';
    end if;
    if length(endpoint.disabled_reason) > 1000 then
        raise exception 'reason for disabling an endpoint is too long'
            using errcode = 'check_violation',
                  detail = format('It has %s characters, and at most 1000 are possible.', length(endpoint.disabled_reason));
    end if;
    if extract(epoch from endpoint.timeout) not between 0.001 and 3600 then
        raise exception 'invalid endpoint timeout'
            using errcode = 'invalid_parameter_value',
                  detail = format('The timeout is %s.', endpoint.timeout),
                  hint = 'Use a timeout between 1 ms and 1 hour, or null for the setting webhook.timeout.';
    end if;
    if endpoint.max_in_flight not between 1 and 10000 then
        raise exception 'invalid limit of requests in flight'
            using errcode = 'check_violation', detail = format('max_in_flight is %s.', endpoint.max_in_flight),
                  hint = 'Use 1 to 10000, or null for the setting webhook.max_in_flight_per_endpoint.';
    end if;
    if endpoint.rate_limit not between 0.001 and 100000 then
        raise exception 'invalid limit of requests per second'
            using errcode = 'check_violation', detail = format('rate_limit is %s.', endpoint.rate_limit),
                  hint = 'Use 0.001 to 100000, or null for none.';
    end if;
end
$$;
comment on function webhook._check_limits(webhook.endpoint) is
    'Internal: raise 22023, 23502 or 23514 unless name, status, timeout and limits of an endpoint are right, and it has a URL';

create function webhook._is_restoring() returns boolean
language c stable strict as 'MODULE_PATHNAME', 'webhook_is_restoring';
comment on function webhook._is_restoring() is 'Internal: whether this session restores a dump, as pg_dump and pg_restore set it up: rows come in any order and are as they were; superusers and members of role webhook only';

create function webhook._is_worker() returns boolean
language c stable strict as 'MODULE_PATHNAME', 'webhook_is_worker';
comment on function webhook._is_worker() is 'Internal: whether a worker asks';

create function webhook._next_xid() returns xid8
language c volatile strict as 'MODULE_PATHNAME', 'webhook_next_xid';
comment on function webhook._next_xid() is 'Internal: the transaction id that is given out next: what has it or a later one begins to write after now';

create function webhook._check_endpoint() returns trigger
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    if webhook._is_restoring() then
        return new;
    end if;
    if tg_op = 'INSERT' then
        perform webhook._hold_organization(new.organization_id);
    end if;
    -- One without its organization must not stop the worker, which disables it.
    if (tg_op = 'INSERT' or new.organization_id is distinct from old.organization_id)
       and not exists (select from webhook.organization where id = new.organization_id) then
        raise exception 'unknown organization "%"', coalesce(new.organization_id, 'null')
            using errcode = 'foreign_key_violation',
                  hint = case when new.organization_id is null then 'See: select id, name from webhook.organization'
                              else format('Record it first: select webhook.set_organization(%L, ''its name'')', new.organization_id) end;
    end if;
    if tg_op = 'UPDATE' and (new.id <> old.id or new.organization_id <> old.organization_id) then
        raise exception 'endpoint cannot change its id or organization'
            using errcode = 'invalid_parameter_value',
                  hint = 'Create another endpoint and delete this one.';
    end if;
    new.revision := case tg_op when 'INSERT' then 1 else old.revision + 1 end;
    if tg_op = 'INSERT' then
        new.created_xid := webhook._next_xid();
    end if;
    -- Somebody chose the moment from which it receives: that alone counts.
    if tg_op = 'INSERT' and new.created_at not between clock_timestamp() - interval '1 s' and clock_timestamp()
       or tg_op = 'UPDATE' and new.created_at <> old.created_at then
        new.created_xid := null;
    end if;
    -- What was right when it was written must not stop a later change.
    if tg_op = 'INSERT' or new.url is distinct from old.url then
        perform webhook._check_url(new.url);
    end if;
    if tg_op = 'INSERT' or new.events is distinct from old.events then
        perform webhook._check_events(new.events);
    end if;
    if tg_op = 'INSERT' or new.retry_schedule is distinct from old.retry_schedule then
        perform webhook._check_schedule(new.retry_schedule);
    end if;
    perform webhook._check_limits(new);
    if new.status = 'disabled' then
        new.disabled_at := coalesce(new.disabled_at, clock_timestamp());
    else
        new.disabled_at := null;
        new.disabled_reason := null;
    end if;
    return new;
end
$$;
comment on function webhook._check_endpoint() is 'Internal: trigger; checks an endpoint whichever way it comes in';

create function webhook._endpoint_changed() returns trigger
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: secrets, queue and outbox are not granted to those who manage endpoints
as $$
begin
    if webhook._is_restoring() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into webhook.endpoint_secret (endpoint_id, secret)
        values (new.id, webhook._make_secret());
        -- Not when one is deleted, which may have results to come.
        perform webhook._stat_forget(new.id);
        return null;
    end if;
    if tg_op = 'DELETE' then
        perform webhook._cancel_waiting(old.id, 'the endpoint was deleted');
        delete from webhook.endpoint_secret where endpoint_id = old.id;
        delete from webhook.endpoint_header where endpoint_id = old.id;
        delete from webhook.failing where endpoint_id = old.id;
        return null;
    end if;
    -- A worker cancels some at a time, for others wait for it.
    if 'disabled' in (old.status, new.status) and old.status <> new.status and not webhook._is_worker() then
        perform webhook._cancel_waiting(new.id, 'the endpoint was disabled');
    end if;
    if new.status = 'disabled' and old.status <> 'disabled' then
        perform webhook._tell_disabled(new);
    elsif new.url <> old.url or new.status = 'enabled' and old.status <> 'enabled' then
        delete from webhook.failing where endpoint_id = new.id;     -- another chance
    end if;
    return null;
end
$$;
comment on function webhook._endpoint_changed() is 'Internal: trigger; makes a secret for a new endpoint and forgets who had its id, cancels what waits for a disabled or deleted one, tells of a disabled one';

create function webhook._secret_changed() returns trigger
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: only the owner reads secrets
as $$
begin
    if webhook._is_restoring() then
        return null;
    end if;
    update webhook.endpoint set revision = revision + 1
     where id = coalesce(new.endpoint_id, old.endpoint_id);
    return null;
end
$$;
comment on function webhook._secret_changed() is 'Internal: trigger; a new secret is a change of its endpoint';

create trigger check_endpoint before insert or update on webhook.endpoint
    for each row execute function webhook._check_endpoint();
create trigger endpoint_changed after insert or update or delete on webhook.endpoint
    for each row execute function webhook._endpoint_changed();
create trigger announce after insert or update or delete on webhook.endpoint
    for each statement execute function webhook._config_changed();
create trigger secret_changed after insert or update on webhook.endpoint_secret
    for each row execute function webhook._secret_changed();
-- Where replication writes it, too: this has become a copy.
create trigger announce after insert or update or delete on webhook.identity
    for each row execute function webhook._config_changed();
alter table webhook.identity enable always trigger announce;
create trigger announce after insert or update on webhook.queue
    for each statement execute function webhook._due_changed();
-- Where a trigger on a replicated table asks for a redelivery, too.
alter table webhook.queue enable always trigger announce;

create function webhook.create_endpoint(
    organization_id text, url text, events text[] default '{*}', description text default null,
    name text default null, out endpoint_id bigint, inout secret text default null,
    retry_schedule interval[] default null, timeout interval default null,
    max_in_flight int default null, rate_limit numeric default null, headers json default null)
returns record
language plpgsql security definer set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan
set check_function_bodies to on
-- definer: returns the secret once, which its caller cannot read from the table
-- generic plans: others hold the secret, and plans can be logged
-- function bodies: a session that restores a dump is let off checks; not here
as $$
#variable_conflict use_column
declare
    is_known boolean := false;
begin
    perform webhook._check_access(create_endpoint.organization_id);
    perform webhook._check_secret(create_endpoint.secret);
    if create_endpoint.name is not null then
        update webhook.endpoint e
           set url = create_endpoint.url, events = create_endpoint.events,
               description = create_endpoint.description,
               retry_schedule = create_endpoint.retry_schedule, timeout = create_endpoint.timeout,
               max_in_flight = create_endpoint.max_in_flight, rate_limit = create_endpoint.rate_limit
         where e.organization_id = create_endpoint.organization_id and e.name = create_endpoint.name
        returning e.id into endpoint_id;
        is_known := found;
    end if;
    if not is_known then
        -- Somebody may make it at the same moment: then this waits, and updates.
        insert into webhook.endpoint as e (organization_id, url, events, description, name,
                                           retry_schedule, timeout, max_in_flight, rate_limit)
        values (create_endpoint.organization_id, create_endpoint.url, create_endpoint.events,
                create_endpoint.description, create_endpoint.name,
                create_endpoint.retry_schedule, create_endpoint.timeout,
                create_endpoint.max_in_flight, create_endpoint.rate_limit)
            on conflict (organization_id, name) do update
           set url = excluded.url, events = excluded.events, description = excluded.description,
               retry_schedule = excluded.retry_schedule, timeout = excluded.timeout,
               max_in_flight = excluded.max_in_flight, rate_limit = excluded.rate_limit
        returning e.id, e.revision > 1 into endpoint_id, is_known;
    end if;
    if create_endpoint.headers is not null then
        perform webhook._set_headers(endpoint_id, create_endpoint.headers);
    end if;
    if is_known then
        if create_endpoint.secret is not null then
            raise notice 'the secret of an endpoint that exists was not changed'
                using hint = format('Run: select webhook.rotate_secret(%s, secret => ...)', endpoint_id);
        end if;
        create_endpoint.secret := null;
        return;
    end if;
    if create_endpoint.secret is not null then
        update webhook.endpoint_secret s set secret = create_endpoint.secret
         where s.endpoint_id = create_endpoint.endpoint_id;
        perform webhook._note_imported_secret(create_endpoint.secret);
    end if;
    select s.secret into create_endpoint.secret from webhook.endpoint_secret s
     where s.endpoint_id = create_endpoint.endpoint_id and s.expires_at is null;
end
$$;
comment on function webhook.create_endpoint(text, text, text[], text, text, text, interval[], interval, int, numeric, json) is
    'Create an endpoint; returns its id and its secret, which is made unless given (16 to 1024 characters). headers: an object of names and values. With a name that exists in the organization: updates that endpoint, same id, secret NULL, its headers stay unless given. Errors: 22023, unknown organization 23503, no URL 23502, a name that is empty or longer than 256 characters or a limit out of range 23514';
