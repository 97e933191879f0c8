-- Retention drops whole partitions, and none that holds what nobody has taken.
begin;
select no_plan();

-- Given an event of two months ago that no cursor has seen
select webhook._make_partition(now() - interval '60 days') \g /dev/null
select webhook._uuid_at(now() - interval '60 days') as old_id \gset
insert into webhook.event (id, origin, xid, created_at, event_type, organization_id, payload)
values (:'old_id', webhook._origin(), pg_current_xact_id(), now() - interval '60 days',
        'review.created', 'org_1', '{}');
delete from webhook.cursor;

select is(webhook._drop_expired(), 0, 'an event that nobody has taken keeps its partition');
select isnt_empty('select from webhook.event', 'the event is there');
select is(held_by || ', ' || (drop_at - to_at), 'events that are not taken, 30 days', 'storage says what holds it')
  from webhook.storage where from_at < now() - interval '59 days';

-- When it was taken, but is on the wire
insert into webhook.cursor (origin, shards, low)
values (webhook._origin(), -1, pg_snapshot '3:99999999:');
insert into webhook.queue (event_id, endpoint_id, created_at, origin, attempts)
values (:'old_id', 1001, now(), webhook._origin(), 1);
select is(webhook._drop_expired(), 0, 'a delivery on the wire keeps the partition');
select is(held_by, 'requests on the wire', 'storage says so')
  from webhook.storage where from_at < now() - interval '59 days';

-- When it only waits, at a paused endpoint
update webhook.queue set next_attempt_at = now();
select is(held_by, 'deliveries that wait: the next run cancels them', 'storage knows what expires')
  from webhook.storage where from_at < now() - interval '59 days';
select is(webhook._expire_waiting(10), 1::bigint, 'a delivery older than retention expires');
select is_empty('select from webhook.queue', 'it waits no more');
select results_eq('select status, attempts, error from webhook.delivery_log',
    $$values ('cancelled', 1, 'expired: the event is older than webhook.retention')$$,
    'the log says what became of it');
select is(webhook._drop_expired(), 0, 'its row stays to be seen');
select isnt_empty('select from webhook.event', 'and so does the event');
select is(held_by, 'deliveries that were cancelled lately', 'storage says so')
  from webhook.storage where from_at < now() - interval '59 days';

-- When that was long enough ago
update webhook.attempt set started_at = now() - interval '6 days';
select is(held_by, 'nothing: the next run drops it', 'storage knows what the next run drops')
  from webhook.storage where from_at < now() - interval '59 days';
select is(webhook._drop_expired(), 1, 'the partition goes');
select is_empty('select from webhook.event', 'the event is gone');
select is_empty($$select from webhook._partitions('webhook.attempt') where to_at < now() - interval '30 days'$$,
                'the attempts go with it');

-- A younger partition stays
select webhook._make_partition(now()) \g /dev/null
select is(webhook._drop_expired(), 0, 'a partition inside the retention stays');
select isnt_empty($$select from webhook._partitions('webhook.event')$$, 'it is there');
select is(row(from_at <= now() and to_at > now(), to_at - from_at, events, attempts, size ~ ' (bytes|kB)$',
              drop_at - to_at, held_by)::text,
          '(t,"5 days",0,0,t,"30 days",)', 'storage shows it, and when it will be dropped')
  from webhook.storage where from_at <= now() and to_at > now();

-- Keys that expire go by ten thousand, found by an index
insert into webhook.idempotency_key (organization_id, key, event_id, created_at)
select 'org_1', n, gen_random_uuid(), now() - interval '31 days' * (n <= 10001)::int
  from generate_series(1, 10002) n;
set local enable_seqscan = off;     -- as workers have it
select seq_scan as scans from pg_stat_xact_user_tables where relname = 'idempotency_key' \gset
select is(webhook._maintain(), false, 'many keys expire: not at once');
select is(seq_scan, :scans::bigint, 'nor are the others read for it')
  from pg_stat_xact_user_tables where relname = 'idempotency_key';
select is((select count(*) from webhook.idempotency_key), 2::bigint, 'some of them remain');
select is(webhook._maintain(), true, 'and go with the next run');
select is((select string_agg(key, ',') from webhook.idempotency_key), '10002', 'younger ones stay');

select * from finish();
rollback;
