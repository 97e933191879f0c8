-- An outbox, a log, and a job per event: emitted in one transaction.

create table outbox (
    id              bigint      generated always as identity primary key,
    event_type      text        not null,
    organization_id text        not null,
    created_at      timestamptz not null default clock_timestamp(),
    payload         text        not null
);

create table delivery_log (
    event_id      bigint      not null,
    attempt       int         not null,
    status        int,
    error         text,
    response_body text,
    started_at    timestamptz not null,
    duration      interval    not null
);
create index on delivery_log (event_id);

create function emit(event_type text, organization_id text, data text) returns bigint
language plpgsql as $$
declare
    body text := format('{"event":"%s","timestamp":"%s","organization":{"id":"%s","name":"Benchmark"},"data":%s}',
                        event_type, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                        organization_id, data);
    event_id bigint;
begin
    insert into outbox (event_type, organization_id, payload)
    values (event_type, organization_id, body)
    returning id into event_id;
    perform graphile_worker.add_job('deliver', json_build_object('id', event_id), max_attempts => 4);
    return event_id;
end
$$;
