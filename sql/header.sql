-- Headers of an endpoint's own: sent with its requests, their values secret.
create extension webhook;
select webhook.set_organization('org_abc123', 'Your Organization');
\set SHOW_CONTEXT never

-- Given when the endpoint is made, as an object.
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', name => 'ci',
           headers => '{"Authorization": "Bearer abc", "X-Team": "a team, \"the\" one"}');
select * from webhook.endpoint_header order by name;

-- The table is the interface as well.
insert into webhook.endpoint_header values (1, 'Cookie', 'a=b; c=d');
update webhook.endpoint_header set value = 'Bearer def' where name = 'Authorization';
delete from webhook.endpoint_header where name = 'X-Team';
select name, value from webhook.endpoint_header order by name;

-- The same endpoint named again keeps them, unless others are given.
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/y', name => 'ci');
select name, value from webhook.endpoint_header order by name;
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/y', name => 'ci',
           headers => '{"X-Api-Key": "123"}');
select name, value from webhook.endpoint_header order by name;
select endpoint_id
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/y', name => 'ci', headers => '{}');
select count(*) from webhook.endpoint_header;

-- A change of headers is a change of the endpoint.
select revision as before from webhook.endpoint where id = 1 \gset
insert into webhook.endpoint_header values (1, 'Authorization', 'Bearer abc');
select revision > :before as is_changed from webhook.endpoint where id = 1;

-- Names that would change what a request is.
insert into webhook.endpoint_header values (1, 'Host', 'internal.example.com');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint_header values (1, 'content-length', '0');
insert into webhook.endpoint_header values (1, 'Transfer-Encoding', 'chunked');
insert into webhook.endpoint_header values (1, 'connection', 'close');
insert into webhook.endpoint_header values (1, 'User-Agent', 'curl');
insert into webhook.endpoint_header values (1, 'X-Jasper-Signature', 'sha256=00');
insert into webhook.endpoint_header values (1, 'X-Jasper-Anything', 'x');
insert into webhook.endpoint_header values (1, 'webhook-id', 'x');
insert into webhook.endpoint_header values (1, 'X-Other-Signature', 'x');
update webhook.endpoint_header set name = 'Proxy-Authorization';

-- What is no name is not repeated: it may be the value.
insert into webhook.endpoint_header values (1, 'Bearer abc', 'Authorization');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint_header values (1, E'X-A: 1\r\nX-B', '2');
insert into webhook.endpoint_header values (1, 'X-Ключ', '2');
insert into webhook.endpoint_header values (1, '', '2');
insert into webhook.endpoint_header values (1, null, '2');
insert into webhook.endpoint_header values (1, repeat('x', 65), '2');

-- Values end no line, and are never repeated.
insert into webhook.endpoint_header values (1, 'X-A', E'1\r\nX-B: 2');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint_header values (1, 'X-A', E'1\n2');
insert into webhook.endpoint_header values (1, 'X-A', E'1\x01');
insert into webhook.endpoint_header values (1, 'X-A', 'žluťoučký');
insert into webhook.endpoint_header values (1, 'X-A', ' 1');
insert into webhook.endpoint_header values (1, 'X-A', '');
insert into webhook.endpoint_header values (1, 'X-A', null);
insert into webhook.endpoint_header values (1, 'X-A', repeat('x', 4097));
update webhook.endpoint_header set value = E'1\r2';

-- One of each name, whatever its case.
insert into webhook.endpoint_header values (1, 'AUTHORIZATION', 'Bearer abc');
\echo :LAST_ERROR_SQLSTATE

-- Sixteen, and 8192 characters in all.
begin;
insert into webhook.endpoint_header select 1, 'X-' || n, n from generate_series(1, 15) n;
insert into webhook.endpoint_header values (1, 'X-16', '16');
\echo :LAST_ERROR_SQLSTATE
rollback;
insert into webhook.endpoint_header values (1, 'X-A', repeat('x', 4096)), (1, 'X-B', repeat('x', 4096));

-- Of an endpoint that exists.
insert into webhook.endpoint_header values (null, 'X-A', '1');
\echo :LAST_ERROR_SQLSTATE
insert into webhook.endpoint_header values (4711, 'X-A', '1');
\echo :LAST_ERROR_SQLSTATE

-- The same through create_endpoint.
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', headers => '{"Host": "x"}');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', headers => '{"X-A": "1\r\nX-B: 2"}');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', headers => '{"X-A": 1}');
\echo :LAST_ERROR_SQLSTATE
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', headers => '["X-A"]');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', headers => 'null');
select webhook.create_endpoint('org_abc123', 'https://hooks.example.com/x', headers => '{"X-A": "1", "x-a": "2"}');
\echo :LAST_ERROR_SQLSTATE
select count(*) from webhook.endpoint;

-- A session that restores a dump is not let off either.
set check_function_bodies = off;
insert into webhook.endpoint_header values (1, 'X-A', E'1\r\nX-B: 2');
insert into webhook.endpoint_header values (1, 'Host', 'internal.example.com');
reset check_function_bodies;

-- Managers write them; nobody reads a value.
create role regress_webhook_admin;
create role regress_webhook_support;
select webhook.grant_access('regress_webhook_admin', 'manager');
select webhook.grant_access('regress_webhook_support', 'observer');
set role regress_webhook_admin;
insert into webhook.endpoint_header values (1, 'X-Api-Key', '123');
update webhook.endpoint_header set value = '456' where endpoint_id = 1 and name = 'X-Api-Key';
delete from webhook.endpoint_header where name = 'Authorization';
select endpoint_id, name from webhook.endpoint_header;
select value from webhook.endpoint_header;
\echo :LAST_ERROR_SQLSTATE
update webhook.endpoint_header set value = value || '7';
insert into webhook.endpoint_header values (1, 'X-Api-Key', '789')
    on conflict (endpoint_id, name) do update set value = excluded.value;
insert into webhook.endpoint_header values (1, 'X-Api-Key', '789')
    on conflict (endpoint_id, name) do update set value = '789';
set role regress_webhook_support;
select endpoint_id, name from webhook.endpoint_header;
select value from webhook.endpoint_header;
delete from webhook.endpoint_header;
reset role;
select webhook.revoke_access('regress_webhook_admin');
select webhook.revoke_access('regress_webhook_support');
drop role regress_webhook_admin, regress_webhook_support;

-- They go with the endpoint.
delete from webhook.endpoint where id = 1;
select count(*) from webhook.endpoint_header;

drop extension webhook;
