-- Endpoints: where events are delivered.
create extension webhook;
set intervalstyle = postgres;
select webhook.set_organization('org_abc123', 'Your Organization');
select webhook.set_organization('org_xyz789', 'Another');

-- A new endpoint gets every event of the catalogue, and a secret of its own.
select endpoint_id, regexp_replace(secret, '[A-Za-z0-9+/]{43}=$', '***') as secret
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/all');

select id, organization_id, url, events, status, retry_schedule, timeout,
       disabled_at, disabled_reason
  from webhook.endpoint;

-- With everything that can be said about one.
select endpoint_id
  from webhook.create_endpoint(
           organization_id => 'org_abc123',
           url => 'https://hooks.example.com/ci?token=abc',
           events => '{review.completed,security.*}',
           description => 'Build server',
           name => 'ci',
           retry_schedule => '{5s,1min,1h}',
           timeout => '10s');

select id, name, url, events, description, retry_schedule, timeout
  from webhook.endpoint
 where name = 'ci';

-- The same name again updates that endpoint, so that a migration can be run
-- again: the same id, and no secret, since it keeps the one it has.
select webhook.secret(2) as secret_before \gset
\pset null NULL
select endpoint_id, secret
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/ci',
                               '{review.*}', name => 'ci');
select id, name, url, events, description, retry_schedule, timeout
  from webhook.endpoint
 where name = 'ci';
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/ci',
                               '{review.*}', name => 'ci', secret => 'sixteen letters.');
select webhook.secret(2) = :'secret_before' as keeps_its_secret;
\pset null ''

-- Names are unique within an organization only.
select endpoint_id
  from webhook.create_endpoint('org_xyz789', 'https://hooks.example.com/ci',
                               name => 'ci');

-- The same URL may serve several endpoints.
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/all');

-- Plain statements do as well: the table is the interface.
insert into webhook.endpoint (organization_id, url)
values ('org_abc123', 'https://hooks.example.com/plain')
returning id, events, status;
select webhook.secret(5) ~ '^whsec_[A-Za-z0-9+/]{43}=$' as has_a_secret;

-- Hosts are accepted as they are: which addresses may be dialled is decided
-- when the name has been looked up.
insert into webhook.endpoint (organization_id, url)
values ('org_abc123', 'https://intranet/hook'),
       ('org_abc123', 'https://intranet:8443/hook?a=b&c=%20'),
       ('org_abc123', 'https://xn--kxae4bafwg.xn--pxaix.gr'),
       ('org_abc123', 'https://93.184.215.14/hook'),
       ('org_abc123', 'https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/'),
       ('org_abc123', 'HTTPS://Hooks.Example.COM/As/Given')
returning url;
delete from webhook.endpoint where id > 5;

-- Subscriptions: names, whole categories, everything; and the extension's own
-- events by exact name.
update webhook.endpoint
   set events = '{review.failed,team.*,webhook.endpoint_disabled}'
 where id = 5
returning events;
update webhook.endpoint set events = '{*,webhook.test}' where id = 5
returning events;

-- Retries: a schedule of its own, an empty one for a single attempt, NULL for
-- the setting webhook.retry_schedule.
update webhook.endpoint set retry_schedule = '{100ms,0s,2 days}' where id = 5
returning retry_schedule;
update webhook.endpoint set retry_schedule = '{}' where id = 5
returning retry_schedule;
update webhook.endpoint set retry_schedule = null where id = 5
returning retry_schedule;
show webhook.retry_schedule;

-- Paused: deliveries wait.
update webhook.endpoint set status = 'paused' where id = 5
returning status, disabled_at;

-- Disabled: waiting deliveries become cancelled.
update webhook.endpoint
   set status = 'disabled', disabled_reason = 'the contract ended'
 where id = 5
returning status, disabled_at <= clock_timestamp() as has_time, disabled_reason;

-- Enabling forgets when and why.
update webhook.endpoint set status = 'enabled' where id = 5
returning status, disabled_at, disabled_reason;

-- Deleting takes the secrets along.
delete from webhook.endpoint where id = 5;
select webhook.secret(5) is null as is_gone;

-- Another organization needs another endpoint.
\set SHOW_CONTEXT never
update webhook.endpoint set organization_id = 'org_xyz789' where id = 1;
\echo :LAST_ERROR_SQLSTATE
update webhook.endpoint set id = 99 where id = 1;

-- A name is one, or there is none.
insert into webhook.endpoint (organization_id, url, name)
values ('org_abc123', 'https://hooks.example.com/', 'ci');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint (organization_id, url, name)
values ('org_abc123', 'https://hooks.example.com/', '');
\echo :LAST_ERROR_SQLSTATE

-- What was refused left nothing behind.
select id, organization_id, name, url from webhook.endpoint order by id;
select count(*) = (select count(*) from webhook.endpoint) as one_secret_each
  from webhook.endpoint_secret;

-- Functions check and make a secret in sessions that restore dumps, too.
begin;
set local check_function_bodies = off;
select endpoint_id, secret is not null as has_secret
  from webhook.create_endpoint('org_xyz789', 'https://hooks.example.com/restored') \gset
select :'has_secret' as has_secret;
select webhook.rotate_secret(:endpoint_id) as rotated \gset
select webhook.secret(:endpoint_id) = :'rotated' as is_rotated;
select revision from webhook.endpoint where id = :endpoint_id;
select webhook.create_endpoint('org_xyz789', 'ftp://hooks.example.com/');
rollback;

drop extension webhook;
