-- Watches: names, signatures, triggers and errors that users rely on.
begin;
select no_plan();

select is(pg_get_function_arguments('webhook.watch'::regproc),
          'source regclass, event text, organization text,'
          ' operation text DEFAULT ''insert''::text,'
          ' condition text DEFAULT NULL::text, data text DEFAULT NULL::text,'
          ' name text DEFAULT NULL::text',
          'arguments of watch');
select function_returns('webhook'::name, 'watch'::name, 'name'::text);
select is(pg_get_function_arguments('webhook.unwatch'::regproc),
          'source regclass, event text, name text DEFAULT NULL::text',
          'arguments of unwatch');
select function_returns('webhook'::name, 'unwatch'::name, 'boolean'::text);
select function_returns('webhook', 'emit_row', '{}'::name[], 'trigger');
select columns_are('webhook'::name, 'watches'::name,
    '{source,event,name,operation,organization,condition,data,level,trigger,is_enabled,is_valid,problem}'::name[]);
select isnt_definer('webhook'::name, name, name || ' runs with the rights of its caller')
  from unnest('{watch,_watch,_make_watch,_execute_under,_check_watch,unwatch,emit_row}'::name[]) as name;

select webhook.set_organization('org_1', 'One') \g /dev/null
create table public.watched (id int, org text default 'org_1', state text, doc json, at point);

-- Names of triggers.
select is(webhook.watch('watched', 'review.created', 'new.org'),
          'webhook_review.created', 'the name of the trigger is returned');
select has_trigger('public'::name, 'watched'::name, 'webhook_review.created'::name, 'it is there');
select is(webhook.watch('watched', 'review.created', 'new.org', 'insert or update or delete', name => 'x'),
          'webhook_review.created_x', 'a name is appended; the first trigger is returned');
select triggers_are('public'::name, 'watched'::name,
    '{webhook_review.created,webhook_review.created_x,webhook_review.created_x:update,webhook_review.created_x:delete}'::name[]);
select webhook.watch('watched', 'review.created', 'new.org', 'update', name => 'x') \g /dev/null
select triggers_are('public'::name, 'watched'::name, '{webhook_review.created,webhook_review.created_x}'::name[]);
select ok(webhook.unwatch('watched', 'review.created', 'x'), 'unwatch finds it by its name');
select ok(not webhook.unwatch('watched', 'review.created', 'x'), 'and only once');
select triggers_are('public'::name, 'watched'::name, '{webhook_review.created}'::name[]);

-- Long names differ where they are cut.
insert into webhook.event_type (name)
values ('very.' || repeat('long_', 20) || 'a'), ('very.' || repeat('long_', 20) || 'b');
select is(webhook.watch('watched', name, 'new.org', 'insert or update'),
          webhook.watch('watched', name, 'new.org', 'insert or update'), 'watching twice is one watch')
  from webhook.event_type where name ~ '^very';
select is(count(*), 4::bigint, 'two triggers each, of different names')
  from webhook.watches where event ~ '^very';
select ok(webhook.unwatch('watched', name), 'long names are found again')
  from webhook.event_type where name ~ '^very';

-- Columns of types without equality.
select webhook.watch('watched', 'review.failed', 'new.org', 'update of doc, at') \g /dev/null
insert into watched values (1, default, 'a', '{"a":1}', '(1,1)');
delete from webhook.event;
update watched set doc = '{"a":1}', at = '(1,1)';
select is_empty('select from webhook.event', 'json and point: nothing differs');
update watched set doc = '{"a":2}';
update watched set at = null;
select is(count(*), 2::bigint, 'json and point: a difference each') from webhook.event;

-- Types an organization may have.
create type org_kind as enum ('org_1');
create domain org_name as varchar(20);
create table typed (i int, b bigint, u uuid, e org_kind, d org_name, c char(20), n numeric, t timestamptz);
select lives_ok(format($$select webhook.watch('typed', 'review.created', 'new.%s')$$, c),
                'organization: column ' || c)
  from unnest('{i,b,u,e,d,c,n}'::text[]) c;
select throws_ok($$select webhook.watch('typed', 'review.created', 'new.t')$$, '42804');
select webhook.watch('typed', 'review.created', 'new.c') \g /dev/null
delete from webhook.event;
insert into typed (c) values ('org_1');
select is(organization_id, 'org_1', 'blanks of char(n) are no part of it') from webhook.event;

-- Errors by their code.
select throws_ok(format($$select webhook.watch('watched', 'review.created', %s)$$, arguments), code)
  from (values
    ($$'org_1'$$, '42703'),
    ($$'new.missing'$$, '42703'),
    ($$'new.org || '$$, '42601'),
    ($$'new.org, new.org'$$, '42601'),
    ($$'new.org', 'truncate'$$, '0A000'),
    ($$'new.org', 'upsert'$$, '22023'),
    ($$'new.org', 'update of missing'$$, '42703'),
    ($$'new.org', condition => 'new.id'$$, '42804'),
    ($$'new.org', data => 'new.id'$$, '42804'),
    ($$'new.org', data => 'missing()'$$, '42883'),
    ($$'new.org', data => '(select 1 from missing)'$$, '42P01'),
    ($$'new.org', name => 'not a name'$$, '22023'),
    ($$null$$, '22004')) c(arguments, code);
select throws_ok($$select webhook.watch('watched', 'review.nothing', 'new.org')$$, '22023');
select throws_ok($$select webhook.watch('nothing', 'review.created', 'new.org')$$, '42P01');
select throws_ok($$select webhook.watch('webhook.delivery', 'review.created', 'new.org')$$, '42809');
select throws_ok($$select webhook.watch('webhook.endpoint', 'review.created', 'new.org')$$, '42809');

-- Looking at a watch evaluates nothing of it, whoever looks.
create function public.trap() returns json immutable language plpgsql as
$$ begin raise exception 'evaluated'; end $$;
select webhook.unwatch('watched', 'review.created') \g /dev/null
create trigger trap after insert on watched for each row
    execute function webhook.emit_row('review.created', 'new.org', 'public.trap()');
select is(problem, null, 'webhook.watches does not evaluate expressions')
  from webhook.watches where trigger = 'trap';
select throws_ok('insert into watched values (2)', 'P0001', 'evaluated');

select * from finish();
rollback;
