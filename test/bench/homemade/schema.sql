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

-- In bulk: one by one, graphile_worker.add_job takes half a millisecond.
create function emit_many(event_type text, organization_id text, data text[]) returns void
language plpgsql as $$
declare
    ids bigint[];
begin
    with event as (
        insert into outbox (event_type, organization_id, payload)
        select event_type, organization_id,
            format('{"event":"%s","timestamp":"%s","organization":{"id":"%s","name":"Benchmark"},"data":%s}',
                   event_type, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   organization_id, d)
        from unnest(data) d
        returning id
    )
    select array_agg(id) into ids from event;
    perform graphile_worker.add_jobs(array_agg(
        ('deliver', json_build_object('id', id), null, null, 4, null, null, null)::graphile_worker.job_spec))
    from unnest(ids) id;
end
$$;
