-- The dashboard: the last hour at a glance, from shared memory and by index.

create function webhook._sparkline(counts bigint[], top bigint) returns text
language sql stable parallel safe
-- Blocks of an eighth to a whole; signs of ASCII where the encoding has no blocks.
return (
    select string_agg(case when n = 0 then ' '
                           when getdatabaseencoding() = 'UTF8' then chr(9600 + level)
                           else substr('.:-=+*#@', level, 1) end, '' order by i)
      from unnest(counts) with ordinality as u(n, i)
     cross join lateral (select least(greatest(ceil(8.0 * n / top), 1), 8)::int) as l(level));
comment on function webhook._sparkline(bigint[], bigint) is
    'Internal: numbers as a row of bars, one character each, of which top fills the whole height; zero is a blank';

create function webhook._sums(counts int[], width int) returns bigint[]
language sql immutable parallel safe
return (
    select array_agg(total order by i)
      from (select (i - 1) / width, sum(n) from unnest(counts) with ordinality as u(n, i) group by 1) s(i, total));
comment on function webhook._sums(int[], int) is 'Internal: sums of so many neighbours each';

create function webhook._short_time(seconds float8) returns text
language sql immutable parallel safe
return case
    when seconds > 0 and seconds < 0.00095 then greatest(round(seconds::numeric * 1000, 1), 0.1) || ' ms'
    when seconds < 0.9995 then round(seconds::numeric * 1000) || ' ms'
    when seconds < 9.95 then round(seconds::numeric, 1) || ' s'
    when seconds < 99.5 then round(seconds::numeric) || ' s'
    when seconds < 5970 then round(seconds::numeric / 60) || ' min'
    when seconds < 356400 then round(seconds::numeric / 3600) || ' h'
    else round(seconds::numeric / 86400) || ' d'
end;
comment on function webhook._short_time(float8) is 'Internal: a duration in at most six characters, such as 12 ms, 1.2 s or 3 h; NULL for NULL';

create function webhook._short_text(words text, width int) returns text
language sql immutable parallel safe
return rpad(case when length(words) <= width then words else left(words, width - 2) || '..' end, width);
comment on function webhook._short_text(text, int) is 'Internal: text cut or filled to a width';

create function webhook._count(n bigint, most bigint) returns text
language sql immutable parallel safe
return case when n >= most then most || '+' else n::text end;
comment on function webhook._count(bigint, bigint) is 'Internal: a number that was counted up to another only';

create function webhook._dashboard_head() returns setof text
language sql volatile
begin atomic
    select format('%s at %s: %s attempts this minute, %s in the hour, %s failed',
                  left(current_database(), 30), to_char(clock_timestamp(), 'HH24:MI:SS'),
                  s.ok[60] + s.bad[60], o.total + b.total,
                  coalesce(round(100.0 * b.total / nullif(o.total + b.total, 0), 1) || ' %', 'none'))
      from webhook._stat_database() d
     cross join lateral (select d.minutes_succeeded, d.minutes_failed) s(ok, bad)
     cross join lateral (select sum(n) from unnest(s.ok) n) o(total)
     cross join lateral (select sum(n) from unnest(s.bad) n) b(total)
    union all
    (select left(format('worker %s/%s %s%s, %s on the wire%s', w.index + 1, w.total, w.state,
                        ' for ' || webhook._short_time(extract(epoch from clock_timestamp() - w.since)::float8),
                        w.in_flight,
                        case when w.state <> 'running' then ': ' || webhook._trouble(w.last_error, w.last_error_at, w.since) end), 118)
       from webhook._workers() w order by w.index limit 4)
    union all
    select 'no worker: webhook is not in shared_preload_libraries' where not exists (select from webhook._workers());
end;
comment on function webhook._dashboard_head() is
    'Internal: the lines of the dashboard about attempts and workers; from shared memory';

create function webhook._dashboard_backlog() returns text
language sql volatile set search_path to pg_catalog, pg_temp
begin atomic
    select format('waiting: %s events not taken%s, %s deliveries not finished%s',
                  webhook._count(b.events, 10000),
                  ' for up to ' || webhook._short_time(extract(epoch from clock_timestamp() - b.oldest_event)::float8),
                  webhook._count(b.deliveries, 10000),
                  ' for up to ' || webhook._short_time(extract(epoch from clock_timestamp() - b.oldest_delivery)::float8))
      from webhook._backlog(10000) b;
end;
comment on function webhook._dashboard_backlog() is 'Internal: the line of the dashboard about what waits';

create function webhook._dashboard_rows(most int, out rank bigint, out line text)
returns setof record
language sql volatile set search_path to pg_catalog, pg_temp set enable_seqscan to off set enable_bitmapscan to off
-- by index: most rows of the queue may be of one endpoint, and then a scan for
-- another one's looks cheap and finds nothing to stop at
begin atomic
    with known as materialized (select s as row from webhook._stat_endpoints() s),
    waits as (      -- those of what has waited longest
        select distinct q.endpoint_id
          from (select o.endpoint_id from webhook.queue o order by o.event_id, o.endpoint_id limit 1000) q)
    select a.rank,
           concat_ws(' ',
               webhook._short_text(format('#%s %s', t.id, regexp_replace(
                   coalesce(t.name, regexp_replace(t.url, '^https?://', '')), '[[:cntrl:]]', '?', 'g')), 24),
               webhook._short_text(t.status, 8),
               webhook._sparkline(a.ok, a.top), webhook._sparkline(a.bad, a.top),
               lpad(coalesce(webhook._short_time(a.p50), ''), 6), lpad(coalesce(webhook._short_time(a.p95), ''), 6),
               lpad(webhook._count((select count(*) from (select from webhook.queue q
                                                           where q.endpoint_id = t.id and q.next_attempt_at is not null
                                                           limit 1000) w), 1000), 7),
               left(regexp_replace(a.last_error, '[[:cntrl:]]', '?', 'g'), 30))
      from (select s.*, o.sums, b.sums, o.total + b.total,
                   greatest((select max(x) from unnest(o.sums || b.sums) x), 1),
                   row_number() over (order by b.total > 0 desc, s.waits and o.total + b.total = 0 desc,
                                               o.total + b.total desc, s.endpoint_id)
              from (select (k.row).*, w.endpoint_id is not null as waits
                      from known k left join waits w on w.endpoint_id = (k.row).endpoint_id
                    union all
                    select w.endpoint_id, 0, 0, 0, null, null, array_fill(0, '{60}'), array_fill(0, '{60}'),
                           null, null, null, null, null, true
                      from waits w where w.endpoint_id not in (select (k.row).endpoint_id from known k)) s
             cross join lateral (select sums, (select sum(x) from unnest(sums) x)
                                   from webhook._sums(s.minutes_succeeded, 4) sums) o(sums, total)
             cross join lateral (select sums, (select sum(x) from unnest(sums) x)
                                   from webhook._sums(s.minutes_failed, 4) sums) b(sums, total)
           ) a(endpoint_id, succeeded, failed, given_up, failures, seconds, minutes_succeeded, minutes_failed, p50, p95,
               last_success_at, last_failure_at, last_error, waits, ok, bad, total, top, rank)
      join webhook.endpoint t on t.id = a.endpoint_id
     where a.rank <= most;
end;
comment on function webhook._dashboard_rows(int) is
    'Internal: the lines of the dashboard about endpoints, those with failures in the last hour first, then those for which something waits and nothing was attempted in it, then the busiest';

create function webhook._dashboard() returns setof text
language plpgsql volatile security definer set search_path to pg_catalog, pg_temp set jit to off
-- definer: the queue is not granted
as $$
declare
    hidden_by constant text := webhook._who_hides('^(event|queue|cursor|endpoint)');
begin
    return query select h from webhook._dashboard_head() h;
    if hidden_by is not null then
        return next left('what waits is not known: ' || hidden_by, 118);
        return;
    end if;
    return next webhook._dashboard_backlog();
    return next '';
    return next format('%-24s %-8s %-15s %-15s %6s %6s %7s %s', 'endpoint', 'status', 'succeeded, 1 h', 'failed, 1 h',
                       'p50', 'p95', 'waiting', 'last error');
    return query select r.line from webhook._dashboard_rows(20) r order by r.rank;
end
$$;
comment on function webhook._dashboard() is 'Internal: the lines of webhook.dashboard';

create view webhook.dashboard as select d as dashboard from webhook._dashboard() d;
comment on view webhook.dashboard is
    E'What happens now, for \\watch: workers, what waits, and the 20 endpoints to look at first with bars for the last hour; 120 columns, no look at the log';
comment on column webhook.dashboard.dashboard is 'One line; in the bars a character is four minutes, the last one is now, and both columns of an endpoint have the same scale';
