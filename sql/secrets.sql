-- Secrets: made, read, rotated, imported, and used by a receiver.
create extension webhook;
set intervalstyle = postgres;
select webhook.set_organization('org_abc123', 'Your Organization');

-- A made secret is whsec_ and base64 of 32 random bytes; it is shown once, and
-- again by webhook.secret().
select endpoint_id, secret
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/1')
\gset
select :'secret' ~ '^whsec_[A-Za-z0-9+/]{43}=$' as is_well_formed,
       length(decode(substr(:'secret', 7), 'base64')) as bytes,
       webhook.secret(:endpoint_id) = :'secret' as is_shown_again;

-- No two are alike.
insert into webhook.endpoint (organization_id, url)
select 'org_abc123', 'https://hooks.example.com/' || n
  from generate_series(2, 100) as n;
select count(distinct webhook.secret(id)) as secrets from webhook.endpoint;

-- Rotation returns a new one.  The one before stays valid for the overlap,
-- 24 hours unless told otherwise.
select webhook.rotate_secret(:endpoint_id) as second \gset
select :'second' <> :'secret' as is_new,
       webhook.secret(:endpoint_id) = :'second' as is_in_use;
select case secret when :'second' then 'second' when :'secret' then 'first' end
           as secret,
       date_trunc('minute', expires_at - clock_timestamp() + interval '5 s')
           as expires_in
  from webhook.endpoint_secret
 where endpoint_id = :endpoint_id
 order by created_at desc;

-- The third drops the oldest.
select webhook.rotate_secret(:endpoint_id, '1 hour') as third \gset
select case secret when :'third' then 'third' when :'second' then 'second'
                   when :'secret' then 'first' end as secret,
       date_trunc('minute', expires_at - clock_timestamp() + interval '5 s')
           as expires_in
  from webhook.endpoint_secret
 where endpoint_id = :endpoint_id
 order by created_at desc;

-- Without an overlap the old one ends at once, as after a leak.
select webhook.rotate_secret(:endpoint_id, '0') <> :'third' as is_new;
select count(*) as live
  from webhook.endpoint_secret
 where endpoint_id = :endpoint_id
   and (expires_at is null or expires_at > clock_timestamp());

-- Secrets can be brought along.
select secret
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/moved',
           secret => 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=');
select webhook.rotate_secret(:endpoint_id,
           secret => 'whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno');
select webhook.secret(:endpoint_id);

-- One that is not of that form cannot make the header webhook-signature.
select secret
  from webhook.create_endpoint('org_abc123', 'https://hooks.example.com/old',
                               secret => 'your-webhook-secret');

-- There is nothing to read where there is no endpoint.
\pset null NULL
select webhook.secret(4711);

-- A receiver that is itself PostgreSQL checks the header X-Jasper-Signature.
select webhook.verify('{}',
    'sha256=985a3c96a281605f1d3b4c1137aa5b322d0d56867f0b183245815130d7964c97',
    'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=');
select webhook.verify(
    '{"event":"review.completed","timestamp":"2026-01-08T10:30:00Z","organization":{"id":"org_abc123","name":"Your Organization"},"data":{"review_id":"rev_abc123","score":85}}',
    'sha256=de2df9d9b5d30ac173761009130da9d25449e87699208351a5cb699487bb1902',
    'your-webhook-secret');

-- Another body, another secret, another form.
select webhook.verify('{ }',
    'sha256=985a3c96a281605f1d3b4c1137aa5b322d0d56867f0b183245815130d7964c97',
    'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=');
select webhook.verify('{}',
    'sha256=985a3c96a281605f1d3b4c1137aa5b322d0d56867f0b183245815130d7964c97',
    'your-webhook-secret');
select webhook.verify('{}',
    '985a3c96a281605f1d3b4c1137aa5b322d0d56867f0b183245815130d7964c97',
    'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=');
select webhook.verify('{}', '',
    'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=');
select webhook.verify('{}', null, 'your-webhook-secret');

drop extension webhook;
