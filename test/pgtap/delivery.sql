-- A delivery from taken to ended, as people see it, without a worker: its
-- part is played by statements.  Time is an argument.
begin;
select no_plan();

select webhook.set_organization('org_1', 'One') \g /dev/null
select webhook.emit('review.completed', 'org_1', '{"n":1}') as event_id \gset
-- Made after the event, so that no worker will take it for these.
insert into webhook.endpoint (id, organization_id, url)
values (2001, 'org_1', 'https://hooks.example.com/a'),
       (2002, 'org_1', 'https://hooks.example.com/b'),
       (2003, 'org_1', 'https://hooks.example.com/c');

-- Take: on the wire from birth.
create function pg_temp.take(event_id uuid, endpoint_id bigint) returns void
language sql as $$
    insert into webhook.queue (event_id, endpoint_id, created_at, origin, attempts)
    values ($1, $2, '2026-01-08 10:30:00+00', webhook._origin(), 1)
$$;
-- An attempt that failed, as the worker records it; true when a retry follows.
create function pg_temp.fail(event_id uuid, endpoint_id bigint, ended timestamptz,
                             is_gone boolean default false)
returns boolean
language plpgsql as $$
declare
    q webhook.queue;
    is_retried boolean;
begin
    select * into strict q from webhook.queue t
     where t.event_id = $1 and t.endpoint_id = $2;
    is_retried := exists (select from webhook._schedule_retries(
        array[$1], array[$2], array[ended], array[is_gone], '{}'));
    insert into webhook.attempt
           (event_id, endpoint_id, started_at, delivery_created_at, duration,
            attempt, response_status, organization_id, outcome, url, response_body,
            error, error_class)
    values ($1, $2, ended - interval '0.5 s', q.created_at, '0.5 s', q.attempts,
            500, 'org_1', case when is_retried then null else 'failed' end,
            'https://hooks.example.com/used', 'sorry', 'HTTP status 500', 'http');
    if not is_retried then
        delete from webhook.queue t where t.event_id = $1 and t.endpoint_id = $2;
    end if;
    return is_retried;
end
$$;
create function pg_temp.send(event_id uuid, endpoint_id bigint) returns void
language sql as $$
    update webhook.queue set attempts = attempts + 1, next_attempt_at = null
     where queue.event_id = $1 and queue.endpoint_id = $2
$$;
create function pg_temp.shown(endpoint_id bigint) returns text
language sql as $$
    select string_agg(concat_ws(' ', status, attempts,
               to_char(next_attempt_at at time zone 'UTC', 'HH24:MI:SS'),
               'ended ' || to_char(completed_at at time zone 'UTC', 'HH24:MI:SS')), '; ')
      from webhook.delivery d where d.endpoint_id = $1
$$;

--
-- Four attempts, then failed
--

select is(pg_temp.shown(2001), null, 'what no worker has taken is no delivery');

select pg_temp.take(:'event_id', 2001) \g /dev/null
select is(pg_temp.shown(2001), 'sending 1', 'taken: on the wire');

select is(pg_temp.fail(:'event_id', 2001, '2026-01-08 10:30:05+00'), true, 'a first retry');
select is(pg_temp.shown(2001), 'pending 1 10:30:06', '1 s after the end of the first');

select pg_temp.send(:'event_id', 2001) \g /dev/null
select is(pg_temp.shown(2001), 'sending 2', 'the second attempt is on the wire');
select pg_temp.fail(:'event_id', 2001, '2026-01-08 10:30:08+00') \g /dev/null
select is(pg_temp.shown(2001), 'pending 2 10:30:18', '10 s after the end of the second');

select pg_temp.send(:'event_id', 2001) \g /dev/null
select pg_temp.fail(:'event_id', 2001, '2026-01-08 10:30:48+00') \g /dev/null
select is(pg_temp.shown(2001), 'pending 3 10:31:48', '60 s after the end of the third');

select pg_temp.send(:'event_id', 2001) \g /dev/null
select is(pg_temp.fail(:'event_id', 2001, '2026-01-08 10:31:50+00'), false, 'no fourth retry');
select is(pg_temp.shown(2001), 'failed 4 ended 10:31:50', 'failed after four attempts');

select is(count(*), 4::bigint, 'one row per attempt')
  from webhook.attempt where endpoint_id = 2001;
select results_eq(
    $$select event_type, organization_id, endpoint_id, url, status, attempts,
             response_status, error, next_attempt_at, response_body,
             payload -> 'data' ->> 'n'
        from webhook.delivery_log where endpoint_id = 2001$$,
    $$values ('review.completed', 'org_1', 2001::bigint,
              'https://hooks.example.com/used', 'failed', 4, 500,
              'HTTP status 500', null::timestamptz, 'sorry', '1')$$,
    'the delivery log: one row with the last attempt and the payload');

--
-- Redelivery
--

select is(webhook.redeliver(:'event_id', 2001), 5, 'redeliver: attempt numbers continue');
select is(status || ' ' || attempts, 'pending 4', 'redeliver: one delivery, due again')
  from webhook.delivery where endpoint_id = 2001;
select ok(next_attempt_at <= clock_timestamp(), 'redeliver: at once')
  from webhook.delivery where endpoint_id = 2001;
select throws_ok(format('select webhook.redeliver(%L, 2001)', :'event_id'),
                 '55000', null, 'redeliver: not while it is pending');

select pg_temp.send(:'event_id', 2001) \g /dev/null
select throws_ok(format('select webhook.redeliver(%L, 2001)', :'event_id'),
                 '55000', null, 'redeliver: not while it is on the wire');
select pg_temp.fail(:'event_id', 2001, '2026-01-08 11:00:00+00') \g /dev/null
select is(pg_temp.shown(2001), 'pending 5 11:00:01', 'redeliver: the schedule starts anew');

select is(webhook.redeliver(:'event_id', 2002), 1,
          'redeliver: what was never delivered there');
select is(status || ' ' || attempts, 'pending 0', 'redeliver: it is a delivery like any')
  from webhook.delivery where endpoint_id = 2002;

--
-- Pausing, disabling, deleting
--

update webhook.endpoint set status = 'paused' where id = 2001;
select is(pg_temp.shown(2001), 'pending 5 11:00:01', 'paused: deliveries wait');
update webhook.endpoint set status = 'disabled' where id = 2001;
select is(status || ' ' || attempts, 'cancelled 5', 'disabled: waiting deliveries are cancelled')
  from webhook.delivery where endpoint_id = 2001;
select is(error || '/' || error_class, 'the endpoint was disabled/cancelled',
          'disabled: the log says why')
  from webhook.attempt where endpoint_id = 2001 and outcome = 'cancelled';
select is(count(*), 1::bigint, 'disabled: one delivery still')
  from webhook.delivery where endpoint_id = 2001;

delete from webhook.endpoint where id = 2002;
select is(status, 'cancelled', 'deleted: its deliveries are cancelled, and stay in the log')
  from webhook.delivery_log where endpoint_id = 2002;
select is(error, 'the endpoint was deleted', 'deleted: the log says why')
  from webhook.delivery_log where endpoint_id = 2002;

--
-- 410 Gone, and an endpoint's own schedule
--

select pg_temp.take(:'event_id', 2003) \g /dev/null
select is(pg_temp.fail(:'event_id', 2003, '2026-01-08 10:30:05+00', is_gone => true), false,
          'gone: no retry');
select is(pg_temp.shown(2003), 'failed 1 ended 10:30:05', 'gone: failed at once');
select webhook._disable_endpoints('{2003}', 'the receiver answered 410 Gone') \g /dev/null
select is(status || ': ' || disabled_reason, 'disabled: the receiver answered 410 Gone',
          'gone: the endpoint is disabled')
  from webhook.endpoint where id = 2003;
select throws_ok(format('select webhook.redeliver(%L, 2003)', :'event_id'),
                 '55000', null, 'disabled: nothing is delivered again');

insert into webhook.endpoint (id, organization_id, url, retry_schedule)
values (2004, 'org_1', 'https://hooks.example.com/d', '{}'),
       (2005, 'org_1', 'https://hooks.example.com/e', '{2h}');
select pg_temp.take(:'event_id', id) from webhook.endpoint where id in (2004, 2005) \g /dev/null
select is(pg_temp.fail(:'event_id', 2004, '2026-01-08 10:30:05+00'), false,
          'an empty schedule: one attempt');
select pg_temp.fail(:'event_id', 2005, '2026-01-08 10:30:05+00') \g /dev/null
select is(pg_temp.shown(2005), 'pending 1 12:30:05', 'a schedule of its own');
select pg_temp.send(:'event_id', 2005) \g /dev/null
update webhook.endpoint set status = 'disabled' where id = 2005;
select is(pg_temp.shown(2005), 'sending 2', 'disabled: what is on the wire ends as it ends');
select is(pg_temp.fail(:'event_id', 2005, '2026-01-08 12:30:06+00'), false,
          'disabled: and is not retried');

--
-- Cancelling
--

insert into webhook.endpoint (id, organization_id, url, retry_schedule)
values (2008, 'org_1', 'https://hooks.example.com/h', '{1h}'),
       (2009, 'org_1', 'https://hooks.example.com/i', '{1h}');
select pg_temp.take(:'event_id', id) from webhook.endpoint where id in (2008, 2009) \g /dev/null
select pg_temp.fail(:'event_id', 2008, '2026-01-08 10:30:05+00') \g /dev/null
savepoint uncommitted;
select is(webhook.cancel(:'event_id', 2008), 1::bigint, 'cancel: it says what it will do');
select is(webhook.cancel(:'event_id', 2008), 0::bigint, 'cancel: once');
select is(pg_temp.shown(2008) ~ '^pending 1', true, 'cancel: and does it at commit');
rollback to uncommitted;
set constraints webhook.cancel_at_commit immediate;
select is(webhook.cancel(:'event_id', 2008), 1::bigint, 'cancel: a retry that waits');
select is(pg_temp.shown(2008) ~ '^cancelled 1 ended', true, 'cancel: it waits no more');
select is(webhook.cancel(:'event_id', 2009), 1::bigint, 'cancel: an attempt on the wire');
select is(pg_temp.shown(2009), 'sending 1', 'cancel: it ends as it ends');
select is_empty(format($$select from webhook._schedule_retries(array[%L::uuid], '{2009}', array[now()], '{f}', '{null}')
                          where next_attempt_at is not null$$, :'event_id'), 'cancel: and is not retried');
select is(webhook._interrupt(webhook._origin(), 1::bigint << (2009 & 63)), 1::bigint, 'cancel: the worker crashes');
select is(outcome || ' ' || error_class, 'cancelled interrupted', 'cancel: it is cancelled then')
  from webhook.attempt where endpoint_id = 2009;
select is(webhook.cancel(:'event_id', 4711) + webhook.cancel(:'event_id', 2001)
          + webhook.cancel('01890000-0000-7000-8000-000000000000'), 0::bigint,
          'cancel: unknown endpoints and events, and what has ended, are none');
select is(webhook.cancel(null), 0::bigint, 'cancel: NULL is none');

--
-- A crash
--

insert into webhook.endpoint (id, organization_id, url, retry_schedule)
values (2006, 'org_1', 'https://hooks.example.com/f', '{1h}'),
       (2007, 'org_1', 'https://hooks.example.com/g', '{}');
select pg_temp.take(:'event_id', id) from webhook.endpoint where id in (2006, 2007) \g /dev/null
select is(webhook._interrupt(webhook._origin(), -1), 2::bigint,
          'a crash: attempts that were cut off are found');
select results_eq(
    $$select endpoint_id, attempt, error_class, outcome
        from webhook.attempt where endpoint_id in (2006, 2007) order by 1$$,
    $$values (2006::bigint, 1, 'interrupted', null::text),
             (2007::bigint, 1, 'interrupted', 'failed')$$,
    'a crash: logged as interrupted, and counted');
select ok(next_attempt_at <= clock_timestamp(), 'a crash: goes on at once')
  from webhook.delivery where endpoint_id = 2006;
select is(payload -> 'data' ->> 'error_class', 'interrupted',
          'a crash: what failed for good is told of')
  from webhook.event
 where event_type = 'webhook.delivery_failed' and payload -> 'data' ->> 'endpoint_id' = '2007';
select is(webhook._interrupt(webhook._origin(), -1), 0::bigint, 'a crash: found once');
select pg_temp.send(:'event_id', 2006) \g /dev/null
select is(webhook._interrupt(webhook._origin() + 1, -1), 0::bigint,
          'a crash: those of another database are left alone');
select is(webhook._interrupt(webhook._origin(), ~(1::bigint << (2006 & 63))), 0::bigint,
          'a crash: those of another worker are left alone');

--
-- An id that an endpoint of another organization uses by now
--

select webhook.set_organization('org_2', 'Two') \g /dev/null
insert into webhook.endpoint (id, organization_id, url, retry_schedule)
select id, 'org_1', 'https://hooks.example.com/j', case id when 2012 then '{}' else '{1h}' end::interval[]
  from generate_series(2012, 2014) id;
select pg_temp.take(:'event_id', id) from generate_series(2012, 2014) id \g /dev/null
select pg_temp.fail(:'event_id', 2012, '2026-01-08 10:30:05+00') \g /dev/null
delete from webhook.endpoint where id in (2012, 2013, 2014);
insert into webhook.endpoint (id, organization_id, url, retry_schedule)
select id, 'org_2', 'https://hooks.example.com/k', '{1h}' from generate_series(2012, 2014) id;
select is(webhook.recover(2012, '-infinity', 'infinity'), 0::bigint, 'used again: nothing to recover');
select is(pg_temp.fail(:'event_id', 2013, '2026-01-08 10:30:05+00'), false, 'used again: no retry');
select is(webhook._interrupt(webhook._origin(), 1::bigint << (2014 & 63)), 1::bigint, 'used again: the worker crashes');
select is(concat_ws(' ', outcome, organization_id, url), 'failed org_1 ', 'used again: nor a retry then')
  from webhook.attempt where endpoint_id = 2014;

select is_empty(
    $$select event_id, endpoint_id from webhook.delivery
       group by 1, 2 having count(*) > 1$$,
    'each delivery shows once');

select * from finish();
rollback;
