-- The SQLSTATE of everything that is refused; its words are in expected/.
begin;
select no_plan();

select webhook.set_organization('org_1', 'One') \g /dev/null
select webhook.set_organization('org_3', 'Three') \g /dev/null
insert into webhook.event_type (name) values ('invoice.paid');
insert into webhook.endpoint (id, organization_id, url)
values (1001, 'org_1', 'https://hooks.example.com/x');
insert into webhook.endpoint (id, organization_id, url, status)
values (1002, 'org_1', 'https://hooks.example.com/x', 'disabled');
insert into webhook.endpoint (id, organization_id, url, events)
values (1003, 'org_1', 'https://hooks.example.com/x', '{invoice.paid}');
select webhook.emit('review.created', 'org_1', '{}') as event_id \gset

create temporary table refused (state text, statement text);

-- Events
insert into refused values
    ('22004', $$select webhook.emit(null, 'org_1', '{}')$$),
    ('22004', $$select webhook.emit('review.created', null, '{}')$$),
    ('22004', $$select webhook.emit('review.created', 'org_1', null)$$),
    ('22004', $$select webhook.emit('review.created', 'org_1', null::json)$$),
    ('22004', $$select webhook.emit('review.created', 'org_1', null::jsonb)$$),
    ('22023', $$select webhook.emit('review.crated', 'org_1', '{}')$$),
    ('22023', $$select webhook.emit('', 'org_1', '{}')$$),
    ('22023', $$select webhook.emit('*', 'org_1', '{}')$$),
    ('22023', $$select webhook.emit('webhook.test', 'org_1', '{}')$$),
    ('22023', $$select webhook.emit('review.created', 'org_1', '[]')$$),
    ('22023', $$select webhook.emit('review.created', 'org_1', '1'::jsonb)$$),
    ('22P02', $$select webhook.emit('review.created', 'org_1', '{')$$),
    ('22P02', $$select webhook.emit('review.created', 'org_1', '{"a":1}x')$$),
    ('23503', $$select webhook.emit('review.created', 'org_2', '{}')$$),
    ('23503', $$select webhook.emit('review.created', '', '{}')$$),
    ('54000', $$select webhook.emit('review.created', 'org_1',
                       json_build_object('a', repeat('x', 1048576)))$$),
    ('23514', $$select webhook.emit('review.created', 'org_1', '{}', '')$$),
    ('23514', $$select webhook.emit('review.created', 'org_1', '{}', repeat('k', 256))$$);

-- Event types and organizations
insert into refused values
    ('23514', $$insert into webhook.event_type (name) values ('webhook.mine')$$),
    ('23514', $$insert into webhook.event_type (name) values ('Review.created')$$),
    ('23514', $$insert into webhook.event_type (name, example) values ('a.b', '1')$$),
    ('23505', $$insert into webhook.event_type (name) values ('review.created')$$),
    ('23505', $$insert into webhook.organization values ('org_1', 'Again')$$),
    ('23502', $$select webhook.set_organization('org_2', null)$$),
    ('23502', $$select webhook.set_organization(null, 'None')$$),
    ('23514', $$select webhook.set_organization('', 'Empty')$$);

-- Endpoints: one by each road
insert into refused
select state, format(road, assigned)
  from (values
    ('22023', $$url = 'http://hooks.example.com/'$$),
    ('22023', $$url = 'https://10.0.0.1/'$$),
    ('22023', $$url = 'https://a:b@hooks.example.com/'$$),
    ('22023', $$url = 'https://hooks.example.com/#f'$$),
    ('22023', $$url = E'https://hooks.example.com/\n'$$),
    ('22023', $$url = 'https://hooks.example.com:22/'$$),
    ('23502', $$url = null$$),
    ('22023', $$events = '{}'$$),
    ('22023', $$events = null$$),
    ('22023', $$events = '{NULL}'$$),
    ('22023', $$events = '{review.crated}'$$),
    ('22023', $$events = '{webhook.*}'$$),
    ('22023', $$events = '{webhook.unheard_of}'$$),
    ('22023', $$retry_schedule = '{-1s}'$$),
    ('22023', $$retry_schedule = '{NULL}'$$),
    ('22023', $$retry_schedule = array_fill(interval '1s', '{33}')$$),
    ('22023', $$timeout = '0s'$$),
    ('23514', $$status = 'broken'$$),
    ('23514', $$name = ''$$),
    ('22023', $$organization_id = 'org_3'$$),
    ('22023', $$id = 7$$)) as wrong(state, assigned),
    (values ('update webhook.endpoint set %s where id = 1001')) as plain(road);
insert into refused values
    ('23503', $$insert into webhook.endpoint (organization_id, url)
                values ('org_2', 'https://hooks.example.com/')$$),
    ('23503', $$select webhook.create_endpoint('org_2', 'https://hooks.example.com/')$$),
    ('22023', $$select webhook.create_endpoint('org_1', 'http://hooks.example.com/')$$),
    ('22023', $$select webhook.create_endpoint('org_1', 'https://hooks.example.com/', '{}')$$),
    ('22023', $$select webhook.create_endpoint('org_1', 'https://hooks.example.com/',
                       secret => 'fifteen letters')$$),
    ('22023', $$select webhook.rotate_secret(1001, secret => 'fifteen letters')$$),
    ('P0002', $$select webhook.rotate_secret(4711)$$);

-- Deliveries
insert into refused values
    ('P0002', $$select webhook.test(4711)$$),
    ('22023', $$select webhook.test(1001, 'review.crated')$$),
    ('P0002', $$select webhook.redeliver('019b9d1c-a1c0-7000-8000-000000000000', 1001)$$),
    ('P0002', $$select webhook.redeliver('EVENT', 4711)$$),
    ('55000', $$select webhook.redeliver('EVENT', 1001)$$),
    ('55000', $$select webhook.redeliver('EVENT', 1002)$$),
    ('P0002', $$select webhook.redeliver(null, 1001)$$),
    ('P0002', $$select webhook.redeliver('EVENT', null)$$),
    ('55000', $$select webhook.recover(1002, '-infinity')$$),
    ('55000', $$select webhook.replay(1002, '-infinity')$$),
    ('P0002', $$select webhook.recover(4711, now())$$),
    ('P0002', $$select webhook.replay(null, now())$$),
    ('22004', $$select webhook.recover(1001, null)$$),
    ('22004', $$select webhook.replay(1001, now(), null)$$),
    ('22023', $$select webhook.recover(1001, now(), now() - interval '1 s')$$),
    ('22023', $$select webhook.replay(1001, 'infinity')$$),
    ('22004', $$select webhook.recover(1001, '-infinity', status => null)$$),
    ('22023', $$select webhook.recover(1001, '-infinity', status => 'sending')$$),
    ('22004', $$select webhook.test(1001, null)$$),
    ('P0002', $$select webhook.explain(null)$$),
    ('P0002', $$select webhook.forget(null::uuid)$$),
    ('P0002', $$select webhook.forget(null::text)$$);

-- Access
insert into refused values
    ('22023', $$select webhook.grant_access('webhook', 'everything')$$),
    ('42704', $$select webhook.grant_access('nobody_there', 'publisher')$$);

select throws_ok(replace(statement, 'EVENT', :'event_id'), state::char(5), null,
                 format('%s: %s', state, regexp_replace(statement, '\s+', ' ', 'g')))
  from refused;

-- Nothing half-done stays behind.
select is((select count(*) from webhook.event), 1::bigint, 'no event was recorded');
select is((select count(*) from webhook.idempotency_key), 0::bigint,
          'no idempotency key was taken');
select is((select count(*) from webhook.endpoint), 3::bigint, 'no endpoint was made');
select is((select count(*) from webhook.endpoint_secret), 3::bigint, 'nor a secret');
select is((select count(*) from webhook.attempt), 0::bigint, 'nothing was sent');

-- An endpoint whose event type is gone, or whose URL is refused by now, is not
-- stuck: what was accepted once stands in the way of no other change.
delete from webhook.event_type where name = 'invoice.paid';
set local session_replication_role = replica;
insert into webhook.endpoint (id, organization_id, url)
values (1004, 'org_1', 'http://hooks.example.com/x');
set local session_replication_role = origin;
select lives_ok($$select webhook.rotate_secret(1003)$$,
                'a stale subscription: the secret can be rotated');
select lives_ok($$update webhook.endpoint set status = 'paused' where id = 1003$$,
                'a stale subscription: the endpoint can be paused');
select lives_ok($$select webhook._disable_endpoints('{1003}', 'the receiver answered 410 Gone')$$,
                'a stale subscription: a worker can disable the endpoint');
select lives_ok($$update webhook.endpoint set status = 'paused' where id = 1004$$,
                'a stale URL: the endpoint can be paused');
select lives_ok($$select webhook._disable_endpoints('{1004}', 'the receiver answered 410 Gone')$$,
                'a stale URL: a worker can disable the endpoint');
select throws_ok($$update webhook.endpoint set events = '{invoice.paid,*}' where id = 1003$$,
                 '22023', null, 'a stale subscription cannot be written anew');

-- Values that a worker could not use.
select throws_ok(statement, state::char(5), null, statement)
  from (values
    ('22023', $$update webhook.endpoint set timeout = '1 year' where id = 1001$$),
    ('22023', $$update webhook.endpoint set timeout = '0.1 ms' where id = 1001$$),
    ('22023', $$update webhook.endpoint set retry_schedule = '{290000 years}' where id = 1001$$),
    ('22023', $$update webhook.endpoint set retry_schedule = '{{1s,2s},{3s,4s}}' where id = 1001$$),
    ('22023', $$update webhook.endpoint set retry_schedule = '[0:1]={1s,2s}' where id = 1001$$),
    ('22023', $$update webhook.endpoint set events = '{{*,*},{*,*}}' where id = 1001$$),
    ('22023', $$select webhook.test(1001, 'review.*')$$),
    ('22023', $$select webhook.rotate_secret(1001, '-1 day')$$)) as late(state, statement);
select throws_ok($$do 'begin
                          set local transaction_read_only = on;
                          perform webhook.emit(''review.created'', ''org_1'', ''{}'');
                      end'$$, '25006', null, 'emit in a read-only transaction');

-- NULL for everything, as any role may call what it may: an error or an answer, but no crash.
do $$
declare
    call text;
begin
    for call in select format('select %s(%s)', p.oid::regproc, string_agg('null::' || a.type::regtype, ', '))
                  from pg_proc p, unnest(p.proargtypes) with ordinality a(type, n)
                 where p.pronamespace = 'webhook'::regnamespace and p.prokind = 'f'
                   and not p.proisstrict and p.prorettype <> 'trigger'::regtype
                 group by p.oid
    loop
        begin
            execute call;
        exception when others then
            null;
        end;
    end loop;
end
$$;
select pass('no function crashes when all its arguments are NULL');

-- Tables are ours alone: the name of a partition is in the message.
alter table webhook.event add column noted text;
select throws_like($$select webhook.emit('review.created', 'org_1', '{}')$$,
                   'table "event_%" has 9 columns instead of 8', 'a table that somebody has changed');
alter table webhook.event drop column noted;

select * from finish();
rollback;
