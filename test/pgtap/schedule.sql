-- Retries as a function of inputs: the schedule, how many attempts failed, and
-- when the last of them ended.
begin;
select plan(26);

\set ended '''2026-01-08 10:30:00.123456+00'''

-- The product's: 1 s, 10 s, 60 s, then no more.
select is(webhook._retry_schedule(), '{1s,10s,60s}'::interval[],
          'the default is 1 s, 10 s, 60 s');
select is(webhook._next_attempt_at('{1s,10s,60s}', failures, :ended),
          expected::timestamptz,
          format('after failure %s: %s', failures, coalesce(expected, 'no more')))
  from (values (1, '2026-01-08 10:30:01.123456+00'),
               (2, '2026-01-08 10:30:10.123456+00'),
               (3, '2026-01-08 10:31:00.123456+00'),
               (4, null),
               (5, null)) as t(failures, expected);

-- An empty schedule is a single attempt.
select is(webhook._next_attempt_at('{}', 1, :ended), null,
          'an empty schedule has no retry');
select is(webhook._next_attempt_at(null, 1, :ended), null,
          'no schedule has no retry');

-- Any length up to 32, any delay from 0.
select is(webhook._next_attempt_at('{0s}', 1, :ended), :ended::timestamptz,
          'a delay of nothing is at once');
select is(webhook._next_attempt_at('{0.5 ms}', 1, :ended),
          '2026-01-08 10:30:00.123956+00'::timestamptz,
          'delays are exact to the microsecond');
select is(webhook._next_attempt_at(array_fill(interval '1h', '{32}'), 32, :ended),
          '2026-01-08 11:30:00.123456+00'::timestamptz,
          'the 32nd delay of 32 is used');
select is(webhook._next_attempt_at(array_fill(interval '1h', '{32}'), 33, :ended),
          null, 'there is no 33rd');

-- It only looks at its arguments.
set local timezone = 'Asia/Kathmandu';
select is(webhook._next_attempt_at('{1s,10s,60s}', 2, :ended),
          '2026-01-08 10:30:10.123456+00'::timestamptz,
          'the time zone plays no part');
set local timezone = 'Europe/Berlin';
select is(webhook._next_attempt_at('{24h}', 1, '2026-03-28 12:00:00+01'),
          '2026-03-29 13:00:00+02'::timestamptz,
          '24 hours are 24 hours when clocks change');

-- The whole way of a delivery that never succeeds: four requests.
with recursive attempt (n, at) as (
    select 1, timestamptz '2026-01-08 10:30:00+00'
    union all
    select n + 1, webhook._next_attempt_at('{1s,10s,60s}', n, at + interval '30 s')
      from attempt
     where webhook._next_attempt_at('{1s,10s,60s}', n, at) is not null)
select is(array_agg(at - timestamptz '2026-01-08 10:30:00+00' order by n),
          '{0s,31s,71s,161s}'::interval[],
          'four requests, each delay from the end of the failed attempt')
  from attempt;

-- A delay is so many seconds, whatever the clocks of a time zone do.
set local timezone to 'Europe/Berlin';
select is(webhook._next_attempt_at('{1 day}', 1, '2026-03-28 12:00'),
          timestamptz '2026-03-29 13:00', 'a day has 24 hours');
select is(webhook._next_attempt_at('{1 mon}', 1, '2026-02-01 00:00'),
          timestamptz '2026-03-03 00:00', 'a month has 30 days');

-- What may stand in a schedule.
create function pg_temp.check_of(schedule text) returns text
language plpgsql as $$
begin
    perform webhook._check_schedule(schedule::interval[]);
    return 'fine';
exception when others then
    return sqlstate;
end
$$;
select is(pg_temp.check_of(schedule), expected, format('schedule %s: %s',
          left(coalesce(schedule, 'NULL'), 30), expected))
  from (values (null, 'fine'), ('{}', 'fine'), ('{1s,0s,2 days}', 'fine'),
               ('{-1s}', '22023'), ('{1s,NULL}', '22023'),
               -- They compare as nothing, and are years.
               ('{"293000 years -105480000 days"}', '22023'), ('{"-1 year 360 days"}', '22023'),
               ('{{1s},{2s}}', '22023'),
               (array_fill(interval '1s', '{33}')::text, '22023')
       ) as t(schedule, expected);

select * from finish();
rollback;
