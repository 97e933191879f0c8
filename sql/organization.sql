-- Organizations: the tenants that events and endpoints belong to.
create extension webhook;

-- Recorded once, and renamed by the same call.
select webhook.set_organization('org_abc123', 'Your Organization');
select webhook.set_organization('org_xyz789', 'Another');
select webhook.set_organization('org_abc123', 'Žluťoučký kůň 🐎');
table webhook.organization order by id;

-- Or with plain statements.
insert into webhook.organization (id, name) values ('org_plain', 'Plain');
update webhook.organization set name = 'Plain and simple'
 where id = 'org_plain'
returning id, name;

-- A payload carries the name that the organization had at emit.
select webhook.emit('review.created', 'org_plain', '{"review": 1}') as first
\gset
select webhook.set_organization('org_plain', 'Renamed');
select webhook.emit('review.created', 'org_plain', '{"review": 2}') as second
\gset
select payload -> 'data' as data, payload -> 'organization' as organization
  from webhook.event
 where id in (:'first', :'second')
 order by id;

-- Endpoints belong to one organization.  They go with it; its events stay.
select endpoint_id
  from webhook.create_endpoint('org_xyz789', 'https://hooks.example.com/x')
\gset
select webhook.emit('review.created', 'org_plain', '{"review": 3}') is not null
       as is_recorded;
delete from webhook.organization where id in ('org_xyz789', 'org_plain');
select count(*) as endpoints from webhook.endpoint;
select count(*) as secrets from webhook.endpoint_secret;
select webhook.secret(:endpoint_id) is null as is_gone;
select count(*) as events from webhook.event where organization_id = 'org_plain';

\set SHOW_CONTEXT never

-- An id is for good: endpoints and events have it.
update webhook.organization set id = 'org_new' where id = 'org_abc123';

-- A deleted organization is unknown.
select webhook.emit('review.created', 'org_plain', '{"review": 4}');

-- Identifiers are unique, and like names are there.
insert into webhook.organization (id, name) values ('org_abc123', 'Again');
\echo :LAST_ERROR_SQLSTATE
select webhook.set_organization('org_none', null);
\echo :LAST_ERROR_SQLSTATE
select webhook.set_organization(null, 'None');
select webhook.set_organization('', 'Empty');
\echo :LAST_ERROR_SQLSTATE
select webhook.set_organization(repeat('x', 257), 'Long');

drop extension webhook;
