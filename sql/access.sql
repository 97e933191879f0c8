-- Access: applications work as roles of their own, each with what it needs.
create extension webhook;
select webhook.set_organization('org_abc123', 'Your Organization');
select webhook.emit('review.started', 'org_abc123', '{}') is not null
       as is_recorded;
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x')
       is not null as is_created;
\set SHOW_CONTEXT never

create role regress_webhook_app;
create role regress_webhook_support;
create role regress_webhook_admin;

-- Nothing is allowed at first.
set role regress_webhook_app;
select webhook.emit('review.completed', 'org_abc123', '{"score": 85}');
\echo :LAST_ERROR_SQLSTATE
select url from webhook.endpoint;
reset role;

-- A publisher emits.
select webhook.grant_access('regress_webhook_app', 'publisher');
set role regress_webhook_app;
begin;
select webhook.emit('review.completed', 'org_abc123', '{"score": 85}')
       is not null as is_recorded;
select name from webhook.event_type where category = 'billing' order by name;
select id, name from webhook.organization;
rollback;
select count(*) from webhook.event;
select url from webhook.endpoint;
select webhook.secret(1);
insert into webhook.event_type (name) values ('invoice.paid');
reset role;

-- An observer looks at endpoints and deliveries, but not at secrets.
select webhook.grant_access('regress_webhook_support', 'observer');
set role regress_webhook_support;
select id, organization_id, url, status from webhook.endpoint;
select count(*) from webhook.delivery_log;
select count(*) > 0 as has_status from webhook.status;
select webhook.secret(1);
select secret from webhook.endpoint_secret;
select webhook.emit('review.completed', 'org_abc123', '{}');
update webhook.endpoint set status = 'disabled';
delete from webhook.attempt;
reset role;

-- A manager looks, and changes endpoints, organizations and event types.
select webhook.grant_access('regress_webhook_admin', 'manager');
set role regress_webhook_admin;
select webhook.set_organization('org_xyz789', 'Another');
insert into webhook.event_type (name) values ('invoice.paid');
select endpoint_id, secret <> '' as has_secret
  from webhook.create_endpoint('org_xyz789', 'https://hooks.example.com/y',
                               '{invoice.*}');
insert into webhook.endpoint (organization_id, url)
values ('org_xyz789', 'https://hooks.example.com/z')
returning id;
update webhook.endpoint set status = 'paused' where id = 3 returning id, status;
select webhook.rotate_secret(3) as new_secret \gset
select webhook.secret(3) = :'new_secret' as is_rotated;
delete from webhook.endpoint where id = 3;
delete from webhook.organization where id = 'org_xyz789';
select id, organization_id from webhook.endpoint;
select webhook.emit('review.completed', 'org_abc123', '{}');
delete from webhook.event;
select webhook.grant_access('regress_webhook_app', 'manager');
reset role;

-- Levels add up: this one may do both.
select webhook.grant_access('regress_webhook_admin', 'publisher');

-- And are taken back as a whole.
select webhook.revoke_access('regress_webhook_app');
select webhook.revoke_access('regress_webhook_support');
select webhook.revoke_access('regress_webhook_admin');
set role regress_webhook_admin;
select webhook.emit('review.completed', 'org_abc123', '{}');
select url from webhook.endpoint;
reset role;

-- A name that needs quotes has them where it is given as an argument.
create role "regress_webhook App";
select webhook.grant_access('"regress_webhook App"', 'publisher', 'org_abc123');
select webhook.grant_access('"regress_webhook App"', 'publisher');
delete from webhook.access;
select problem, hint from webhook.check() where subject = 'access';
select webhook.revoke_access('"regress_webhook App"');
drop role "regress_webhook App";

drop role regress_webhook_app, regress_webhook_support, regress_webhook_admin;
drop extension webhook;
