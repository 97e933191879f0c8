-- On the wire everything is UTF-8, whatever the encoding of the database.
select current_database() as here \gset

-- Other encodings are converted: the signature is that of the UTF-8 bytes.
create database regress_webhook_latin1
    encoding 'LATIN1' locale 'C' template template0;
\c regress_webhook_latin1
set client_encoding = 'UTF8';
create extension webhook;
select webhook.set_organization('org_cafe', 'Café');
select webhook.emit('review.created', 'org_cafe', '{"a":"é"}') as event_id \gset
select payload -> 'organization' ->> 'name' as name, payload -> 'data' as data
  from webhook.event
 where id = :'event_id';
select octet_length('{"a":"é"}') as bytes,
       webhook.verify('{"a":"é"}',
           'sha256=366d3dc3f54e09a0e8e5fa6a7a36ffd73e9bd545a7d70d2d7e0986d725eca98c',
           'your-webhook-secret') as is_that_of_utf8;
-- What the encoding lacks can be escaped.
select webhook.emit('review.created', 'org_cafe', '{"a":"ž"}');
select webhook.emit('review.created', 'org_cafe', '{"a":"\u017e"}') is not null
       as is_recorded;

-- A byte that means nothing: one such event would stop what comes after it.
create database regress_webhook_win1252
    encoding 'WIN1252' locale 'C' template template0;
\c regress_webhook_win1252
drop database regress_webhook_latin1;
create extension webhook;
select webhook.set_organization('org_1', 'Caf' || chr(233));
select webhook.emit('review.created', 'org_1', '{"a":"' || chr(233) || '"}') is not null
       as is_recorded;
select webhook.emit('review.created', 'org_1', '{"a":"' || chr(129) || '"}');
\echo :LAST_ERROR_SQLSTATE
-- Events of our own have nobody to be refused to.
select webhook.set_organization('org_1', 'C' || chr(129) || 'f' || chr(233));
select webhook.emit('review.created', 'org_1', '{}');
select webhook._record('webhook.endpoint_disabled', 'org_1', '{"a": 1}', false) is not null as is_recorded;
select convert_from(convert_to(payload::text, 'UTF8'), 'UTF8') ~ '"name":"C\?f\?"' as is_sent
  from webhook.event where event_type = 'webhook.endpoint_disabled';

-- SQL_ASCII accepts any bytes; those that are no UTF-8 are refused at emit.
create database regress_webhook_ascii
    encoding 'SQL_ASCII' locale 'C' template template0;
\c regress_webhook_ascii
drop database regress_webhook_win1252;
create extension webhook;
select webhook.set_organization('org_utf8', E'Caf\xc3\xa9');
select webhook.set_organization('org_latin1', E'Caf\xe9');
select webhook.emit('review.created', 'org_utf8', E'{"a":"\xc3\xa9"}') is not null
       as is_recorded;
select webhook.emit('review.created', 'org_utf8', E'{"a":"\xe9"}');
\echo :LAST_ERROR_SQLSTATE
select webhook.emit('review.created', 'org_latin1', '{}');
select count(*) as events from webhook.event;

\c :here
drop database regress_webhook_ascii;
