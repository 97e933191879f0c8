-- Statistics of attempts, from shared memory: see extension/stats.h.

create function webhook._stat_database(out succeeded bigint, out failed bigint, out given_up bigint,
    out failures text[], out seconds float8, out minutes_succeeded int[], out minutes_failed int[],
    out reset_at timestamptz)
returns setof record
language c volatile strict rows 1 as 'MODULE_PATHNAME', 'webhook_stat_database';
comment on function webhook._stat_database() is 'Internal: the row of webhook.stat_database; none when the library was not preloaded';

create function webhook._stat_endpoints(out endpoint_id bigint, out succeeded bigint, out failed bigint,
    out given_up bigint, out failures text[], out seconds float8, out minutes_succeeded int[], out minutes_failed int[],
    out p50 float8, out p95 float8, out last_success_at timestamptz, out last_failure_at timestamptz,
    out last_error text)
returns setof record
language c volatile strict rows 100 as 'MODULE_PATHNAME', 'webhook_stat_endpoints';
comment on function webhook._stat_endpoints() is 'Internal: the statistics of this database''s endpoints';

create function webhook._stat_durations(out le float8, out count bigint)
returns setof record
language c volatile strict rows 32 as 'MODULE_PATHNAME', 'webhook_stat_durations';
comment on function webhook._stat_durations() is
    'Internal: attempts that took no longer than le seconds, as a cumulative histogram; the last le is NULL: no limit';

create function webhook.stat_reset() returns void
language c volatile strict as 'MODULE_PATHNAME', 'webhook_stat_reset';
comment on function webhook.stat_reset() is
    'Set the statistics of this database to zero: webhook.stat_database, webhook.stat_endpoint, what metrics and dashboard show of them; rows stay';
-- What was counted for an extension that was dropped is not of this one.
select webhook.stat_reset();

create function webhook._stat_forget(endpoint_id bigint) returns void
language c volatile strict as 'MODULE_PATHNAME', 'webhook_stat_forget';
comment on function webhook._stat_forget(bigint) is
    'Internal: forget the statistics of an endpoint: its id had another one before';

create view webhook.stat_database as
select s.succeeded, s.failed, s.given_up, s.failures,
       s.succeeded + s.failed as attempts,
       make_interval(secs => s.seconds / nullif(s.succeeded + s.failed, 0)) as mean_duration,
       s.minutes_succeeded, s.minutes_failed, s.reset_at
  from webhook._stat_database() s;
comment on view webhook.stat_database is E'Attempts of this database''s workers since the server started or webhook.stat_reset(), counted in shared memory; \\x is recommended';
comment on column webhook.stat_database.succeeded is 'Attempts that succeeded';
comment on column webhook.stat_database.failed is 'Attempts that failed';
comment on column webhook.stat_database.given_up is 'Deliveries that failed for good: no retry followed';
comment on column webhook.stat_database.failures is 'Failed attempts by error class, such as {timeout=3,http=12}';
comment on column webhook.stat_database.attempts is 'All attempts';
comment on column webhook.stat_database.mean_duration is 'Mean duration of an attempt; NULL before the first';
comment on column webhook.stat_database.minutes_succeeded is 'Attempts that succeeded in each of the last 60 minutes, the oldest first, the current one last';
comment on column webhook.stat_database.minutes_failed is 'The same of attempts that failed';
comment on column webhook.stat_database.reset_at is 'When they were reset; NULL: they are since the server started';

create view webhook.stat_endpoint as
select s.endpoint_id, t.organization_id, t.name, t.url, s.succeeded, s.failed, s.given_up, s.failures,
       make_interval(secs => s.p50) as p50, make_interval(secs => s.p95) as p95,
       s.last_success_at, s.last_failure_at, s.last_error, s.minutes_succeeded, s.minutes_failed
  from webhook._stat_endpoints() s
  join webhook.endpoint t on t.id = s.endpoint_id;
comment on view webhook.stat_endpoint is E'The same per endpoint, for the 2048 endpoints of the server that were used last; \\x is recommended';
comment on column webhook.stat_endpoint.endpoint_id is 'Endpoint';
comment on column webhook.stat_endpoint.organization_id is 'Its organization';
comment on column webhook.stat_endpoint.name is 'Its name, if it has one';
comment on column webhook.stat_endpoint.url is 'Where it delivers to';
comment on column webhook.stat_endpoint.succeeded is 'Attempts that succeeded';
comment on column webhook.stat_endpoint.failed is 'Attempts that failed';
comment on column webhook.stat_endpoint.given_up is 'Deliveries that failed for good: no retry followed';
comment on column webhook.stat_endpoint.failures is 'Failed attempts by error class, such as {timeout=3,http=12}';
comment on column webhook.stat_endpoint.p50 is 'Half of the attempts of the last half hour to an hour took no longer, as far as buckets tell; NULL: there was none';
comment on column webhook.stat_endpoint.p95 is 'The same for 95 of 100 attempts';
comment on column webhook.stat_endpoint.last_success_at is 'When the last attempt that succeeded ended; NULL: none';
comment on column webhook.stat_endpoint.last_failure_at is 'When the last attempt that failed ended; NULL: none';
comment on column webhook.stat_endpoint.last_error is 'Why that one failed';
comment on column webhook.stat_endpoint.minutes_succeeded is 'Attempts that succeeded in each of the last 60 minutes, the oldest first, the current one last';
comment on column webhook.stat_endpoint.minutes_failed is 'The same of attempts that failed';
