-- What is wrong with the installation, one row each with what to do.
create extension webhook;
alter role webhook nologin;

-- A worker that is starting says so; all the rest is well.
select subject, problem, hint from webhook.check() where subject not like 'worker%';

-- A watch that a renamed column broke, an endpoint that lost its organization.
create table review (id bigint, organization_id text);
select webhook.watch('review', 'review.created', 'new.organization_id');
alter table review rename column organization_id to tenant_id;
set check_function_bodies = off;    -- as a restored dump brings rows in
insert into webhook.endpoint (id, organization_id, url, events)
values (1001, 'org_1', 'https://hooks.example.com/x', '{invoice.paid}');
reset check_function_bodies;
select subject, problem, hint from webhook.check() where subject not like 'worker%';

drop table review;
drop extension webhook;
