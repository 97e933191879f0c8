-- Metrics for Prometheus and its like.

create function webhook._labels(variadic pairs text[]) returns text
language sql stable parallel safe
return (
    select '{' || string_agg(format('%s="%s"', a[i],
                   replace(replace(replace(a[i + 1], E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n')), ',' order by i) || '}'
      from (select array['database', current_database()] || pairs) as labels(a)
     cross join lateral generate_subscripts(a, 1) as i
     where i % 2 = 1 and a[i + 1] is not null);
comment on function webhook._labels(text[]) is 'Internal: the labels of a metric from names and values in turn; a NULL value is left out';

create function webhook._metrics_of_memory(out family text, out suffix text, out labels text, out value float8)
returns setof record
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    select 'webhook_workers', '', webhook._labels('state', w.state), count(*)
      from webhook._workers() w group by w.state
    union all
    select 'webhook_in_flight_requests', '', webhook._labels(variadic '{}'), coalesce(sum(w.in_flight), 0) from webhook._workers() w
    union all
    select 'webhook_attempts', '_total', webhook._labels('result', 'succeeded'), d.succeeded from webhook._stat_database() d
    union all
    select 'webhook_attempts', '_total', webhook._labels('result', split_part(f.entry, '=', 1)), split_part(f.entry, '=', 2)::float8
      from webhook._stat_database() d cross join unnest(d.failures) as f(entry)
    union all
    select 'webhook_given_up_deliveries', '_total', webhook._labels(variadic '{}'), d.given_up from webhook._stat_database() d
    union all
    (select 'webhook_attempt_duration_seconds', '_bucket', webhook._labels('le', coalesce(h.le::text, '+Inf')), h.count
       from webhook._stat_durations() h order by h.le nulls last)
    union all
    select 'webhook_attempt_duration_seconds', '_sum', webhook._labels(variadic '{}'), d.seconds from webhook._stat_database() d
    union all
    select 'webhook_attempt_duration_seconds', '_count', webhook._labels(variadic '{}'), max(h.count)
      from webhook._stat_durations() h having count(*) > 0
    union all
    select v.family, v.suffix, webhook._labels('endpoint', s.endpoint_id::text, 'result', v.result), v.value
      from webhook._stat_endpoints() s
     cross join lateral (values
        ('webhook_endpoint_attempts', '_total', 'succeeded', s.succeeded),
        ('webhook_endpoint_attempts', '_total', 'failed', s.failed),
        ('webhook_endpoint_given_up_deliveries', '_total', null, s.given_up),
        ('webhook_endpoint_last_success_timestamp_seconds', '', null, extract(epoch from s.last_success_at))
     ) as v(family, suffix, result, value)
     where v.value is not null;
end;
comment on function webhook._metrics_of_memory() is 'Internal: the samples of webhook.openmetrics() that need no table';

create function webhook._metrics_of_waiting(out family text, out suffix text, out labels text, out value float8)
returns setof record
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    select v.family, '', webhook._labels(variadic '{}'), v.value
      from webhook._backlog(100000) b
     cross join lateral (values
        ('webhook_waiting_events', b.events),
        ('webhook_waiting_deliveries', b.deliveries),
        ('webhook_oldest_event_age_seconds', extract(epoch from clock_timestamp() - b.oldest_event)),
        ('webhook_oldest_delivery_age_seconds', extract(epoch from clock_timestamp() - b.oldest_delivery))
     ) as v(family, value);
end;
comment on function webhook._metrics_of_waiting() is 'Internal: the samples of webhook.openmetrics() about what waits';

create function webhook._metrics_of_sizes(out family text, out suffix text, out labels text, out value float8)
returns setof record
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    select 'webhook_relation_bytes', '', webhook._labels('relation', r.parent),
           (select sum(pg_total_relation_size(p.relid)) from pg_partition_tree(('webhook.' || r.parent)::regclass) p)
      from (values ('event'), ('attempt')) as r(parent)
    union all
    select 'webhook_relation_bytes', '', webhook._labels('relation', 'queue'), pg_total_relation_size('webhook.queue');
end;
comment on function webhook._metrics_of_sizes() is 'Internal: the samples of webhook.openmetrics() about the room on disk';

create function webhook._metrics_of_endpoints(out family text, out suffix text, out labels text, out value float8)
returns setof record
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    select 'webhook_endpoints', '', webhook._labels('status', t.status), count(*) from webhook.endpoint t group by t.status
    union all
    select 'webhook_endpoint', '_info',
           webhook._labels('endpoint', t.id::text, 'organization', t.organization_id, 'name', t.name, 'status', t.status), 1
      from webhook._stat_endpoints() s
      join webhook.endpoint t on t.id = s.endpoint_id;
end;
comment on function webhook._metrics_of_endpoints() is 'Internal: the samples of webhook.openmetrics() about what endpoints are';

create function webhook._metrics(out family text, out suffix text, out labels text, out value float8)
returns setof record
language plpgsql volatile security definer set search_path to pg_catalog, pg_temp set jit to off
-- definer: queue, cursors and endpoints are not granted to pg_monitor
as $$
begin
    return query select * from webhook._metrics_of_memory();
    if webhook._who_hides('^(event|queue|cursor)') is null then
        return query select * from webhook._metrics_of_waiting();
    end if;
    if webhook._who_hides('^(event|attempt|queue)') is null then
        return query select * from webhook._metrics_of_sizes();
    end if;
    if webhook._who_hides('^endpoint') is null then
        return query select * from webhook._metrics_of_endpoints();
    end if;
end
$$;
comment on function webhook._metrics() is
    'Internal: the samples of webhook.openmetrics(); without those for which it would have to wait for a lock';

create function webhook.openmetrics() returns text
language sql volatile
begin atomic
    with family(n, name, suffix, kind, help) as (values
        (1, 'webhook_workers', '', 'gauge', 'Workers of the database by state.'),
        (2, 'webhook_in_flight_requests', '', 'gauge', 'Requests on the wire.'),
        (3, 'webhook_attempts', '_total', 'counter', 'Attempts by result: succeeded, or the class of the error.'),
        (4, 'webhook_given_up_deliveries', '_total', 'counter', 'Deliveries that failed for good.'),
        (5, 'webhook_attempt_duration_seconds', '', 'histogram', 'How long attempts took.'),
        (6, 'webhook_waiting_events', '', 'gauge', 'Events emitted and not yet taken, counted up to 100000.'),
        (7, 'webhook_waiting_deliveries', '', 'gauge', 'Deliveries not finished, counted up to 100000.'),
        (8, 'webhook_oldest_event_age_seconds', '', 'gauge', 'Age of the oldest event that is not taken yet; 0: none.'),
        (9, 'webhook_oldest_delivery_age_seconds', '', 'gauge', 'Age of the oldest event with an unfinished delivery, at paused endpoints too; 0: none.'),
        (10, 'webhook_endpoints', '', 'gauge', 'Endpoints by status.'),
        (11, 'webhook_relation_bytes', '', 'gauge', 'Size of what is kept, indexes included.'),
        (12, 'webhook_endpoint_attempts', '_total', 'counter', 'Attempts of an endpoint by result.'),
        (13, 'webhook_endpoint_given_up_deliveries', '_total', 'counter', 'Deliveries of an endpoint that failed for good.'),
        (14, 'webhook_endpoint_last_success_timestamp_seconds', '', 'gauge', 'When the last attempt of an endpoint that succeeded ended.'),
        (15, 'webhook_endpoint', '_info', 'gauge', 'What an endpoint is; always 1.')),
    sample as materialized (
        select m.family, m.suffix, m.labels, m.value, row_number() over () as n from webhook._metrics() m),
    line(family, n, words) as (
        select f.n, -1, format('# HELP %s%s %s', f.name, f.suffix, f.help) from family f
        union all
        select f.n, 0, format('# TYPE %s%s %s', f.name, f.suffix, f.kind) from family f
        union all
        select f.n, s.n, s.family || s.suffix || s.labels || ' ' || coalesce(s.value, 0)
          from family f join sample s on s.family = f.name)
    select string_agg(l.words, E'\n' order by l.family, l.n) || E'\n# EOF' from line l;
end;
comment on function webhook.openmetrics() is
    'Metrics of this database in the text format of Prometheus: workers, attempts, a histogram of durations, what waits and for how long, sizes, counters of the endpoints used last. While somebody keeps readers from our tables, without what is counted in them';
