-- What people look at.

-- The condition stands around the union, not in it: a union that is the whole
-- view is flattened, and then conditions of the reader come first.
create view webhook.delivery with (security_barrier) as
select d.*
  from (select q.event_id, q.endpoint_id, e.organization_id, e.event_type,
               case when q.next_attempt_at is null then 'sending'
                    when q.first_attempt < 0 then 'cancelled' else 'pending' end as status,
               q.attempts, case when q.first_attempt > 0 then q.next_attempt_at end as next_attempt_at, q.created_at,
               case when q.first_attempt < 0 then q.next_attempt_at end as completed_at,
               abs(q.first_attempt) > 1 as is_redelivery
          from webhook.queue q
          left join webhook.event e on e.id = q.event_id
        union all
        select a.event_id, a.endpoint_id, a.organization_id, e.event_type,
               a.outcome, a.attempt, null, a.delivery_created_at, a.started_at + a.duration, a.is_redelivery
          from webhook.attempt a
          left join webhook.event e on e.id = a.event_id
         where a.outcome is not null) d
 where webhook._has_access(d.organization_id);
comment on view webhook.delivery is 'One row per delivery that a worker has taken: what waits, what is on the wire, what has ended';
comment on column webhook.delivery.event_id is 'Event being delivered';
comment on column webhook.delivery.endpoint_id is 'Endpoint it is delivered to';
comment on column webhook.delivery.organization_id is 'Organization of both';
comment on column webhook.delivery.event_type is 'Name of the event';
comment on column webhook.delivery.status is 'pending, sending, succeeded, failed or cancelled';
comment on column webhook.delivery.attempts is 'Attempts begun so far';
comment on column webhook.delivery.next_attempt_at is 'When it is attempted next; NULL unless pending';
comment on column webhook.delivery.created_at is 'When a worker took it';
comment on column webhook.delivery.completed_at is 'When it ended; NULL while pending or sending';
comment on column webhook.delivery.is_redelivery is 'True when it had been attempted before and somebody asked for it again';

create view webhook.delivery_log with (security_barrier) as
select d.created_at, d.event_type, d.organization_id, d.endpoint_id,
       coalesce(a.url, t.url) as url, d.status, d.attempts, a.response_status,
       case when d.status = 'cancelled' then coalesce(a.error, 'cancelled by hand') else a.error end as error,
       d.next_attempt_at, d.completed_at, a.response_body, e.payload, d.event_id,
       d.is_redelivery
  from webhook.delivery d
  left join webhook.event e on e.id = d.event_id
  left join webhook.endpoint t on t.id = d.endpoint_id and t.organization_id = d.organization_id
  left join lateral (select a.url, a.response_status, a.error, a.response_body
                       from webhook.attempt a
                      where a.event_id = d.event_id and a.endpoint_id = d.endpoint_id
                      order by a.attempt desc, a.started_at desc limit 1) a on true;
comment on view webhook.delivery_log is E'One row per delivery with its last attempt and the payload that was sent, for people; \\x is recommended';
comment on column webhook.delivery_log.created_at is 'When a worker took it';
comment on column webhook.delivery_log.event_type is 'Name of the event';
comment on column webhook.delivery_log.organization_id is 'Organization of event and endpoint';
comment on column webhook.delivery_log.endpoint_id is 'Endpoint it is delivered to';
comment on column webhook.delivery_log.url is 'URL of the last attempt, or of the endpoint';
comment on column webhook.delivery_log.status is 'pending, sending, succeeded, failed or cancelled';
comment on column webhook.delivery_log.attempts is 'Attempts begun so far';
comment on column webhook.delivery_log.response_status is 'HTTP status of the last attempt';
comment on column webhook.delivery_log.error is 'Why the last attempt failed; NULL after a success';
comment on column webhook.delivery_log.next_attempt_at is 'When it is attempted next; NULL unless pending';
comment on column webhook.delivery_log.completed_at is 'When it ended; NULL while pending or sending';
comment on column webhook.delivery_log.response_body is 'Response body of the last attempt';
comment on column webhook.delivery_log.payload is 'The request body, the same on every attempt';
comment on column webhook.delivery_log.event_id is 'Event id';
comment on column webhook.delivery_log.is_redelivery is 'True when it had been attempted before and somebody asked for it again';

create function webhook._who_locks(tables text default '',
    modes text[] default '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
returns text
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select string_agg(format('process %s %s a lock on table webhook.%s', l.pid,
                             case when l.granted then 'holds' else 'waits for' end, c.relname),
                      '; ' order by c.relname, l.pid)
      from pg_locks l
      join pg_class c on c.oid = l.relation and c.relnamespace = 'webhook'::regnamespace
     where l.locktype = 'relation'
       and l.database = (select d.oid from pg_database d where d.datname = current_database())
       and l.mode = any (modes) and c.relname ~ tables
       and not exists (select from webhook._workers() w where w.pid = l.pid);
end;
comment on function webhook._who_locks(text, text[]) is
    'Internal: which sessions hold locks on our tables, by a regular expression, or have asked for them, which is as much in the way; NULL when none does. By default those that workers meet';

create function webhook._who_hides(tables text) returns text
language sql stable
return webhook._who_locks(tables, '{AccessExclusiveLock}');
comment on function webhook._who_hides(text) is
    'Internal: who keeps readers from our tables; who shows what happens asks first, and does without rather than wait';

create function webhook._held_back(worker int, workers int) returns text
language sql stable set search_path to pg_catalog, pg_temp set enable_seqscan to off set jit to off
begin atomic
    with ours as (
        select t.id, t.status from webhook.endpoint t where (t.id & 63) % workers = worker),
    paused as (
        select count(*) as number, min(o.id) as id
          from ours o
         where o.status = 'paused'
           -- Looked for at each, by index; as a join it reads all that waits.
           and (select true from webhook.queue q
                 where q.endpoint_id = o.id and q.next_attempt_at is not null limit 1))
    select case
               when p.number = 1 then format('deliveries wait for endpoint %s, which is paused', p.id)
               when p.number > 1 then format('deliveries wait for %s endpoints that are paused', p.number)
               when (select bool_and(o.status = 'disabled') from ours o) then 'every endpoint is disabled'
           end
      from paused p;
end;
comment on function webhook._held_back(int, int) is
    'Internal: why one of several workers has nothing to send although nothing is wrong with it; NULL when there is just nothing';

create function webhook._status(out database name, out shard text, out pid int, out state text, out since timestamptz,
    out in_flight int, out waiting_events bigint, out last_error text, out last_error_at timestamptz, out reason text)
returns setof record
language sql stable security definer set search_path to pg_catalog, pg_temp
-- definer: counts the outbox, which observers of one organization cannot
begin atomic
    with blocked as materialized (select webhook._who_locks() as by),
    backlog as materialized (
        -- Not known rather than waited for: who asks wants to see the lock.
        select case when webhook._who_hides('^(event|cursor)') is null then webhook._waiting_events() end as events)
    select current_database(), w.index + 1 || '/' || w.total, nullif(w.pid, 0), w.state, w.since, w.in_flight,
           l.events, w.last_error, w.last_error_at,
           case w.state
               when 'running' then case
                   when w.awaits_standby then 'waits for a synchronous standby'
                   when w.in_flight = 0 and b.by is null then webhook._held_back(w.index, w.total) end
               when 'off' then 'webhook.enabled is off'
               when 'copy' then 'this database is a copy; run select webhook.adopt() to let it deliver'
               when 'cursor' then 'rows of webhook.cursor are missing, and what was taken is not known; '
                   'run select webhook.adopt() to go on with what is emitted from then on'
               when 'read-only' then 'transactions are read-only here; see default_transaction_read_only'
               when 'version' then 'library and SQL objects differ; run alter extension webhook update, or restart the server'
               when 'failing' then coalesce(b.by, w.last_error)
               when 'starting' then case when w.awaits_standby then 'waits for a synchronous standby'
                   else coalesce(t.trouble, 'the worker is starting') end
               when 'none' then case when pg_is_in_recovery()
                   then 'this server is a standby; workers start when it is promoted'
                   else 'the worker is not running' || coalesce(': ' || t.trouble, '') end
           end
      from webhook._workers() w
     cross join lateral (select webhook._trouble(w.last_error, w.last_error_at, w.since)) t(trouble)
     cross join blocked b
     cross join backlog l
    union all
    select current_database(), null, null, 'none', null, 0, l.events, null, null,
           'the worker is not running; add webhook to shared_preload_libraries and restart the server'
      from backlog l
     where not exists (select from webhook._workers());
end;
comment on function webhook._status() is 'Internal: the rows of webhook.status';

create function webhook._stopped() returns text
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    -- Where all run, nobody has to count what waits.
    select string_agg(distinct s.reason, '; ')
      from webhook._status() s
     where s.state <> 'running'
       and (select bool_and(w.state = 'running') from webhook._workers() w) is not true;
end;
comment on function webhook._stopped() is 'Internal: why workers send nothing; NULL when all of them run';

create view webhook.status as select * from webhook._status();
comment on view webhook.status is 'One row per worker of this database: what it does, and why nothing moves';
comment on column webhook.status.database is 'Database whose events it delivers';
comment on column webhook.status.shard is 'Which share of the endpoints: worker / workers';
comment on column webhook.status.pid is 'Process, as in pg_stat_activity; NULL when it is not running';
comment on column webhook.status.state is 'running, starting, draining, off, copy, cursor, version, read-only, failing or none';
comment on column webhook.status.since is 'When the state changed';
comment on column webhook.status.in_flight is 'Requests on the wire';
comment on column webhook.status.waiting_events is 'Events emitted and not yet taken; NULL while somebody keeps readers from our tables';
comment on column webhook.status.last_error is 'Last error of the worker itself since the server started, NULL: none; failed deliveries are rows of webhook.attempt';
comment on column webhook.status.last_error_at is 'When that was; where the state is running, it is over';
comment on column webhook.status.reason is 'Why nothing moves; NULL while it does';
