-- Why an endpoint got an event or not, in words, without a worker: its part is
-- played by statements.
create function pg_temp.all_run() returns boolean language sql as $$
    select coalesce(bool_and(state = 'running'), false) from webhook._workers()
$$;
do $$ begin
    for i in 1 .. 1000 loop
        exit when pg_temp.all_run();
        perform pg_sleep(0.01);
    end loop;
end $$;
begin;
select no_plan();
set local timezone to 'UTC';

select webhook.set_organization('org_1', 'One') \g /dev/null
insert into webhook.endpoint (id, organization_id, url, events, created_at)
select 3000 + n, 'org_1', 'https://hooks.example.com/' || n,
       case n when 8 then '{team.*,billing.credits_low}'::text[] else '{*}' end, now() - interval '1 hour'
  from generate_series(1, 10) n;
select webhook.emit('review.completed', 'org_1', '{"n":1}') as event_id \gset
insert into webhook.endpoint (id, organization_id, url)
values (3011, 'org_1', 'https://hooks.example.com/11');
delete from webhook.cursor;

create function pg_temp.verdict(id bigint) returns text language sql as $$
    select x.verdict || ': ' || x.explanation
      from (select id as event_id from webhook.event where event_type not like 'webhook.%'
           order by created_at desc limit 1) e
     cross join lateral webhook.explain(e.event_id) x
     where x.endpoint_id = $1
$$;
create function pg_temp.log(event_id uuid, endpoint_id bigint, outcome text, error text, status int)
returns void language sql as $$
    insert into webhook.attempt
           (event_id, endpoint_id, started_at, delivery_created_at, duration, attempt,
            response_status, organization_id, outcome, url, error, error_class)
    values ($1, $2, '2026-01-08 10:30:00+00', '2026-01-08 10:30:00+00', '0.5 s', 2,
            $5, 'org_1', $3, 'https://hooks.example.com/', $4, case when $4 is not null then 'http' end)
$$;

-- Nobody has taken it.
select matches(pg_temp.verdict(3001), '^waiting: no worker has taken the event yet', 'not taken');
update webhook.endpoint set status = 'paused' where id = 3002;
select is(pg_temp.verdict(3002),
          'paused: no worker has taken the event yet, and the endpoint is paused', 'not taken and paused');

-- The clock was set back between the two: transaction ids tell, as for workers.
insert into webhook.endpoint (id, organization_id, url)
values (3012, 'org_1', 'https://hooks.example.com/12');
select matches(pg_temp.verdict(3012), '^created later: the endpoint was created at', 'created later');
update webhook.endpoint set created_xid = '4' where id = 3012;
select matches(pg_temp.verdict(3012), '^waiting: no worker has taken the event yet',
               'created before, whatever the clock says');
delete from webhook.endpoint where id = 3012;

-- It was taken.
insert into webhook.cursor (origin, shards, low)
values (webhook._origin(), -1, pg_snapshot '3:99999999:');
select pg_temp.log(:'event_id', 3001, 'succeeded', null, 204) \g /dev/null
select is(pg_temp.verdict(3001),
          'delivered: attempt 2 was answered with status 204 at 2026-01-08 10:30:00+00', 'delivered');
insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin, attempts)
values (:'event_id', 3002, now(), now(), webhook._origin(), 2),
       (:'event_id', 3003, now(), '2099-01-08 10:30:00+00', webhook._origin(), 2),
       (:'event_id', 3004, now(), now(), webhook._origin(), 0),
       (:'event_id', 3005, now(), null, webhook._origin(), 1);
select pg_temp.log(:'event_id', 3002, null, 'HTTP status 500', 500),
       pg_temp.log(:'event_id', 3003, null, 'HTTP status 500', 500),
       pg_temp.log(:'event_id', 3006, 'failed', 'HTTP status 500', 500),
       pg_temp.log(:'event_id', 3007, 'cancelled', 'the endpoint was disabled', null),
       pg_temp.log(:'event_id', 3099, 'succeeded', null, 200) \g /dev/null
select is(pg_temp.verdict(3002),
          'paused: attempt 3 waits until the endpoint is enabled; the last one failed: HTTP status 500', 'paused');
select is(pg_temp.verdict(3003),
          'waiting: attempt 3 is due at 2099-01-08 10:30:00+00; the last one failed: HTTP status 500',
          'a retry is due later');
select matches(pg_temp.verdict(3004), '^waiting: attempt 1 is due, (as soon as|but)', 'due');
update webhook.endpoint set rate_limit = 0.5 where id = 3004;
select matches(pg_temp.verdict(3004), '^waiting: attempt 1 is due, (as soon as .* and its rate limit of 0.5 per second allows$|but)',
               'due, with a rate limit');
select is(pg_temp.verdict(3005), 'sending: attempt 1 is on the wire', 'on the wire');
select is(pg_temp.verdict(3006), 'failed: given up after attempt 2: HTTP status 500', 'failed');
select is(pg_temp.verdict(3007), 'cancelled: the endpoint was disabled', 'cancelled');
select is(pg_temp.verdict(3008),
          'not subscribed: the endpoint subscribes to team.*, billing.credits_low', 'not subscribed');
update webhook.endpoint set status = 'disabled', disabled_reason = 'moved',
       disabled_at = '2026-01-08 10:30:00+00' where id = 3009;
select is(pg_temp.verdict(3009), 'disabled: the endpoint is disabled since 2026-01-08 10:30:00+00: moved', 'disabled');
select is(pg_temp.verdict(3010),
          'not subscribed: the endpoint was not committed yet, not subscribed, or disabled when the event was taken',
          'taken without it');
select matches(pg_temp.verdict(3011),
               '^created later: the endpoint was created at \S+ \S+, the event at \S+ \S+$', 'created later');
select is(pg_temp.verdict(3099),
          'delivered: attempt 2 was answered with status 200 at 2026-01-08 10:30:00+00; the endpoint was deleted since',
          'an endpoint that was deleted');
select is(count(*), 12::bigint, 'one row per endpoint, and one for the one that was deleted')
  from webhook.explain(:'event_id');
select is_empty($$select length(verdict) + length(explanation) from webhook.explain('$$ || :'event_id' || $$')
                  where length(verdict) + length(explanation) > 110 and endpoint_id <> 3099$$,
                'verdicts and explanations fit a line');
-- What keeps workers from work is the same for all endpoints, and the state of
-- workers that do work takes long to find out beside a large outbox.
set local track_functions = 'all';
create function pg_temp.calls(function regprocedure) returns bigint language sql as $$
    select coalesce(pg_stat_get_xact_function_calls(function), 0)
$$;
select pg_temp.calls('webhook._stopped()') as stopped, pg_temp.calls('webhook._status()') as status,
       pg_temp.all_run() as all_ran \gset
select count(*) from webhook.explain(:'event_id') \g /dev/null
select is(pg_temp.calls('webhook._stopped()') - :stopped, 1::bigint, 'what stops workers is asked once');
select cmp_ok(pg_temp.calls('webhook._status()') - :status, '<=',
              case when :'all_ran' and pg_temp.all_run() then 0 else 1 end::bigint,
              'and nobody counts what waits where they run');
reset track_functions;
select throws_ok($$select * from webhook.explain('01890000-0000-7000-8000-000000000000')$$,
                 'P0002', null, 'an event that does not exist');

-- Another organization's endpoints are no part of it.
select webhook.set_organization('org_2', 'Two') \g /dev/null
insert into webhook.endpoint (id, organization_id, url) values (3020, 'org_2', 'https://hooks.example.com/');
select is(pg_temp.verdict(3020), null, 'endpoints of others are not mentioned');

insert into webhook.endpoint (id, organization_id, url) values (3021, 'org_2', 'https://theirs.example.com/');
select pg_temp.log(:'event_id', 3021, 'failed', 'HTTP status 500', 500) \g /dev/null
select is(explanation || ' ' || url,
          'given up after attempt 2: HTTP status 500; the endpoint was deleted since https://hooks.example.com/',
          'nor who uses the id of a deleted one by now')
  from webhook.explain(:'event_id') where endpoint_id = 3021;

--
-- Forgetting
--

update webhook.attempt set response_body = 'to jane@example.com', request_headers = 'a', response_headers = 'b'
 where event_id = :'event_id';
set constraints webhook.cancel_at_commit immediate;
select is(webhook.forget(event_id => :'event_id'), 1::bigint, 'forget: one event');
select is(payload::text, '{"redacted":true}', 'forget: its payload is redacted')
  from webhook.event where id = :'event_id';
select is_empty($$select from webhook.attempt where response_body is not null or request_headers is not null
                     or response_headers is not null$$, 'forget: bodies and headers are gone');
select isnt_empty($$select from webhook.attempt where error is not null$$, 'forget: what happened stays');
select is((select array_agg(endpoint_id order by endpoint_id) from webhook.delivery
            where event_id = :'event_id' and status = 'cancelled'),
          '{3002,3003,3004,3007}'::bigint[], 'forget: what waits is cancelled');
select is(pg_temp.verdict(3004), 'cancelled: the payload was forgotten', 'forget: and says why');
select is(pg_temp.verdict(3010), 'cancelled: the payload was forgotten before a worker took the event',
          'forget: what was not taken is not delivered');
select is(pg_temp.verdict(3009), 'disabled: the endpoint is disabled since 2026-01-08 10:30:00+00: moved',
          'forget: is not why a disabled endpoint got nothing');
select is((select array_agg(endpoint_id) from webhook.queue where event_id = :'event_id'),
          '{3005}'::bigint[], 'forget: what is on the wire ends as it ends');
select is_empty(format($$select from webhook._schedule_retries(array[%L::uuid], '{3005}', array[now()], '{f}', '{null}')
                           where next_attempt_at is not null$$, :'event_id'),
                'forget: and is not retried');
select is(webhook.forget(event_id => :'event_id'), 0::bigint, 'forget: a second time changes nothing');
select webhook._tell_failed(array[:'event_id'::uuid], '{3006}') \g /dev/null
select is(array_agg(k order by k), '{attempts,endpoint_id,error,error_class,event,event_id,response_status,url}',
          'forget: who is told of a failure is told nothing of payload and answer, so that stays')
  from webhook.event e, json_object_keys(e.payload -> 'data') k
 where e.event_type = 'webhook.delivery_failed' and e.payload -> 'data' ->> 'event_id' = :'event_id';
select throws_ok($$select webhook.forget('01890000-0000-7000-8000-000000000000'::uuid)$$,
                 'P0002', null, 'forget: an event that does not exist');
select throws_ok(format('select webhook.forget(%L)', :'event_id'), 'P0002', null,
                 'forget: the id of an event is no organization');
select throws_ok(format('select webhook.redeliver(%L, 3001)', :'event_id'), '55000', null,
                 'forget: nothing is left to redeliver');
select is(webhook.recover(3006, '2026-01-01', '2026-01-09'), 0::bigint, 'forget: nor to recover');
select is(webhook.replay(3008, now() - interval '1 day'), 0::bigint, 'forget: nor to replay');
select webhook.emit('review.completed', 'org_1', '{}'), webhook.emit('review.completed', 'org_2', '{}') \g /dev/null
select is(webhook.forget('org_1'), 3::bigint,
          'forget: all of an organization that is not forgotten yet, operational events too');
select is((select array_agg(payload::text = '{"redacted":true}' order by organization_id) from webhook.event
            where event_type = 'review.completed' and id <> :'event_id'),
          '{t,f}'::boolean[], 'forget: and of no other');
delete from webhook.organization where id = 'org_1';
select is(webhook.forget('org_1'), 0::bigint, 'forget: an organization that was deleted still has events');

select * from finish();
rollback;
