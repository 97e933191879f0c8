-- What is kept, how much room it takes, and until when.

create function webhook._storage(out from_at timestamptz, out to_at timestamptz, out events bigint, out attempts bigint,
    out size text, out drop_at timestamptz, out held_by text)
returns setof record
language sql volatile security definer set search_path to pg_catalog, pg_temp set jit to off
-- definer: queue and cursors are not granted
begin atomic
    with untaken as materialized (select u.id from webhook._untaken(10000) u(id))
    select p.from_at, p.to_at, e.rows, a.rows, pg_size_pretty(e.bytes + coalesce(a.bytes, 0)), p.to_at + webhook._retention(),
           case when p.to_at + webhook._retention() > clock_timestamp() then null
                when exists (select from untaken u where u.id >= b.lower and u.id < b.upper)
                    then 'events that are not taken'
                when exists (select from webhook.queue q
                              where q.event_id >= b.lower and q.event_id < b.upper and q.next_attempt_at is null)
                    then 'requests on the wire'
                when exists (select from webhook.queue q where q.event_id >= b.lower and q.event_id < b.upper)
                    then 'deliveries that wait: the next run cancels them'
                when exists (select from webhook.attempt r
                              where r.event_id >= b.lower and r.event_id < b.upper and r.outcome <> 'succeeded'
                                and r.error_class = 'cancelled'
                                and r.started_at > clock_timestamp() - webhook._retention() / 6)
                    then 'deliveries that were cancelled lately'
                else 'nothing: the next run drops it' end
      from webhook._partitions('webhook.event') p
     cross join lateral (select webhook._uuid_at(p.from_at), webhook._uuid_at(p.to_at)) as b(lower, upper)
      left join webhook._partitions('webhook.attempt') pa using (from_at, to_at)
     cross join lateral (select format('webhook.%I', p.name)::regclass, case when pa.name is not null then format('webhook.%I', pa.name)::regclass end)
                    as o(event, attempt)
      left join lateral (select greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0), pg_total_relation_size(c.oid)
                           from pg_class c where c.oid = o.event) as e(rows, bytes) on true
      left join lateral (select greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0), pg_total_relation_size(c.oid)
                           from pg_class c where c.oid = o.attempt) as a(rows, bytes) on true
     order by p.from_at;
end;
comment on function webhook._storage() is 'Internal: the rows of webhook.storage';

create view webhook.storage as select * from webhook._storage();
comment on view webhook.storage is
    'What is kept: one row per period of events and their attempts, which is dropped as a whole once all of it is older than webhook.retention; the oldest first';
comment on column webhook.storage.from_at is 'Events emitted from this moment on';
comment on column webhook.storage.to_at is 'and before this one';
comment on column webhook.storage.events is 'Number of events, as far as statistics know';
comment on column webhook.storage.attempts is 'Number of attempts, as far as statistics know';
comment on column webhook.storage.size is 'Room of both on disk, indexes included';
comment on column webhook.storage.drop_at is 'When it may be dropped; a worker looks every ten minutes';
comment on column webhook.storage.held_by is 'What keeps it although that time has come; NULL before';
