-- What is refused, and what is said about it.
create extension webhook;
select webhook.set_organization('org_abc123', 'Your Organization');
\set SHOW_CONTEXT never

--
-- The URL of an endpoint
--

-- https only.
select webhook.create_endpoint('org_abc123', 'http://hooks.example.com/x');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'ftp://hooks.example.com/x');
select webhook.create_endpoint('org_abc123', 'hooks.example.com/x');
select webhook.create_endpoint('org_abc123', '');
select webhook.create_endpoint('org_abc123', null);
\echo :LAST_ERROR_SQLSTATE

-- Public addresses only.
select webhook.create_endpoint('org_abc123', 'https://10.0.0.1/x');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://127.0.0.1/x');
select webhook.create_endpoint('org_abc123', 'https://169.254.169.254/latest');
select webhook.create_endpoint('org_abc123', 'https://[::1]/x');
select webhook.create_endpoint('org_abc123', 'https://[::ffff:192.168.0.1]/x');

-- Nothing that two programs could read as two different hosts.
select webhook.create_endpoint('org_abc123', 'https://127.1/x');
select webhook.create_endpoint('org_abc123', 'https://0x7f000001/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com\@10.0.0.1/x');
select webhook.create_endpoint('org_abc123', 'https://hooks..example.com/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com./x');
select webhook.create_endpoint('org_abc123', 'https://hooks%2eexample.com/x');
select webhook.create_endpoint('org_abc123', 'https:///x');
select webhook.create_endpoint('org_abc123', 'https://[2606:2800:21f::1/x');
select webhook.create_endpoint('org_abc123', 'https://[hooks.example.com]/x');
select webhook.create_endpoint('org_abc123', 'https://' || repeat('x', 64) || '.example.com/');
select webhook.create_endpoint('org_abc123', 'https://' || repeat('x.', 130) || 'com/');

-- No password, no fragment.
select webhook.create_endpoint('org_abc123', 'https://user:secret@hooks.example.com/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x#top');

-- Printable ASCII without spaces.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/a b');
select webhook.create_endpoint('org_abc123', E'https://hooks.example.com/\r\nX-Evil: 1');
select webhook.create_endpoint('org_abc123', 'https://kůň.example.com/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/' || repeat('x', 10000));

-- Ports of web servers.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:25/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:5432/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:0/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:65536/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:999999/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:https/x');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com:0443/x');

--
-- The rest of an endpoint
--

select webhook.create_endpoint('org_nobody', 'https://hooks.example.com/x');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_o''neill', 'https://hooks.example.com/x');
select webhook.create_endpoint(null, 'https://hooks.example.com/x');

-- Subscriptions: a wrong name is answered with the nearest.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{review.complete}');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{review.*,reviews.*}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{REVIEW.CREATED}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{deployment.finished}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{review.com*}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{webhook.*}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{}');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', null);
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{review.*,NULL}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', '{{review.*},{team.*}}');

-- Retry schedules.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', retry_schedule => '{1s,-1s}');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', retry_schedule => '{1s,NULL}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', retry_schedule => array_fill(interval '1s', '{33}'));
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', retry_schedule => '{soon}');

-- Secrets.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', secret => 'fifteen letters');
\echo :LAST_ERROR_SQLSTATE

-- Limits, states and names: without the URL, which may carry a token.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', timeout => '0s');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', timeout => '-1 year 360 days 1 ms');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', max_in_flight => 0);
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', rate_limit => 'NaN');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint (organization_id, url, status)
values ('org_abc123', 'https://hooks.example.com/x', 'broken');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint (organization_id, url, status)
values ('org_abc123', 'https://hooks.example.com/x', null);
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', name => '');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', name => repeat('ž', 257));
\echo :LAST_ERROR_SQLSTATE

-- Changes are checked like new rows, and so are plain statements.
insert into webhook.endpoint (id, organization_id, url)
values (1001, 'org_abc123', 'https://hooks.example.com/x');
update webhook.endpoint set url = 'http://hooks.example.com/x' where id = 1001;
update webhook.endpoint set events = '{review.crated}' where id = 1001;
update webhook.endpoint set retry_schedule = '{-1s}' where id = 1001;
insert into webhook.endpoint (organization_id, url)
values ('org_abc123', 'https://192.168.1.1/'), ('org_abc123', 'https://hooks.example.com/x');

-- None of this left anything behind.
select id, url, events, retry_schedule from webhook.endpoint;
select count(*) as secrets from webhook.endpoint_secret;

--
-- Organizations
--

insert into webhook.organization (id, name) values ('org_abc123', 'Again');
\echo :LAST_ERROR_SQLSTATE
select webhook.set_organization('org_xyz789', null);
\echo :LAST_ERROR_SQLSTATE

--
-- Events
--

select webhook.emit('review.complete', 'org_abc123', '{}');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('deployment.finished', 'org_abc123', '{}');
select webhook.emit('review.*', 'org_abc123', '{}');
select webhook.emit('webhook.test', 'org_abc123', '{}');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('webhook.mine', 'org_abc123', '{}');
select webhook.emit('review.completed', 'org_nobody', '{}');
\echo :LAST_ERROR_SQLSTATE

-- Nothing is recorded for NULL.
select webhook.emit(null, 'org_abc123', '{}');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('review.completed', null, '{}');
select webhook.emit('review.completed', 'org_abc123', null);
select webhook.emit('review.completed', 'org_abc123', null::json);
select webhook.emit('review.completed', 'org_abc123', null::jsonb);

-- Data is a JSON object.
select webhook.emit('review.completed', 'org_abc123', '[1, 2]');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('review.completed', 'org_abc123', 'null'::json);
select webhook.emit('review.completed', 'org_abc123', '"text"'::jsonb);
select webhook.emit('review.completed', 'org_abc123', '{"a": oops}');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('review.completed', 'org_abc123', '{"a": 1');
select webhook.emit('review.completed', 'org_abc123', '');
select webhook.emit('review.completed', 'org_abc123', '{} {}');

-- The whole payload counts.
show webhook.payload_limit;
select webhook.emit('review.completed', 'org_abc123', json_build_object('text', repeat('x', 1024 * 1024)));
\echo :LAST_ERROR_SQLSTATE

-- Idempotency keys have 1 to 255 characters.
select webhook.emit('review.completed', 'org_abc123', '{}', '');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('review.completed', 'org_abc123', '{}', repeat('x', 256));

-- What somebody else keeps from being recorded.
create function swallow() returns trigger language plpgsql as 'begin return null; end';
create trigger swallow before insert on webhook.idempotency_key for each row execute function swallow();
select webhook.emit('review.completed', 'org_abc123', '{}', 'key');
\echo :LAST_ERROR_SQLSTATE
drop function swallow cascade;
begin;
select webhook.emit('review.completed', 'org_abc123', '{}') is not null as is_recorded;
select inhrelid::regclass as part from pg_inherits where inhparent = 'webhook.event'::regclass order by 1 desc limit 1 \gset
alter table webhook.event detach partition :part;
select webhook.emit('review.completed', 'org_abc123', '{}');
\echo :LAST_ERROR_SQLSTATE
rollback;
begin;
alter table webhook.organization rename to customer;
select webhook.emit('review.completed', 'org_abc123', '{}');
\echo :LAST_ERROR_SQLSTATE
rollback;

-- None of this left anything behind either.
select count(*) as events from webhook.event;
select count(*) as keys from webhook.idempotency_key;

--
-- Later on
--

select webhook.test(4711);
\echo :LAST_ERROR_SQLSTATE
select webhook.test(1001, 'review.complete');
\echo :LAST_ERROR_SQLSTATE
select webhook.test(1001, 'review.*');
\echo :LAST_ERROR_SQLSTATE
update webhook.endpoint set status = 'disabled', disabled_reason = repeat('x', 1001) where id = 1001;
\echo :LAST_ERROR_SQLSTATE
select webhook.rotate_secret(4711);
\echo :LAST_ERROR_SQLSTATE
select webhook.rotate_secret(1001, secret => 'too short');
select webhook.rotate_secret(1001, secret => repeat('x', 1025));
\echo :LAST_ERROR_SQLSTATE
select webhook.rotate_secret(1001, overlap => '-1 hour');
\echo :LAST_ERROR_SQLSTATE

-- Redelivery is for deliveries that have ended.
select webhook.redeliver('019b9d1c-a1c0-7000-8000-000000000000', 1001);
\echo :LAST_ERROR_SQLSTATE
begin;
select webhook.emit('review.completed', 'org_abc123', '{}') as event_id \gset
savepoint before;
select webhook.redeliver(:'event_id', 4711);
\echo :LAST_ERROR_SQLSTATE
rollback to before;
select webhook.redeliver(:'event_id', 1001);
\echo :LAST_ERROR_SQLSTATE
rollback to before;
update webhook.endpoint set status = 'disabled' where id = 1001;
select webhook.redeliver(:'event_id', 1001);
\echo :LAST_ERROR_SQLSTATE
rollback;

-- What was forgotten, and what does not exist.
begin;
select webhook._make_partition('2026-01-08') \g /dev/null
insert into webhook.event (id, origin, xid, created_at, event_type, organization_id, payload)
values ('019b9d1c-a1c0-7000-8000-000000000000', webhook._origin(), '3', now(), 'review.created', 'org_abc123', '{}');
select webhook.forget(event_id => '019b9d1c-a1c0-7000-8000-000000000000');
savepoint before;
select webhook.redeliver('019b9d1c-a1c0-7000-8000-000000000000', 1001);
\echo :LAST_ERROR_SQLSTATE
rollback;
select webhook.forget(event_id => '019b9d1c-a1c0-7000-8000-000000000000');
\echo :LAST_ERROR_SQLSTATE
select webhook.forget('org_nobody');
\echo :LAST_ERROR_SQLSTATE
select * from webhook.explain('019b9d1c-a1c0-7000-8000-000000000000');
\echo :LAST_ERROR_SQLSTATE

-- A preview is of one request.
select webhook.preview(4711);
\echo :LAST_ERROR_SQLSTATE
select webhook.preview(1001, 'review.*');
\echo :LAST_ERROR_SQLSTATE
select webhook.preview(1001, null);
\echo :LAST_ERROR_SQLSTATE
select webhook.preview(1001, 'review.completed', '[]');
\echo :LAST_ERROR_SQLSTATE
begin;
delete from webhook.endpoint_secret where endpoint_id = 1001;
select webhook.preview(1001);
\echo :LAST_ERROR_SQLSTATE
rollback;

--
-- Settings
--

set webhook.enabled = off;
\echo :LAST_ERROR_SQLSTATE
set webhook.colour = 'green';
\echo :LAST_ERROR_SQLSTATE
alter system set webhook.retry_schedule = '1s, soon';
\echo :LAST_ERROR_SQLSTATE
alter system set webhook.retry_schedule = '1s, -1s';
alter system set webhook.retry_schedule = '1 parsec';
alter system set webhook.header_prefix = 'X Jasper';
alter system set webhook.header_prefix = '';
alter system set webhook.header_prefix = '"X-Jasper"';
alter system set webhook.header_prefix = E'X-Jasper,\n X-Other';
alter system set webhook.header_prefix = 'X-Jasper, x-jasper';
alter system set webhook.header_prefix = 'X-Jasper, Webhook';
alter system set webhook.allow_addresses = '10.0.0.0/33';
alter system set webhook.allow_addresses = 'intranet';
alter system set webhook.log_headers = 'none';
alter system set webhook.workers = 33;
\set VERBOSITY sqlstate
alter system set webhook.timeout = 0;
alter system set webhook.payload_limit = 0;
\set VERBOSITY default

--
-- Roles
--

select webhook.grant_access('nobody_there', 'publisher');
\echo :LAST_ERROR_SQLSTATE
select webhook.grant_access(current_user::regrole, 'administrator');
\echo :LAST_ERROR_SQLSTATE
select webhook.grant_access(null, 'publisher');
\echo :LAST_ERROR_SQLSTATE
select webhook.grant_access(current_user::regrole, null);
select webhook.revoke_access(null);
-- A number is taken for a role that there may have been.
select webhook.grant_access(4294967295::oid::regrole, 'publisher');
select webhook.revoke_access(4294967295::oid::regrole);
\echo :LAST_ERROR_SQLSTATE
-- NULL is shown as such
select webhook.test(null);
select webhook.preview(null);
select webhook.rotate_secret(null);
select webhook.redeliver(null, null);
select webhook.explain(null);
select webhook.forget(event_id => null);
select webhook.forget(organization_id => null);
-- Where nothing can be written
begin read only;
select webhook.test(1001);
\echo :LAST_ERROR_SQLSTATE
rollback;
begin read only;
select webhook.adopt();
rollback;
set default_transaction_read_only = on;
call webhook.drain();
reset default_transaction_read_only;
-- Ranges of deliveries
set timezone to 'UTC';
select webhook.recover(1, null);
select webhook.replay(1, now(), null);
select webhook.recover(1, '2026-01-09', '2026-01-08');
\echo :LAST_ERROR_SQLSTATE
select webhook.replay(1, 'infinity', '-infinity');
select webhook.recover(1, now(), status => 'pending');
select webhook.recover(1, now(), status => null);
\echo :LAST_ERROR_SQLSTATE
select webhook.recover(4711, now());
begin;
update webhook.endpoint set status = 'disabled' where id = 1001;
savepoint before;
select webhook.recover(1001, '-infinity', 'infinity');
\echo :LAST_ERROR_SQLSTATE
rollback to before;
select webhook.replay(1001, '-infinity', 'infinity');
\echo :LAST_ERROR_SQLSTATE
rollback;
-- Forgetting says what it cannot take back.
begin;
insert into webhook.queue (event_id, endpoint_id, created_at, origin, attempts)
select webhook.emit('review.completed', 'org_abc123', '{}'), 1001, now(), webhook._origin(), 1;
select webhook.forget(event_id) from webhook.queue;
rollback;

-- All there is
select webhook.recover(1001, '-infinity', 'infinity') as recovered, webhook.replay(1001, '-infinity', 'infinity') as replayed;

drop extension webhook;

-- The role that owns everything must be one without power that nobody can log in
-- as.
alter role webhook login;
create extension webhook;
\echo :LAST_ERROR_SQLSTATE
alter role webhook nologin superuser;
create extension webhook;
alter role webhook nosuperuser createrole;
create extension webhook;
\echo :LAST_ERROR_SQLSTATE
alter role webhook nocreaterole bypassrls;
create extension webhook;
alter role webhook nobypassrls;
create extension webhook;
drop extension webhook;
