-- Roles that are bound to one organization: what they see, change and emit.
begin;
select no_plan();

create role regress_webhook_one;        -- bound to org_1, every level
create role regress_webhook_two;        -- bound to org_2, every level
create role regress_webhook_member in role regress_webhook_one;
create role regress_webhook_publisher;  -- bound to org_1, emits only
create role regress_webhook_all;        -- bound to none
create role regress_webhook_nobody;

select webhook.set_organization('org_1', 'One'),
       webhook.set_organization('org_2', 'Two') \g /dev/null
select endpoint_id as one from webhook.create_endpoint('org_1', 'https://hooks.example.com/1',
    name => 'ci', headers => '{"Authorization": "Bearer 1"}') \gset
select endpoint_id as two from webhook.create_endpoint('org_2', 'https://hooks.example.com/2',
    name => 'ci', headers => '{"Authorization": "Bearer 2"}') \gset
select webhook.emit('review.created', 'org_1', '{}', 'key 1') as event_one,
       webhook.emit('review.created', 'org_2', '{}', 'key 2') as event_two \gset
insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
values (:'event_one', :one, now(), now(), webhook._origin()),
       (:'event_two', :two, now(), now(), webhook._origin());
insert into webhook.attempt (event_id, endpoint_id, started_at, delivery_created_at, duration,
                             attempt, organization_id, url, outcome)
select id, case organization_id when 'org_1' then :one else :two end, now(), now(), '1s',
       1, organization_id, 'https://hooks.example.com/', 'failed'
  from webhook.event;
insert into webhook.failing values (:one, now()), (:two, now());

--
-- grant_access
--

-- An error is a row: SQLSTATE and message; "fine" when there is none.
create function pg_temp.attempt(who name, statement text) returns text
language plpgsql as $$
begin
    perform set_config('role', who, true);
    execute statement;
    raise exception using errcode = 'ZZ000';
exception when others then
    return case sqlstate when 'ZZ000' then 'fine' else sqlstate || ' ' || sqlerrm end;
end
$$;
-- What a statement that returns one value returns to a role.
create function pg_temp.value_for(who name, statement text) returns text
language plpgsql as $$
declare
    value text;
begin
    perform set_config('role', who, true);
    execute statement into value;
    perform set_config('role', 'none', true);
    return value;
end
$$;

select webhook.grant_access(r, level, 'org_1')
  from unnest('{regress_webhook_one}'::regrole[]) r,
       unnest('{publisher,observer,manager}'::text[]) level \g /dev/null
select webhook.grant_access('regress_webhook_two', level, 'org_2')
  from unnest('{publisher,observer,manager}'::text[]) level \g /dev/null
select webhook.grant_access('regress_webhook_publisher', 'publisher', 'org_1') \g /dev/null
select webhook.grant_access('regress_webhook_all', level)
  from unnest('{publisher,observer,manager}'::text[]) level \g /dev/null

select throws_ok($$select webhook.grant_access('regress_webhook_one', 'observer', 'org_2')$$,
    '55000', 'role "regress_webhook_one" is bound to organization "org_1"',
    'a role is bound to one organization');
select throws_ok($$select webhook.grant_access('regress_webhook_one', 'observer')$$,
    '55000', 'role "regress_webhook_one" is bound to organization "org_1"',
    'a bound role is not set free by the way');
select throws_ok($$select webhook.grant_access('regress_webhook_all', 'observer', 'org_1')$$,
    '55000', 'role "regress_webhook_all" may act for all organizations',
    'what is bound must not have had all');
select throws_ok($$select webhook.grant_access('regress_webhook_nobody', 'observer', 'org_3')$$,
    '23503', 'unknown organization "org_3"', 'bound to an organization that exists');
select throws_ok($$select webhook.grant_access('regress_webhook_nobody', null)$$,
    '22023', null, 'no level is no level');

--
-- What they see
--

create temporary table relation (name text, is_for_all_levels boolean);
insert into relation values
    ('webhook.organization'), ('webhook.endpoint'), ('webhook.event'),
    ('webhook.attempt'), ('webhook.delivery'), ('webhook.delivery_log'), ('webhook.failing');

create function pg_temp.organizations_of(who name, relation text) returns text
language sql as $$
    select pg_temp.value_for(who, format(
        case when relation like '%organization'
             then 'select string_agg(distinct id, '','' order by id) from %s'
             when relation like '%failing'
             then 'select string_agg(''org_'' || (endpoint_id - %2$s + 1), '','' order by endpoint_id) from %1$s'
             else 'select string_agg(distinct organization_id, '','' order by organization_id) from %s' end,
        relation, (select min(endpoint_id) from webhook.failing)))
$$;
select is(pg_temp.organizations_of(who, name), seen, format('%s: %s sees %s', name, who, seen))
  from relation,
       (values ('regress_webhook_one', 'org_1'), ('regress_webhook_two', 'org_2'),
               ('regress_webhook_member', 'org_1'), ('regress_webhook_all', 'org_1,org_2'))
           as expected(who, seen);
select is(pg_temp.value_for('regress_webhook_one',
              'select string_agg(endpoint_id::text, $$,$$) from webhook.endpoint_header'),
          :'one', 'names of headers');

-- Should somebody grant the others by hand, rows stay apart.
grant select on webhook.queue, webhook.idempotency_key to regress_webhook_one;
select is(pg_temp.value_for('regress_webhook_one',
              'select string_agg(endpoint_id::text, $$,$$) from webhook.queue'),
          :'one', 'the queue');
select is(pg_temp.value_for('regress_webhook_one',
              'select string_agg(key, $$,$$) from webhook.idempotency_key'),
          'key 1', 'idempotency keys');

-- A function of the reader's own is not shown what he may not see.
create table public.shown (what text);
grant insert on public.shown to public;
create function pg_temp.peek(what text) returns boolean language plpgsql cost 0.0001 as $$
begin
    insert into public.shown values (what);
    return true;
end
$$;
select pg_temp.value_for('regress_webhook_one', format(
    'select count(*) from webhook.%I where pg_temp.peek(organization_id)', v))
  from unnest('{endpoint,event,attempt,delivery,delivery_log}'::text[]) v \g /dev/null
select pg_temp.value_for('regress_webhook_one',
    'select count(*) from webhook.delivery_log where 1 / (endpoint_id - ' || :two || ') is not null')
    \g /dev/null
select is((select string_agg(distinct what, ',') from public.shown), 'org_1',
          'rows of others meet no function of the reader');

--
-- What they change
--

create temporary table refusal (statement text, expected text);
insert into refusal values
    ($$select webhook.emit('review.created', 'org_2', '{}')$$,
     '42501 permission denied for organization "org_2"'),
    ($$select webhook.emit('review.created', 'org_3', '{}')$$,
     '42501 permission denied for organization "org_3"'),
    ($$select webhook.emit('review.created', 'org_2', '{}', 'key 2')$$,
     '42501 permission denied for organization "org_2"'),
    ($$select webhook.emit('review.created', 'org_2', '[]')$$,
     '42501 permission denied for organization "org_2"'),
    ($$select webhook.create_endpoint('org_2', 'https://hooks.example.com/')$$,
     '42501 permission denied for organization "org_2"'),
    ($$select webhook.create_endpoint('org_2', 'https://hooks.example.com/', name => 'ci')$$,
     '42501 permission denied for organization "org_2"'),
    ($$select webhook.create_endpoint('org_3', 'https://hooks.example.com/')$$,
     '42501 permission denied for organization "org_3"'),
    ($$select webhook.create_endpoint(null, 'https://hooks.example.com/')$$,
     '42501 permission denied for all organizations'),
    ($$select webhook.rotate_secret($2)$$, 'P0002 endpoint $2 does not exist'),
    ($$select webhook.test($2)$$, 'P0002 endpoint $2 does not exist'),
    ($$select webhook.redeliver('$4', $2)$$, 'P0002 event $4 does not exist'),
    ($$select webhook.redeliver('$4', $1)$$, 'P0002 event $4 does not exist'),
    ($$select webhook.redeliver('$3', $2)$$,
     'P0002 endpoint $2 does not exist in the organization of the event'),
    ($$select * from webhook.explain('$4')$$, 'P0002 event $4 does not exist'),
    ($$select webhook.preview($2)$$, 'P0002 endpoint $2 does not exist'),
    ($$select webhook.preview($2, 'review.created', '{}'::json)$$, 'P0002 endpoint $2 does not exist'),
    ($$select webhook.preview($2, 'review.created', '{}'::jsonb)$$, 'P0002 endpoint $2 does not exist'),
    ($$select webhook.forget(event_id => '$4')$$, 'P0002 event $4 does not exist'),
    ($$select webhook.forget(organization_id => 'org_2')$$,
     '42501 permission denied for organization "org_2"'),
    ($$select webhook.forget(organization_id => 'org_3')$$,
     '42501 permission denied for organization "org_3"'),
    ($$insert into webhook.endpoint (organization_id, url)
       values ('org_2', 'https://hooks.example.com/')$$, '23503 unknown organization "org_2"'),
    ($$insert into webhook.endpoint (organization_id, url)
       values ('org_3', 'https://hooks.example.com/')$$, '23503 unknown organization "org_3"'),
    ($$insert into webhook.endpoint_header values ($2, 'X-A', '1')$$,
     '42501 new row violates row-level security policy for table "endpoint_header"'),
    ($$update webhook.endpoint_header set endpoint_id = $2$$,
     '42501 new row violates row-level security policy for table "endpoint_header"'),
    ($$select webhook.set_organization('org_2', 'Mine')$$,
     '42501 new row violates row-level security policy for table "organization"'),
    ($$select webhook.set_organization('org_3', 'Mine')$$,
     '42501 new row violates row-level security policy for table "organization"'),
    ($$update webhook.organization set id = 'org_3'$$,
     '42501 new row violates row-level security policy for table "organization"'),
    ($$insert into webhook.event_type (name) values ('own.event')$$,
     '42501 permission denied for table event_type'),
    ($$select * from webhook.check()$$, '42501 permission denied for function check'),
    ($$select * from webhook.status$$, '42501 permission denied for view status'),
    ($$select * from webhook.access$$, '42501 permission denied for table access'),
    ($$insert into webhook.access values ('regress_webhook_two', 'org_1')$$,
     '42501 permission denied for table access');

-- Nobody is taken for a restored dump by setting what it sets, nor chooses an id:
-- what is left of the deliveries of a deleted endpoint would be his.
insert into refusal
select 'set local check_function_bodies = off; ' || statement, expected from refusal
 where statement ~ 'endpoint|set_organization';
insert into refusal
select setting || statement, expected
  from (values ($$insert into webhook.endpoint (organization_id, url) values ('org_1', 'http://10.0.0.1/')$$,
                '22023 invalid endpoint URL: scheme is not https'),
               ($$insert into webhook.endpoint_header values ($1, 'X-Jasper-Event', 'x')$$,
                '22023 header "X-Jasper-Event" is reserved'),
               ($$update webhook.endpoint set retry_schedule = array_fill(interval '0', '{100}')$$,
                '22023 invalid retry schedule'),
               ($$update webhook.endpoint set events = array_fill('review.created'::text, '{1001}')$$,
                '22023 endpoint events must be a list of up to 1000 names'),
               ($$insert into webhook.endpoint (id, organization_id, url)
                  values (4711, 'org_1', 'https://hooks.example.com/')$$,
                '42501 permission denied for table endpoint'),
               ($$update webhook.endpoint set id = 4711$$, '42501 permission denied for table endpoint'),
               ($$update webhook.endpoint set revision = 1$$, '42501 permission denied for table endpoint'))
       as s(statement, expected),
       unnest('{"", "set local check_function_bodies = off; "}'::text[]) as setting;

create function pg_temp.filled(text, bigint, bigint, uuid, uuid) returns text language sql as
$$select replace(replace(replace(replace($1, '$1', $2::text), '$2', $3::text),
                         '$3', $4::text), '$4', $5::text)$$;
select is(pg_temp.attempt('regress_webhook_one', pg_temp.filled(statement, :one, :two, :'event_one', :'event_two')),
          pg_temp.filled(expected, :one, :two, :'event_one', :'event_two'), 'refused: ' || statement)
  from refusal;
select is(pg_temp.value_for('regress_webhook_one', format('select webhook.secret(%s)', :two)), null,
          'there is no secret of others');
select is(pg_temp.value_for('regress_webhook_one', format(
              'with changed as (update webhook.endpoint set description = $$x$$ returning id)
               select string_agg(id::text, $$,$$) from changed', :two)),
          :'one', 'an update reaches what is seen');
select is(pg_temp.value_for('regress_webhook_one', format(
              'with gone as (delete from webhook.endpoint where id = %s returning 1) select count(*) from gone', :two)),
          '0', 'and so does a delete');

select is(pg_temp.attempt(who, pg_temp.filled(statement, :one, :two, :'event_one', :'event_two')),
          'fine', format('%s can: %s', who, statement))
  from unnest('{regress_webhook_one,regress_webhook_member,regress_webhook_all}'::text[]) who,
       unnest(array[
           $$select webhook.emit('review.created', 'org_1', '{}', 'key')$$,
           $$select webhook.create_endpoint('org_1', 'https://hooks.example.com/3', headers => '{"X-A": "1"}')$$,
           $$insert into webhook.endpoint (organization_id, url) values ('org_1', 'https://hooks.example.com/')$$,
           $$insert into webhook.endpoint_header values ($1, 'X-A', '1')$$,
           $$select 1 / length(webhook.secret($1))$$,
           $$select webhook.rotate_secret($1)$$,
           $$update webhook.endpoint set status = 'paused' where id = $1$$,
           $$select webhook.set_organization('org_1', 'Uno')$$,
           $$delete from webhook.organization where id = 'org_1'$$]) statement;
select is(pg_temp.attempt('regress_webhook_publisher', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          'fine', 'a bound publisher emits');
select is(pg_temp.value_for('regress_webhook_publisher', 'select string_agg(id, $$,$$) from webhook.organization'),
          'org_1', 'and sees his organization');

--
-- webhook.organization takes away, and adds nothing
--

select set_config('webhook.organization', 'org_2', true) \g /dev/null
select is(pg_temp.organizations_of(who, name), case who when 'regress_webhook_all' then 'org_2' end,
          format('%s: %s narrowed to org_2', name, who))
  from relation,
       unnest('{regress_webhook_one,regress_webhook_all}'::text[]) who;
select is(pg_temp.attempt('regress_webhook_all', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          '42501 permission denied for organization "org_1"', 'narrowed: no event of others');
select is(pg_temp.attempt('regress_webhook_all', $$select webhook.emit('review.created', 'org_2', '{}')$$),
          'fine', 'narrowed: events of that one');
select is(pg_temp.attempt('regress_webhook_one', $$select webhook.emit('review.created', 'org_2', '{}')$$),
          '42501 permission denied for organization "org_2"', 'a bound role gains nothing');
select is(pg_temp.value_for('regress_webhook_all', format('select webhook.secret(%s)', :one)), null,
          'narrowed: no secret of others');
select is(pg_temp.attempt('regress_webhook_all',
              $$select webhook.create_endpoint('org_1', 'https://hooks.example.com/')$$),
          '42501 permission denied for organization "org_1"', 'narrowed: no endpoint for others');
select set_config('webhook.organization', '', true) \g /dev/null

--
-- Nobody borrows another's access
--

-- A function that a role made for others runs with its rights ...
create function pg_temp.borrowed() returns text language sql security definer
    set search_path to pg_catalog
    return webhook.emit('review.created', 'org_2', '{}');
alter function pg_temp.borrowed() owner to regress_webhook_one;
select is(pg_temp.attempt('regress_webhook_all', 'select pg_temp.borrowed()'),
          '42501 permission denied for organization "org_2"', 'a function of a bound role stays bound');

-- ... and our own ask who calls: with a role of no access he gains nothing.
create function public.lent(bigint) returns text language sql security definer
    set search_path to pg_catalog
    return webhook.secret($1);
alter function public.lent(bigint) owner to regress_webhook_one;
select is(pg_temp.value_for('regress_webhook_nobody', format('select public.lent(%s)', :two)), null,
          'a bound role cannot use somebody without access');
select is(pg_temp.value_for('regress_webhook_publisher', format('select public.lent(%s)', :one)), null,
          'and who has a lower level stays there');
select is(pg_temp.value_for('regress_webhook_one', format('select length(public.lent(%s))', :one)), '50',
          'it works for its owner');

select is_empty($$select problem from webhook.check() where subject = 'access'$$, 'all is well with bindings');

-- Where no role is bound, an application's function may serve everybody.
alter function public.lent(bigint) owner to regress_webhook_all;
savepoint nobody_bound;
delete from webhook.access;
select is(pg_temp.value_for('regress_webhook_nobody', format('select length(public.lent(%s))', :two)), '50',
          'with no bound role a function may lend its rights');
-- Bindings may be what a restored dump lacks: the rights are there still.
select is(pg_temp.value_for(who, format('select public.lent(%s)', :two)), null,
          format('%s whose binding was lost borrows nothing', who))
  from unnest('{regress_webhook_one,regress_webhook_publisher}'::text[]) who;
select is(pg_temp.value_for('regress_webhook_one', format('select webhook.secret(%s)', :two)), null,
          'nor gets anything of others');
select is(pg_temp.attempt('regress_webhook_one', $$select webhook.create_endpoint('org_2', 'https://hooks.example.com/')$$),
          '42501 permission denied for organization "org_2"', 'nor acts for them');
select results_eq($$select problem from webhook.check() where subject = 'access' order by 1$$,
    $$select format('role "%s" was given access, but to no organization', r)
        from unnest('{regress_webhook_one,regress_webhook_publisher,regress_webhook_two}'::text[]) r$$,
    'webhook.check tells whose binding was lost');
rollback to nobody_bound;

-- A watch of a bound role emits for its organization only, whoever changes rows.
grant usage, create on schema public to regress_webhook_one, regress_webhook_all;
create table public.watched (org text);
alter table public.watched owner to regress_webhook_one;
grant insert on public.watched to public;
create trigger emit after insert on public.watched for each row
    execute function webhook.emit_row('review.created', 'new.org');
select is(pg_temp.attempt(who, format('insert into public.watched values (%L)', org)),
          case org when 'org_1' then 'fine' else '42501 permission denied for organization "org_2"' end,
          format('%s inserts %s into a table of a bound role', who, org))
  from unnest('{regress_webhook_nobody,regress_webhook_all,regress_webhook_one}'::text[]) who,
       unnest('{org_1,org_2}'::text[]) org;
alter table public.watched owner to regress_webhook_all;
select is(pg_temp.attempt(who, format('insert into public.watched values (%L)', org)),
          case when who || org = 'regress_webhook_oneorg_2'
               then '42501 permission denied for organization "org_2"' else 'fine' end,
          format('%s inserts %s into a table of a role that is bound to none', who, org))
  from unnest('{regress_webhook_nobody,regress_webhook_all,regress_webhook_one}'::text[]) who,
       unnest('{org_1,org_2}'::text[]) org;

--
-- Changes are noticed at once
--

select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          '42501 permission denied for function emit', 'before it is granted');
grant execute on function webhook.emit(text, text, text, text) to regress_webhook_nobody;
select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          '42501 permission denied for organization "org_1"', 'a grant by hand gives no organization');
select webhook.grant_access('regress_webhook_nobody', 'publisher', 'org_1') \g /dev/null
select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          'fine', 'a new binding counts at once');
update webhook.access set organization_id = 'org_2' where role = 'regress_webhook_nobody'::regrole;
select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          '42501 permission denied for organization "org_1"', 'so does its change');
grant regress_webhook_one to regress_webhook_nobody;
select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          'fine', 'so does membership');
revoke regress_webhook_one from regress_webhook_nobody;
select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          '42501 permission denied for organization "org_1"', 'and its end');

-- revoke_access leaves nothing.
select webhook.revoke_access('regress_webhook_nobody') \g /dev/null
select is(pg_temp.attempt('regress_webhook_nobody', $$select webhook.emit('review.created', 'org_2', '{}')$$),
          '42501 permission denied for function emit', 'after it was taken back');
select is_empty($$select 1 from webhook.access where role = 'regress_webhook_nobody'::regrole$$,
                'no binding is left');
select is(pg_temp.attempt('regress_webhook_member', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          'fine', 'who inherits emits');
select webhook.revoke_access('regress_webhook_one') \g /dev/null
select is(pg_temp.attempt('regress_webhook_member', $$select webhook.emit('review.created', 'org_1', '{}')$$),
          '42501 permission denied for function emit', 'until that is taken back');

-- A role that reads every table acts for no other organization.
create role regress_webhook_reader in role pg_read_all_data, pg_write_all_data;
select webhook.grant_access('regress_webhook_reader', level, 'org_1')
  from unnest('{publisher,manager}'::text[]) level \g /dev/null
select is(pg_temp.organizations_of('regress_webhook_reader', name), 'org_1', name || ' as a reader of all tables')
  from relation where name not in ('access', 'event_type');
select is(pg_temp.attempt('regress_webhook_reader', $$select webhook.emit('review.created', 'org_2', '{}')$$),
          '42501 permission denied for organization "org_2"', 'nor does he emit for them');
select is(pg_temp.attempt('regress_webhook_reader', $$do 'begin
                              assert (select count(webhook.secret(id)) from generate_series(1, 100) id) = 1;
                              assert not exists (select from webhook.endpoint_secret);
                          end'$$), 'fine', 'nor see their secrets');

-- Superusers and members of role webhook are bound to nothing.
grant webhook to regress_webhook_nobody;
select is(pg_temp.organizations_of('regress_webhook_nobody', name), 'org_1,org_2',
          name || ' as a member of role webhook')
  from relation;

select * from finish();
rollback;
