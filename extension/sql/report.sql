-- A report as one HTML page, with charts made of SVG.

create function webhook._html(words text) returns text
language sql immutable parallel safe
return regexp_replace(replace(replace(replace(replace(replace(words, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
                                      '"', '&quot;'), '''', '&#39;'), E'[\\x01-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]', '?', 'g');
comment on function webhook._html(text) is 'Internal: text as the content of an HTML element or attribute; control characters become question marks';

create function webhook._style() returns text
language sql immutable parallel safe
return
    ':root{--back:#f6f7f9;--card:#fff;--ink:#1c2430;--soft:#667085;--line:#e4e7ec;--good:#2f9e6e;--bad:#d6454f;--blue:#3b6fd4;--pale:#9db8ec}'
    '@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1b212a;--ink:#e6eaf0;--soft:#98a2b3;--line:#2c3440;--good:#46b988;--bad:#ec6670;--blue:#7aa2f2;--pale:#6282bd}}'
    '*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);font:14px/1.45 system-ui,sans-serif}'
    'main{max-width:1080px;margin:0 auto;padding:28px 24px 40px}h1{font-size:22px;margin:0}h2{font-size:15px;margin:0 0 12px}'
    '.sub{color:var(--soft);margin:2px 0 20px}.cards{display:grid;grid-template-columns:repeat(6,1fr);gap:12px;margin-bottom:12px}'
    '.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}.wide{margin-bottom:12px}'
    '.two{display:grid;grid-template-columns:3fr 2fr;gap:12px;margin-bottom:12px}.big{font-size:22px;font-weight:650;font-variant-numeric:tabular-nums}'
    '.name{color:var(--soft);font-size:12px}svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:11px system-ui,sans-serif}'
    '.good{fill:var(--good)}.bad{fill:var(--bad)}.grid{stroke:var(--line)}.p50{stroke:var(--blue);fill:none;stroke-width:2}.p95{stroke:var(--pale);fill:none;stroke-width:2}'
    '.key{float:right;font-weight:400;font-size:12px;color:var(--soft)}.key i{display:inline-block;width:9px;height:9px;border-radius:2px;margin:0 5px 0 12px}'
    'table{border-collapse:collapse;width:100%}th{font-weight:500;font-size:12px;color:var(--soft);text-align:left}th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}'
    'tr:last-child td{border-bottom:0}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.spark{width:170px;padding-top:4px}'
    'code{font:12px ui-monospace,monospace;overflow-wrap:anywhere}.dot{display:inline-block;width:8px;height:8px;border-radius:50%;margin-right:6px;background:var(--good)}'
    '.paused{background:#e0a92b}.disabled{background:var(--soft)}footer{color:var(--soft);font-size:12px}';
comment on function webhook._style() is 'Internal: the style sheet of webhook.report()';

create function webhook._bars(good bigint[], bad bigint[], width int, height int) returns text
language sql immutable parallel safe
-- One bar per element, failures on top of successes; the tallest fills the height.
begin atomic
    select string_agg(format('<rect class="good" x="%s" y="%s" width="%s" height="%s"/>', x, round(height - g, 1), w, round(g, 1))
                      || case when b > 0 then format('<rect class="bad" x="%s" y="%s" width="%s" height="%s"/>',
                                                     x, round(height - g - b, 1), w, round(b, 1)) else '' end, '' order by i)
      from (select i, round((i - 1) * width::numeric / cardinality(good), 2), round(width * 0.8 / cardinality(good), 2),
                   good[i] * height::numeric / top, bad[i] * height::numeric / top
              from generate_subscripts(good, 1) i
             cross join (select greatest(max(good[n] + bad[n]), 1) from generate_subscripts(good, 1) n) t(top)) s(i, x, w, g, b)
     where g + b > 0;
end;
comment on function webhook._bars(bigint[], bigint[], int, int) is 'Internal: SVG bars of two series, the second on top of the first';

create function webhook._curve(class text, numbers float8[], top float8, width int, height int) returns text
language sql immutable parallel safe
begin atomic
    select case when count(*) = 1 then format('<circle class="%s" cx="%s" cy="%s" r="3"/>', class, min(x), min(y))
                else format('<polyline class="%s" points="%s"/>', class, string_agg(x || ',' || y, ' ' order by i)) end
      from generate_subscripts(numbers, 1) i
     cross join lateral (select round(((i - 0.6) * width / cardinality(numbers))::numeric, 1),
                                round((height - numbers[i] * height / top)::numeric, 1)) as p(x, y)
     where numbers[i] is not null;
end;
comment on function webhook._curve(text, float8[], float8, int, int) is 'Internal: an SVG line through numbers of which top is at the upper edge, or a point where there is one number; a NULL is passed over';

create function webhook._frame(inner_svg text, top text, since timestamptz, until timestamptz, width int, height int) returns text
language sql stable parallel safe
begin atomic
    select format('<svg viewBox="0 -14 %s %s" role="img">', width, height + 36)
           || (select string_agg(format('<line class="grid" x1="0" x2="%s" y1="%s" y2="%s"/>', width, y, y), '')
                 from unnest(array[0, height / 2, height]) y)
           || coalesce(inner_svg, '')
           || format('<text x="0" y="-4">%s</text>', webhook._html(top))
           || (select string_agg(format('<text x="%s" y="%s" text-anchor="%s">%s</text>', i * width / 4, height + 16,
                                        case i when 0 then 'start' when 4 then 'end' else 'middle' end,
                                        to_char(since + i * (until - since) / 4,
                                                case when until - since <= interval '2 days' then 'HH24:MI' else 'DD.MM.' end)),
                                 '' order by i)
                 from generate_series(0, 4) i)
           || '</svg>';
end;
comment on function webhook._frame(text, text, timestamptz, timestamptz, int, int) is
    'Internal: an SVG drawing with lines at nothing, half and all, what all is in words, and the time below';

create function webhook._report_cards(since timestamptz) returns text
language sql stable
begin atomic
    select string_agg(format('<div class="card"><div class="name">%s</div><div class="big">%s</div></div>', c.name, c.value), '' order by c.n)
      from (select count(*), count(*) filter (where a.error is null),
                   count(*) filter (where a.outcome = 'failed'),
                   percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from a.duration)::float8)
              from webhook.attempt a
             where a.event_id >= webhook._uuid_at(since) and a.error_class is distinct from 'cancelled') t(attempts, good, failed, p)
     cross join lateral (values
        (1, 'events', (select count(*) from webhook.event e
                        where e.id >= webhook._uuid_at(since) and not e.is_test and e.event_type not like 'webhook.%')::text),
        (2, 'attempts', t.attempts::text),
        (3, 'succeeded', coalesce(round(100.0 * t.good / nullif(t.attempts, 0), 1) || ' %', '&ndash;')),
        (4, 'deliveries failed', t.failed::text),
        (5, 'p50 of durations', coalesce(webhook._short_time(t.p[1]), '&ndash;')),
        (6, 'p95 of durations', coalesce(webhook._short_time(t.p[2]), '&ndash;'))) as c(n, name, value);
end;
comment on function webhook._report_cards(timestamptz) is 'Internal: the figures at the head of webhook.report()';

create function webhook._report_errors(since timestamptz) returns text
language sql stable
begin atomic
    with class as (
        select a.error_class as name, count(*) as number
          from webhook.attempt a
         where a.event_id >= webhook._uuid_at(since) and a.error_class <> 'cancelled'
         group by 1 order by 2 desc, 1 limit 8)
    select '<div class="card"><h2>Failed attempts by kind</h2>'
           || coalesce('<svg viewBox="0 0 400 176" role="img">'
                       || string_agg(format('<text x="0" y="%s">%s</text><rect class="bad" x="80" y="%s" width="%s" height="12" rx="2"/>'
                                            '<text x="%s" y="%s">%s</text>',
                                            22 * n - 8, webhook._html(name), 22 * n - 18, round(240.0 * number / most, 1),
                                            round(240.0 * number / most, 1) + 86, 22 * n - 8, number), '' order by n)
                       || '</svg>', '<p class="name">none</p>')
           || '</div>'
      from (select c.name, c.number, max(c.number) over () as most, row_number() over (order by c.number desc, c.name) as n
              from class c) c;
end;
comment on function webhook._report_errors(timestamptz) is 'Internal: the chart of error classes of webhook.report()';

create function webhook._report_charts(since timestamptz, until timestamptz) returns text
language sql stable
begin atomic
    with attempt as (
        select width_bucket(extract(epoch from a.started_at)::float8, extract(epoch from since)::float8,
                            extract(epoch from until)::float8, 48) as n, a.error is null as is_good,
               extract(epoch from a.duration)::float8 as seconds
          from webhook.attempt a
         where a.event_id >= webhook._uuid_at(since) and a.error_class is distinct from 'cancelled'),
    bucket as (
        select n, count(*) filter (where is_good) as good, count(*) filter (where not is_good) as bad,
               percentile_cont(array[0.5, 0.95]) within group (order by greatest(seconds, 0.001)) as p
          from attempt where n between 1 and 48 group by n),
    series as (
        select array_agg(coalesce(b.good, 0) order by n) as good, array_agg(coalesce(b.bad, 0) order by n) as bad,
               array_agg(ln(b.p[1] / 0.001) order by n) as p50, array_agg(ln(b.p[2] / 0.001) order by n) as p95,
               max(b.good + b.bad) as most, greatest(max(b.p[2]), 0.01) as slowest
          from generate_series(1, 48) n left join bucket b using (n))
    select '<div class="card wide"><h2>Attempts<span class="key"><i style="background:var(--good)"></i>succeeded'
           '<i style="background:var(--bad)"></i>failed</span></h2>'
           || webhook._frame(webhook._bars(s.good, s.bad, 1000, 160), coalesce(s.most, 0)::text, since, until, 1000, 160)
           || '</div><div class="two"><div class="card"><h2>Duration<span class="key"><i style="background:var(--blue)"></i>p50'
           '<i style="background:var(--pale)"></i>p95</span></h2>'
           || webhook._frame(webhook._curve('p95', s.p95, ln(s.slowest / 0.001), 600, 140)
                             || webhook._curve('p50', s.p50, ln(s.slowest / 0.001), 600, 140),
                             format('%s, half of the way %s, below 1 ms', webhook._short_time(s.slowest),
                                    webhook._short_time(sqrt(s.slowest * 0.001))), since, until, 600, 140)
           || '</div>' || webhook._report_errors(since) || '</div>'
      from series s;
end;
comment on function webhook._report_charts(timestamptz, timestamptz) is 'Internal: the charts of webhook.report()';

create function webhook._report_endpoints(since timestamptz, until timestamptz) returns text
language sql stable
begin atomic
    with attempt as (
        select a.endpoint_id, width_bucket(extract(epoch from a.started_at)::float8, extract(epoch from since)::float8,
                                           extract(epoch from until)::float8, 24) as n,
               a.error is null as is_good, extract(epoch from a.duration)::float8 as seconds
          from webhook.attempt a
         where a.event_id >= webhook._uuid_at(since) and a.error_class is distinct from 'cancelled'),
    endpoint as (
        select endpoint_id, count(*) filter (where is_good) as good, count(*) filter (where not is_good) as bad,
               percentile_cont(array[0.5, 0.95]) within group (order by seconds) as p
          from attempt group by 1 order by 3 desc, 2 desc, 1 limit 50),
    bucket as (
        select endpoint_id, n, count(*) filter (where is_good) as good, count(*) filter (where not is_good) as bad
          from attempt where endpoint_id in (select e.endpoint_id from endpoint e) group by 1, 2),
    series as (
        select e.endpoint_id, array_agg(coalesce(b.good, 0) order by n) as good, array_agg(coalesce(b.bad, 0) order by n) as bad
          from endpoint e cross join generate_series(1, 24) n left join bucket b using (endpoint_id, n) group by 1)
    select '<div class="card wide"><h2>Endpoints</h2><table><tr><th>endpoint<th>organization<th>attempts over time'
           '<th class="n">succeeded<th class="n">failed<th class="n">p50<th class="n">p95</tr>'
           || coalesce(string_agg(format(
                  '<tr><td><span class="dot %s"></span>%s<br><code>%s</code></td><td>%s</td>'
                  '<td class="spark"><svg viewBox="0 0 170 30">%s</svg></td>'
                  '<td class="n">%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>',
                  coalesce(t.status, 'disabled'), webhook._html(coalesce(t.name, '#' || e.endpoint_id)),
                  webhook._html(coalesce(t.url, 'deleted')), webhook._html(coalesce(o.name, t.organization_id, '')),
                  webhook._bars(s.good, s.bad, 170, 30), e.good, e.bad,
                  webhook._short_time(e.p[1]), webhook._short_time(e.p[2])), '' order by e.bad desc, e.good desc, e.endpoint_id), '')
           || '</table></div>'
      from endpoint e
      join series s using (endpoint_id)
      left join webhook.endpoint t on t.id = e.endpoint_id
      left join webhook.organization o on o.id = t.organization_id;
end;
comment on function webhook._report_endpoints(timestamptz, timestamptz) is
    'Internal: the table of endpoints of webhook.report(): the 50 with the most failures';

create function webhook._report_failures(since timestamptz) returns text
language sql stable
begin atomic
    select '<div class="card wide"><h2>The latest deliveries that failed</h2>'
           || coalesce('<table><tr><th>when<th>event<th>endpoint<th>error<th>answer</tr>'
                       || string_agg(format('<tr><td class="name">%s</td><td>%s</td><td><code>%s</code></td><td>%s</td><td><code>%s</code></td></tr>',
                              to_char(f.at, 'YYYY-MM-DD HH24:MI:SS'), webhook._html(f.event_type), webhook._html(f.url),
                              webhook._html(f.error), webhook._html(left(f.response_body, 200))), '' order by f.at desc)
                       || '</table>', '<p class="name">none</p>')
           || '</div>'
      from (select a.started_at + a.duration as at, e.event_type, a.url, a.error, a.response_body
              from webhook.attempt a
              left join webhook.event e on e.id = a.event_id
             where a.event_id >= webhook._uuid_at(since) and a.outcome = 'failed'
             order by a.event_id desc, a.endpoint_id limit 12) f;
end;
comment on function webhook._report_failures(timestamptz) is 'Internal: the table of failed deliveries of webhook.report()';

create function webhook.report(since timestamptz) returns text
language sql stable set datestyle to iso
begin atomic
    select '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
           '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''">'
           || format('<title>Webhooks of %s</title><style>%s</style></head>', webhook._html(current_database()), webhook._style())
           || format('<body><main><h1>Webhooks of %s</h1><p class="sub">Events emitted from %s to %s</p>',
                     webhook._html(current_database()), date_trunc('second', u.since), date_trunc('second', u.until))
           || '<div class="cards">' || webhook._report_cards(u.since) || '</div>'
           || webhook._report_charts(u.since, u.until)
           || webhook._report_endpoints(u.since, u.until)
           || webhook._report_failures(u.since)
           || '<footer>Made by webhook ' || (select v.extension from webhook.version() v) || '</footer></main></body></html>'
      -- Not beyond what is kept, whoever asks for all there is.
      from (select greatest(least(report.since, now() + interval '1 day'),
                            now() - current_setting('webhook.retention')::interval * 7 / 6), clock_timestamp()) u(since, until)
     where report.since is not null;
end;
comment on function webhook.report(timestamptz) is
    'A page of HTML with charts about the events emitted since a moment and their deliveries, for psql -XAtqc ... > report.html; complete in itself, no script, every value escaped. Shows what the caller may read';

create function webhook.report(since interval) returns text
language sql stable
begin atomic
    -- Not so long that there is no such moment.
    select webhook.report(clock_timestamp() - greatest(least(since, current_setting('webhook.retention')::interval * 2), '-1 day'))
     where since is not null;
end;
comment on function webhook.report(interval) is 'The same about the time up to now';

create function webhook.report(since text default '24 hours') returns text
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
declare
    duration interval;
    moment   timestamptz;
begin
    begin
        if since !~ '^[[:space:]]*[0-9]{4}-[0-9]' then
            duration := since;
        end if;
    exception when data_exception then
        null;       -- a moment, perhaps, as yesterday
    end;
    if duration is not null then
        return webhook.report(duration);
    end if;
    begin
        moment := since;
    exception when invalid_datetime_format or datetime_field_overflow then
        raise exception 'invalid time "%" for a report', since
            using errcode = 'invalid_datetime_format',
                  hint = 'Give a duration such as 7 days, or a moment such as 2026-01-08 10:30.';
    end;
    return webhook.report(moment);
end
$$;
comment on function webhook.report(text) is 'The same for a literal: a duration such as 7 days, or a moment such as 2026-01-08 10:30';
