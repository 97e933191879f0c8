-- What is wrong with the installation, one row each with what to do.
create extension webhook;
alter role webhook nologin;

-- A worker that is starting says so; all the rest is well.
select subject, problem, hint from webhook.check() where subject not like 'worker%';

-- Of a watch nothing is amiss that only the owner of its table can look up.
create role regress_webhook_owner;
create schema app authorization regress_webhook_owner;
select webhook.grant_access('regress_webhook_owner', 'manager');
set role regress_webhook_owner;
set search_path = app;
create table task (id bigint, organization_id text);
create table label (task_id bigint, label text);
create function shout(text) returns text language sql return upper($1);
select webhook.watch('task', 'review.created', 'new.organization_id', data => $$json_build_object('task', shout(new.id::text))$$);
select webhook.watch('task', 'review.started', 'new.organization_id', data => '(select row_to_json(l) from app.label l where l.task_id = new.id)');
reset search_path;
reset role;
select subject, problem from webhook.check() where subject like 'watch%';
drop function app.shout;
select subject, problem from webhook.check() where subject like 'watch%';
drop schema app cascade;
drop owned by regress_webhook_owner;
drop role regress_webhook_owner;

-- A watch that a renamed column broke, an endpoint that lost its organization.
create table review (id bigint, organization_id text);
select webhook.watch('review', 'review.created', 'new.organization_id');
alter table review rename column organization_id to tenant_id;
set check_function_bodies = off;    -- as a restored dump brings rows in
insert into webhook.endpoint (id, organization_id, url, events)
values (1001, 'org_1', 'https://hooks.example.com/x', '{invoice.paid}');
reset check_function_bodies;
select subject, problem, hint from webhook.check() where subject not like 'worker%';


-- What was switched off, lost or pulled out by hand.
begin;
alter table review disable trigger "webhook_review.created";
alter table webhook.endpoint disable trigger check_endpoint;
alter table webhook.queue set (autovacuum_enabled = off);
set local role webhook;
select webhook._make_partition('2026-01-08');
reset role;
select format('alter table webhook.attempt detach partition webhook.%I', name)
  from webhook._partitions('webhook.attempt') \gexec
insert into webhook.endpoint_secret (endpoint_id, secret) values (999, 'your-webhook-secret');
set local session_replication_role = replica;
insert into webhook.endpoint_header (endpoint_id, name, value) values (999, 'X-Team', 'red');
insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
values ('01890000-0000-7000-8000-000000000000', 999, now(), now(), webhook._origin());
set local session_replication_role = origin;
insert into webhook.access values (1::regrole, 'org_1');    -- what DROP ROLE leaves
select subject, problem, hint from webhook.check()
 where subject ~ '^(partitions|table|trigger|watch|secrets|headers|queue|access)' and problem !~ 'should have been dropped';
rollback;

-- Retries that take longer than anything is kept.
begin;
insert into webhook.organization values ('org_1', 'One');
update webhook.endpoint set retry_schedule = '{10 days,20 days}', events = '{*}';
select webhook.rotate_secret(1001) \g /dev/null
select subject, problem, hint from webhook.check() where subject like 'endpoint%';
rollback;

-- Events that are older than anything is kept, or from the future.
begin;
set local role webhook;
select webhook._make_partition(now() - interval '50 days'), webhook._make_partition(now()),
       webhook._make_partition(now() + interval '1 day');
reset role;
insert into webhook.event (id, origin, xid, created_at, event_type, organization_id, payload)
select webhook._uuid_at(now() + d), webhook._origin(), pg_current_xact_id(), now() + d, 'review.created', 'org_1', '{}'
  from unnest('{-50 days,25 hours}'::interval[]) d;
select subject, regexp_replace(regexp_replace(problem, '\d{4}-\S+ \d\d:\d\d:\d\d\S\d+', 'TIME', 'g'), '1 day \S+', 'DURATION') as problem, hint
  from webhook.check() where subject in ('partitions', 'clock');
rollback;

-- A copy, an old library.
begin;
insert into webhook.identity (origin, instance) values (1, 'other');
update pg_extension set extversion = '0.9' where extname = 'webhook';
select subject, regexp_replace(problem, 'library \S+,', 'library VERSION,') as problem, hint
  from webhook.check() where subject in ('copy', 'version');
rollback;

-- The role that owns everything: with members, a member itself, with powers.
create role regress_webhook_member;
grant webhook to regress_webhook_member;
grant pg_read_server_files to webhook;
alter role webhook createrole;
select problem, hint from webhook.check() where subject = 'role webhook';
alter role webhook nocreaterole;
-- Or owns nothing any more.
begin;
reassign owned by webhook to regress_webhook_member;
select problem, hint from webhook.check() where subject = 'role webhook' and problem ~ 'owns the tables';
rollback;
drop table review;
drop extension webhook;

-- CREATE EXTENSION says so, too.
create extension webhook;
drop extension webhook;
revoke pg_read_server_files from webhook;
revoke webhook from regress_webhook_member;
drop role regress_webhook_member;
