-- emit: record an event in the transaction that made it happen.
create extension webhook;
select webhook.set_organization('org_abc123', 'Your Organization');

-- What an event's payload is, with the time hidden.
create function shown(event_id uuid) returns text
language sql
return (select regexp_replace(payload::text,
                              '"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"',
                              '"timestamp":"*"')
          from webhook.event
         where id = event_id);

-- The id is a UUIDv7.
select webhook.emit('review.completed', 'org_abc123',
                    '{"review_id": "rev_abc123", "score": 85}')::text
       ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
       as is_uuid_v7;

select event_type, organization_id, is_test, shown(id) as payload
  from webhook.event;

-- Data can be a literal, text, json or jsonb.
create temporary table review (
    id   int  generated always as identity,
    note text default '{"kind": "text", "n": 1.0}',
    j    json default '{"kind": "json",  "n": 1.0}',
    b    jsonb default '{"kind": "jsonb",  "n": 1.0}');
insert into review default values;

select shown(webhook.emit('review.created', 'org_abc123', note)) from review;
select shown(webhook.emit('review.created', 'org_abc123', j)) from review;
select shown(webhook.emit('review.created', 'org_abc123', b)) from review;
select shown(webhook.emit('review.created', 'org_abc123',
                          json_build_object('id', id))) from review;
select shown(webhook.emit('review.created', 'org_abc123', row_to_json(review)))
  from review;
select shown(webhook.emit('review.created', 'org_abc123',
                          jsonb_build_object('id', id))) from review;

-- Or a parameter, with its type or without.
prepare by_text as select shown(webhook.emit($1, $2, $3));
execute by_text('review.failed', 'org_abc123', '{"by": "any"}');
prepare by_json(text, text, json) as select shown(webhook.emit($1, $2, $3));
execute by_json('review.failed', 'org_abc123', '{"by":  "json"}');
prepare by_jsonb(text, text, jsonb) as select shown(webhook.emit($1, $2, $3));
execute by_jsonb('review.failed', 'org_abc123', '{"by":  "jsonb"}');

-- And in PL/pgSQL.
do $$
declare
    subject jsonb := '{"in": "plpgsql"}';
begin
    raise notice '%', shown(webhook.emit('review.failed', 'org_abc123', subject));
    raise notice '%', shown(webhook.emit(event => 'review.failed',
        organization_id => 'org_abc123', data => '{"by": "name"}'));
    perform webhook.emit('review.failed', 'org_abc123', '{}');
end
$$;

-- Given as text or json, data is kept byte for byte: white space, the order
-- of keys, duplicate keys, escapes and the digits of numbers.
select shown(webhook.emit('review.started', 'org_abc123',
    '  {"b" : 1,
    "a":1.10, "a": 1e2, "slash":"\/", "escaped":"\u017elut\u00fd k\u016f\u0148", "plain":"žlutý kůň 🐎", "nul":"\u0000" }
'));

-- As jsonb it is the text that jsonb has.
select shown(webhook.emit('review.started', 'org_abc123',
    '{"b" : 1, "a":1.10, "a": 1e2, "slash":"\/", "escaped":"\u017elut\u00fd"}'::jsonb));

-- Names are escaped, data is not looked into.
select webhook.set_organization('org_"quoted\', E'Tab\tand "quotes" \\ <b> ž');
select shown(webhook.emit('review.started', 'org_"quoted\', '{}'));

-- The timestamp is the moment of emit in UTC, in whole seconds, whatever the
-- session's settings are.
set timezone = 'Asia/Kathmandu';
set datestyle = 'German';
select webhook.emit('review.started', 'org_abc123', '{}') as event_id \gset
select payload ->> 'timestamp'
           = to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
           as is_utc,
       created_at between now() - interval '1 minute' and clock_timestamp()
           as is_now
  from webhook.event
 where id = :'event_id';
reset timezone;
reset datestyle;

-- With an idempotency key the same event is recorded once.
select webhook.emit('billing.credits_low', 'org_abc123', '{"balance": 45}',
                    'credits-2026-01') as first \gset
select webhook.emit('billing.credits_low', 'org_abc123', '{"balance": 44}',
                    idempotency_key => 'credits-2026-01') as second \gset
select :'first' = :'second' as is_the_same;
select shown(id) from webhook.event where event_type = 'billing.credits_low';

-- Keys are an organization's own.
select webhook.emit('billing.credits_low', 'org_"quoted\', '{"balance": 3}',
                    'credits-2026-01') = :'first' as is_the_same;

-- What is rolled back was never emitted, its key included.
begin;
select webhook.emit('team.member_added', 'org_abc123', '{}', 'key') is not null
       as is_recorded;
rollback;
select count(*) from webhook.event where event_type = 'team.member_added';

begin;
select webhook.emit('team.member_added', 'org_abc123', '{"kept": true}')
       is not null as is_recorded;
savepoint s;
select webhook.emit('team.member_added', 'org_abc123', '{"kept": false}', 'key')
       is not null as is_recorded;
rollback to s;
select webhook.emit('team.member_added', 'org_abc123', '{"kept": "also"}', 'key')
       is not null as is_recorded;
commit;
select shown(id) from webhook.event where event_type = 'team.member_added'
 order by id;

-- A payload has the organization's name as it is at that moment.
begin isolation level repeatable read;
select shown(webhook.emit('review.started', 'org_abc123', '{}'));
select webhook.set_organization('org_abc123', 'Renamed Just Now');
select shown(webhook.emit('review.started', 'org_abc123', '{}'));
savepoint s;
select webhook.set_organization('org_abc123', 'Renamed In Vain');
select shown(webhook.emit('review.started', 'org_abc123', '{}'));
rollback to s;
select shown(webhook.emit('review.started', 'org_abc123', '{}'));
do $$
begin
    perform webhook.set_organization('org_abc123', 'Renamed In Vain');
    perform webhook.emit('review.started', 'org_abc123',
                         format('{"too": "%s"}', repeat('long', 1000000)));
exception
    when program_limit_exceeded then
        raise notice '%', shown(webhook.emit('review.started', 'org_abc123', '{}'));
end
$$;
rollback;
begin isolation level repeatable read;
select shown(webhook.emit('review.started', 'org_abc123', '{}'));
rollback;
select webhook.set_organization('org_abc123', 'Renamed');
begin isolation level repeatable read;
select shown(webhook.emit('review.started', 'org_abc123', '{}'));
rollback;

-- Ids ascend in the order of emitting.
with emitted as materialized (
    select n, webhook.emit('review.created', 'org_abc123',
                           json_build_object('n', n)) as id
      from generate_series(1, 1000) as n)
select count(distinct id) as ids, bool_and(id > before) as ascend
  from (select id, lag(id) over (order by n) as before from emitted) as pairs;

drop function shown;
drop extension webhook;
