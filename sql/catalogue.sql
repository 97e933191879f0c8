-- The catalogue: which events there are, and how to add your own.
create extension webhook;

-- The events of the product, by category.
select category, name, description
  from webhook.event_type
 order by category, name collate "C";

select count(*) as events, count(distinct category) as categories
  from webhook.event_type;

-- Each has an example of the data that its payload carries.  Two of them are
-- the examples of the product's documentation.
select name
  from webhook.event_type
 where json_typeof(example) <> 'object' or example::text = '{}';

select example from webhook.event_type where name = 'review.completed';
select example from webhook.event_type where name = 'team.member_added';

-- The category is the part before the first full stop; it follows the name.
insert into webhook.event_type (name, description, example)
values ('invoice.line.added', 'A line was added to an invoice', '{"line": 1}')
returning name, category, description, example, is_builtin;

-- What was added can be emitted and subscribed to like the product's events.
select webhook.set_organization('org_1', 'One');
select webhook.emit('invoice.line.added', 'org_1', '{"line": 1}') is not null
       as is_recorded;
insert into webhook.endpoint (organization_id, url, events)
values ('org_1', 'https://hooks.example.com/invoices', '{invoice.*}')
returning events;

-- Descriptions and examples may be changed.
update webhook.event_type set example = '{"line": 2, "amount": "9.50"}'
 where name = 'invoice.line.added'
returning name, example;

\set SHOW_CONTEXT never

-- Names are lower-case words joined by full stops.
insert into webhook.event_type (name) values ('Invoice.Paid');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.event_type (name) values ('invoice');
insert into webhook.event_type (name) values ('invoice..paid');
insert into webhook.event_type (name) values ('invoice.paid ');
insert into webhook.event_type (name) values ('invoice.*');
insert into webhook.event_type (name) values (repeat('x', 130) || '.y');

-- Those under "webhook." are the extension's own.
insert into webhook.event_type (name) values ('webhook.mine');

-- An example is an object, since the data of an event is one.
insert into webhook.event_type (name, example) values ('invoice.paid', '[1]');

-- A name exists once.
insert into webhook.event_type (name) values ('review.completed');

-- The category cannot be written.
insert into webhook.event_type (name, category) values ('invoice.paid', 'x');

-- Names can be removed, and are then unknown.
delete from webhook.event_type where name = 'invoice.line.added';
select webhook.emit('invoice.line.added', 'org_1', '{}');

drop extension webhook;
