-- The vectors that every implementation of the signature must agree on.
begin;
select no_plan();

create temporary table vector (
    id                 text,
    secret             text,
    webhook_id         text,
    webhook_timestamp  text,
    body               text,
    body_signature     text,
    standard_signature text);
\copy vector from program 'grep -v "^#" test/vectors/signing.tsv'

select ok(count(*) >= 4, 'there are vectors with a signature of the body')
  from vector where body_signature <> '-';
select results_eq(
    $$select distinct octet_length(body) from vector order by 1$$,
    $$values (2), (158), (170)$$,
    'their bodies are complete');

select ok(webhook.verify(body, body_signature, secret), id || ' verifies')
       || E'\n' ||
       ok(not webhook.verify(body || ' ', body_signature, secret),
          id || ' with a byte more does not')
       || E'\n' ||
       ok(not webhook.verify(overlay(body placing '[' from 1 for 1),
                             body_signature, secret),
          id || ' with another byte does not')
       || E'\n' ||
       ok(not webhook.verify(body, body_signature, secret || 'x'),
          id || ' with another secret does not')
       || E'\n' ||
       ok(not webhook.verify(body, body_signature, substr(secret, 7)),
          id || ' with a part of the secret does not: the prefix belongs to it')
  from vector
 where body_signature <> '-'
 order by id;

-- Each secret has its own signature.
select is_empty(
    $$select v.id, w.id
        from vector v
        join vector w on w.secret <> v.secret
       where v.body_signature <> '-'
         and webhook.verify(v.body, v.body_signature, w.secret)$$,
    'no signature is good for another secret');

-- The form is exactly sha256= and 64 lower-case digits.
create temporary table one as select * from vector where id = 'V001';
select is(webhook.verify(body, form, secret), false, 'refused: ' || what)
  from one,
       lateral (values
           (substr(body_signature, 8), 'no prefix'),
           (upper(body_signature), 'upper case'),
           ('sha256=' || upper(substr(body_signature, 8)), 'upper-case digits'),
           ('sha512=' || substr(body_signature, 8), 'another prefix'),
           ('sha256:' || substr(body_signature, 8), 'a colon'),
           (' ' || body_signature, 'a space before'),
           (body_signature || ' ', 'a space after'),
           (body_signature || '0', 'a digit more'),
           (left(body_signature, -1), 'a digit less'),
           (overlay(body_signature placing 'g' from 71), 'no digit'),
           (left(body_signature, -1) || '0', 'another last digit'),
           (body_signature || ',' || body_signature, 'a list'),
           (standard_signature, 'the other header'),
           ('sha256=', 'only the prefix'),
           ('', 'nothing')) as wrong(form, what);

select is(webhook.verify(null, body_signature, secret), null, 'NULL payload gives NULL')
       || E'\n' ||
       is(webhook.verify(body, null, secret), null, 'NULL signature gives NULL')
       || E'\n' ||
       is(webhook.verify(body, body_signature, null), null, 'NULL secret gives NULL')
  from one;

-- Any secret will do as a key, also one that is longer than SHA-256's block.
create extension if not exists pgcrypto;
select ok(webhook.verify(body, 'sha256=' || encode(hmac(convert_to(body, 'UTF8'),
                             convert_to(key, 'UTF8'), 'sha256'), 'hex'), key),
          format('%s bytes of key, %s of body', octet_length(key), octet_length(body)))
  from (values ('k'), (repeat('k', 64)), (repeat('k', 65)), (repeat('klíč', 300))) as k(key),
       (values (''), ('{}'), (repeat('Žluťoučký kůň 🐎', 10000))) as b(body);

-- What counts as a secret for webhook-signature.
select is(webhook._is_standard_secret(secret), expected, what)
  from (values
      ('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', true, '32 bytes'),
      ('whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno', true, '24 bytes'),
      ('whsec_' || encode(decode(repeat('ab', 64), 'hex'), 'base64'), false,
       '64 bytes, but a line break within'),
      ('whsec_' || translate(encode(decode(repeat('ab', 64), 'hex'), 'base64'), E'\n', ''),
       true, '64 bytes'),
      ('whsec_' || translate(encode(decode(repeat('ab', 65), 'hex'), 'base64'), E'\n', ''),
       false, '65 bytes'),
      ('whsec_' || encode(decode(repeat('ab', 23), 'hex'), 'base64'), false, '23 bytes'),
      ('AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', false, 'no prefix'),
      ('WHSEC_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', false, 'another prefix'),
      ('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8', false, 'no padding'),
      ('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= ', false, 'a space after'),
      ('whsec__-79_Pv6-fj39vX08_Lx8O_u7ezr6uno', false, 'base64url'),
      ('your-webhook-secret', false, 'plain text')) as t(secret, expected, what);

select * from finish();
rollback;
