-- watch: changes of a table become events.
create extension webhook;
select webhook.set_organization('org_abc123', 'Your Organization');
set timezone = 'UTC';

-- What was emitted since the last look, with the time hidden.
create function emitted() returns setof text
language plpgsql as $$
begin
    return query
    select regexp_replace(payload::text, '"timestamp":"[-0-9]{10}T[0-9:]{8}Z",', '')
      from webhook.event order by 1;
    delete from webhook.event;
end
$$;

--
-- The two examples of the product text
--

create table users (
    id text primary key, name text, email text, github_username text);
create table members (
    organization_id text, user_id text, role text, invited_by text);
create table reviews (
    id text primary key, organization_id text, status text, repository text,
    pr_number int, pr_title text, verdict text, score int, summary text,
    critical int, high int, medium int, low int);
insert into users values
    ('usr_abc123', 'John Admin', '[email protected]', 'johnadmin'),
    ('usr_xyz789', 'Jane Developer', '[email protected]', 'janedev');
insert into reviews values
    ('rev_abc123', 'org_abc123', 'started', 'org/repo', 42, 'Add new feature',
     'APPROVE', 85, 'Code looks good with minor suggestions...', 0, 1, 2, 5);

-- A review that becomes completed.
select webhook.watch('reviews', 'review.completed', 'new.organization_id',
    operation => 'update of status',
    condition => $$new.status = 'completed'$$,
    data => $$json_build_object(
        'review_id', new.id,
        'repository', new.repository,
        'pr_number', new.pr_number,
        'pr_title', new.pr_title,
        'verdict', new.verdict,
        'score', new.score,
        'summary', new.summary,
        'issues', json_build_object('critical', new.critical, 'high', new.high,
                                    'medium', new.medium, 'low', new.low),
        'url', 'https://heyjasper.ai/reviews/' || new.id)$$);

-- A member who joins, with names from another table.
select webhook.watch('members', 'team.member_added', 'new.organization_id',
    data => $$(
        select json_build_object(
            'user', json_build_object('id', u.id, 'name', u.name, 'email', u.email,
                                      'github_username', u.github_username),
            'role', new.role,
            'invited_by', json_build_object('id', i.id, 'name', i.name))
          from users u, users i
         where u.id = new.user_id and i.id = new.invited_by)$$);

update reviews set status = 'completed';
update reviews set status = 'completed';
update reviews set score = 86;
insert into members values ('org_abc123', 'usr_xyz789', 'member', 'usr_abc123');

-- Exactly what the text shows, white space aside.
select e.event_type, e.payload::jsonb - 'timestamp' = wanted as is_exact,
       array(select json_object_keys(e.payload)) as keys
  from webhook.event e
  join (values
    ('review.completed', '{
  "event": "review.completed",
  "organization": {
    "id": "org_abc123",
    "name": "Your Organization"
  },
  "data": {
    "review_id": "rev_abc123",
    "repository": "org/repo",
    "pr_number": 42,
    "pr_title": "Add new feature",
    "verdict": "APPROVE",
    "score": 85,
    "summary": "Code looks good with minor suggestions...",
    "issues": {
      "critical": 0,
      "high": 1,
      "medium": 2,
      "low": 5
    },
    "url": "https://heyjasper.ai/reviews/rev_abc123"
  }
}'::jsonb),
    ('team.member_added', '{
  "event": "team.member_added",
  "organization": {
    "id": "org_abc123",
    "name": "Your Organization"
  },
  "data": {
    "user": {
      "id": "usr_xyz789",
      "name": "Jane Developer",
      "email": "[email protected]",
      "github_username": "janedev"
    },
    "role": "member",
    "invited_by": {
      "id": "usr_abc123",
      "name": "John Admin"
    }
  }
}')) w(event, wanted) on w.event = e.event_type
 order by 1;
select * from emitted();

-- Ordinary triggers, and a list of them.
\d members
\x
select source, event, name, operation, organization, condition, level, trigger,
       is_enabled, is_valid, problem
  from webhook.watches order by source::text;
\x
alter table members disable trigger "webhook_team.member_added";
select source, is_enabled from webhook.watches order by source::text;
select webhook.unwatch('members', 'team.member_added'),
       webhook.unwatch('members', 'team.member_added');
drop table reviews;
select count(*) from webhook.watches;

--
-- The row as data, operations, conditions
--

create table item (id bigint, org text default 'org_abc123', n numeric, j jsonb, t timestamptz);
select webhook.watch('item', 'review.created', 'new.org');
insert into item values (9007199254740993, default, 1.10, '{"a": 1}', '2026-01-08 10:30:00+00');
select * from emitted();

-- Again replaces; a constant; insert or update: old is null for inserts.
select webhook.watch('item', 'review.created', $$'org_abc123'$$, 'insert or update',
    data => $$json_build_object('new', new.n, 'old', old.n)$$);
select operation, level, trigger from webhook.watches order by 1;
update item set n = 2;
insert into item values (2, default, 3);
select * from emitted();

-- The other trigger goes when it is no longer wanted.
select webhook.watch('item', 'review.created', 'new.org', 'update of n, "j"',
    data => 'row_to_json(old)');
select operation, condition, level, trigger from webhook.watches;
update item set n = n, t = '2026-01-09 00:00:00+00', j = j where id = 2;
update item set n = 4 where id = 2;
update item set j = '{"b": 2}' where id = 2;
select * from emitted();

-- A BEFORE trigger's change counts, though SET does not name the column.
create function bump() returns trigger language plpgsql as
$$ begin new.n := old.n + 1; return new; end $$;
create trigger bump before update on item for each row execute function bump();
update item set t = '2026-01-09 00:00:00+00' where id = 2;
select * from emitted();
drop trigger bump on item;

-- Several watches of one table and event have names.
select webhook.watch('item', 'review.created', 'old.org', 'delete', name => 'gone');
select webhook.watch('item', 'review.created', 'old.org', 'DELETE or Update OF n', 'old.n > 100', name => 'big');
select event, name, operation, condition, level, trigger from webhook.watches order by trigger;
delete from item;
select * from emitted();
select webhook.unwatch('item', 'review.created', 'gone'),
       webhook.unwatch('item', 'review.created', 'big'),
       webhook.unwatch('item', 'review.created');

-- A condition with a sub-select is evaluated by emit_row.
select webhook.watch('item', 'review.created', 'new.org',
    condition => $$exists (select from users u where u.name = new.j->>'name')$$, data => 'new');
select condition, level from webhook.watches;
insert into item (id, j) values (1, '{"name": "nobody"}'), (2, '{"name": "John Admin"}'), (3, null);
select * from emitted();

-- Any text that is a JSON object; composite values; the organization from a query.
select webhook.watch('item', 'review.created', $$(select 'org_abc' || 123)$$,
    data => $$'{"id":   ' || new.id || '}'$$);
select webhook.watch('item', 'review.failed', $$'org_abc123'$$,
    data => $$(select u from users u limit 1)$$);
insert into item (id) values (5);
select * from emitted();
select webhook.unwatch('item', 'review.created'), webhook.unwatch('item', 'review.failed');

--
-- COPY, ON CONFLICT, MERGE, functions, savepoints, constraints that wait
--

create table doc (id int primary key, org text default 'org_abc123', v int);
select webhook.watch('doc', 'repository.added', 'new.org', 'insert', data => $$json_build_object('added', new.id)$$);
select webhook.watch('doc', 'repository.settings_updated', 'new.org', 'update of v', data => $$json_build_object('changed', new.id)$$);
select webhook.watch('doc', 'repository.removed', 'old.org', 'delete', data => $$json_build_object('removed', old.id)$$);

copy doc (id, v) from stdin;
1	1
2	2
\.
select * from emitted();
insert into doc (id, v) values (1, 10), (3, 3), (2, 2)
    on conflict (id) do update set v = excluded.v;
select * from emitted();
merge into doc d using (values (1, 11), (2, null), (4, 4)) s(id, v) on d.id = s.id
 when matched and s.v is null then delete
 when matched then update set v = s.v
 when not matched then insert (id, v) values (s.id, s.v);
select * from emitted();
with moved as (delete from doc where id = 4 returning *)
insert into doc select 5, org, v from moved;
select * from emitted();

begin;
savepoint before;
insert into doc (id) values (6);
rollback to before;
insert into doc (id) values (7);
do $$
begin
    insert into doc (id) values (8);
    raise exception 'no';
exception when raise_exception then
    insert into doc (id) values (9);
end
$$;
commit;
select * from emitted();

-- A trigger written by hand, as a constraint that is deferred.
create constraint trigger late after insert on doc deferrable initially deferred
    for each row execute function webhook.emit_row('review.started', 'new.org');
select source, event, operation, organization, data, level, trigger, is_valid
  from webhook.watches where trigger = 'late';
begin;
insert into doc (id) values (10);
select * from emitted();
commit;
select * from emitted();
select webhook.unwatch('doc', 'review.started');
drop trigger late on doc;

-- Cascades are changes.
create table page (doc_id int references doc on delete cascade, org text);
select webhook.watch('page', 'review.failed', 'old.org', 'delete');
insert into page values (10, 'org_abc123'), (10, 'org_abc123');
delete from doc where id = 10;
select * from emitted();
drop table page;

-- What replication applies fires nothing.
set session_replication_role = replica;
insert into doc (id) values (11);
reset session_replication_role;
select * from emitted();

-- An expression may change the watched table itself.
create function echo(id int) returns json language plpgsql as $$
begin
    if id < 23 then
        insert into doc (id) values (id + 1);
    end if;
    return json_build_object('echo', id);
end
$$;
select webhook.watch('doc', 'repository.added', 'new.org', data => 'public.echo(new.id)');
insert into doc (id) values (21);
select * from emitted();
drop table doc;

--
-- search_path, DDL
--

create schema app;
set search_path = app, public;
create table app.task (id int, org text, title text);
create table app.label (task_id int, label text);
create function app.shout(text) returns text language plpgsql
as $$ begin return upper($1) || (select count(*) from label); end $$;
select webhook.watch('task', 'review.started', 'new.org',
    data => $$json_build_object('title', shout(new.title), 'labels', (select count(*) from label where task_id = new.id))$$);
insert into label values (1, 'a'), (1, 'b');
set search_path = '';
create temporary table label (task_id int, label text);
insert into app.task values (1, 'org_abc123', 'one');
set search_path = public;
insert into app.task values (1, 'org_abc123', 'two');
select * from emitted();
select current_schemas(false);

-- Plans follow changes of what they use.
alter table app.label alter task_id type bigint;
alter table app.task add extra int;
alter table app.task drop extra;
create or replace function app.shout(text) returns text language sql return $1 || '!';
insert into app.task values (1, 'org_abc123', 'three');
select * from emitted();

-- Written by hand: names are looked up beside the table.
create trigger by_hand after delete on app.task for each row
    execute function webhook.emit_row('review.failed', 'old.org', $$json_build_object('title', shout(old.title))$$);
delete from app.task where title = 'one';
select * from emitted();

-- A column that was renamed: known beforehand, refused at the change.
alter table app.task rename title to subject;
select trigger, is_valid, problem from webhook.watches where source = 'app.task'::regclass order by 1;
select * from webhook._broken_watches();
insert into app.task values (2, 'org_abc123', 'four');
alter table app.task rename subject to title;
insert into app.task values (2, 'org_abc123', 'five');
select * from emitted();
drop function app.shout;
insert into app.task values (2, 'org_abc123', 'six');
drop schema app cascade;
reset search_path;

--
-- Names of all kinds
--

-- A temporary table beside one of its name: each is watched as itself.
create table twin (org text, is_temporary boolean default false);
create temporary table twin (org text, is_temporary boolean default true);
select webhook.watch('twin', 'review.created', 'new.org');
select tgrelid = 'pg_temp.twin'::regclass as is_temporary from pg_trigger where tgname = 'webhook_review.created';
select webhook.watch('public.twin', 'review.started', 'new.org', data => 'new');
insert into pg_temp.twin values ('org_abc123');
insert into public.twin values ('org_abc123');
select * from emitted();
drop table pg_temp.twin, public.twin;

-- Watched without a search_path, and watched again.
create table lonely (org text);
set search_path = '';
select webhook.watch('public.lonely', 'review.created', 'new.org');
select webhook.watch('public.lonely', 'review.created', 'new.org', data => $$pg_catalog.json_build_object('lonely', true)$$);
create table public.tag as select 1 as id;
\set SHOW_CONTEXT never
select webhook.watch('public.lonely', 'review.started', 'new.org', condition => 'exists (select from tag)');
\set SHOW_CONTEXT errors
reset search_path;
insert into lonely values ('org_abc123');
select * from emitted();
select webhook.unwatch('lonely', 'review.created');
drop table lonely, tag;

-- What means something in a format string, or is not ASCII.
create table "100% %s" (org text, "%I" int, "Größe" int, "ÉTÉ" int);
select webhook.watch('"100% %s"', 'review.created', 'new.org', condition => 'new."%I" % 2 = 0');
select webhook.watch('"100% %s"', 'review.started', 'new.org', 'update of "%I", "Größe", "ÉTÉ"', data => 'new');
insert into "100% %s" values ('org_abc123', 1, 1, 1), ('org_abc123', 2, 2, 2);
update "100% %s" set "Größe" = 3 where "%I" = 2;
select * from emitted();
alter table "100% %s" rename "Größe" to größe;
alter table "100% %s" rename "ÉTÉ" to "ÉtÉ";
select webhook.watch('"100% %s"', 'review.started', 'new.org', 'update of GRößE, ÉTÉ', data => 'new');
select operation from webhook.watches where event = 'review.started';
update "100% %s" set größe = 4 where "%I" = 2;
update "100% %s" set "ÉtÉ" = 4 where "%I" = 2;
select * from emitted();
drop table "100% %s";

-- A sequence that was made again, and a schema that was renamed, for who has
-- prepared the watch.
create schema app;
create sequence app.number;
create table app.ticket (org text);
create function app.shout(text) returns text language sql return upper($1);
set search_path = app, public;
select webhook.watch('ticket', 'review.created', 'new.org', data => $$json_build_object('number', nextval('number'))$$);
set search_path = public;
create trigger by_hand after insert on app.ticket for each row
    execute function webhook.emit_row('review.failed', 'new.org', $$json_build_object('shout', shout('a'))$$);
insert into app.ticket values ('org_abc123');
drop sequence app.number;
create sequence app.number start 100;
insert into app.ticket values ('org_abc123');
select webhook.unwatch('app.ticket', 'review.created');
insert into app.ticket values ('org_abc123');
alter schema app rename to apps;
insert into apps.ticket values ('org_abc123');
select * from emitted();
drop schema apps cascade;

-- Types that changed or were made again, for who has prepared the watch: also
-- where a query names them, or only a column of the table has them.
create schema types;
create type types.pair as (x int, y int);
create type types.mood as enum ('fine', 'bad');
create table types.place (at types.pair);
create table typed (org text, a int, b int, p types.pair);
insert into types.place values (row(5, 6));
set search_path = public, types;
select webhook.watch('typed', 'review.created', 'new.org',
    data => $$json_build_object('p', row(new.a, new.b)::pair, 'mood', 'fine'::mood)$$);
select webhook.watch('typed', 'review.started', 'new.org', data => $$json_build_object('y', (new.p).y)$$);
select webhook.watch('typed', 'review.failed', 'new.org',
    data => $$(select json_build_object('y', (at).y, 'p', row(new.a, 8)::pair) from place)$$);
set search_path = public;
insert into typed values ('org_abc123', 1, 2, row(3, 4));
select * from emitted();
alter type types.pair drop attribute y, add attribute y int;
insert into typed values ('org_abc123', 1, 2, row(3, 4));
select * from emitted();
select webhook.unwatch('typed', 'review.started');
select webhook.unwatch('typed', 'review.failed');
alter table typed drop p;
drop table types.place;
insert into typed values ('org_abc123', 1, 2);
alter type types.pair alter attribute y type bigint;
insert into typed values ('org_abc123', 1, 2);
select * from emitted();
drop type types.pair, types.mood;
create type types.pair as (v int, w int);
create type types.mood as enum ('fine');
insert into typed values ('org_abc123', 1, 2);
select * from emitted();
drop table typed;
drop schema types cascade;

-- Equality of other schemas is not found in a restored dump: such columns are
-- compared as bytes, as are domains of enums, which have none, and text that differs
-- though it is equal; enums and the server's own types by value.
create schema types;
create extension citext schema types;
create domain types.address as types.citext;
create domain types.home as types.address;
create type types.color as enum ('red', 'blue');
create domain types.paint as types.color;
create domain types.coat as types.paint;
create collation types.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table typed (org text, c types.citext, a types.address, h types.home, e types.color,
                    p types.paint, q types.coat, t text collate types.caseless, n numeric);
set search_path = public, types;
select webhook.watch('typed', 'review.created', 'new.org', 'update of c, a, h, e, p, q, t, n', data => 'new');
set search_path = public;
select string_to_table(condition, ' OR ') as condition from webhook.watches;
insert into typed values ('org_abc123', 'a', 'a', 'a', 'red', 'red', 'red', 'a', 1.0);
update typed set n = 1.00, p = 'red', q = 'red';
update typed set c = 'A';
update typed set h = 'A';
update typed set t = 'A';
update typed set q = 'blue';
select * from emitted();
drop table typed;
drop schema types cascade;

-- Generated columns have their value, also where it is stored nowhere, as it may
-- be since release 18: in statements, rows, conditions and old rows.
select format('create table computed (gone int, org text, a int, twice int generated always as (a * 2) %1$s,
                   word text generated always as (''a'' || org) %1$s)',
              case when current_setting('server_version_num')::int < 180000 then 'stored' else 'virtual' end) as statement \gset
:statement;
alter table computed drop gone;
select webhook.watch('computed', 'review.created', 'new.org');
select webhook.watch('computed', 'review.completed', 'old.org', 'delete');
select webhook.watch('computed', 'review.started', 'new.org', 'update of twice', data => $$json_build_object('old', old.twice, 'new', new.twice)$$);
select webhook.watch('computed', 'review.failed', $$substr(new.word, 2)$$, condition => 'new.twice = (select 4)');
insert into computed values ('org_abc123', 1), ('org_abc123', 2), ('org_abc123', null);
update computed set a = a where a = 1;
update computed set a = 3 where a = 1;
delete from computed where a = 2;
select * from emitted();
drop table computed;

--
-- Partitions and inheritance
--

create table part (id int, org text default 'org_abc123', v text) partition by range (id);
create table part_1 (v text, id int, junk int, org text default 'org_abc123');
alter table part_1 drop junk;
alter table part attach partition part_1 for values from (0) to (10);
create table part_2 partition of part for values from (10) to (20);
select webhook.watch('part', 'review.created', 'new.org', 'insert');
select webhook.watch('part', 'review.started', 'new.org', 'update', data => $$json_build_object('from', old.id, 'to', new.id)$$);
select webhook.watch('part', 'review.failed', 'old.org', 'delete');
select event, level from webhook.watches order by 1;
insert into part values (1, default, 'root'), (11, default, 'root');
select * from emitted();
insert into part_1 (id, v) values (2, 'leaf');
select * from emitted();
update part set v = 'stays' where id = 2;
select * from emitted();
-- A row that moves to another partition is a delete and an insert.
update part set id = 12 where id = 2;
select * from emitted();
delete from part;
select * from emitted();
-- Partitions made later are watched as well.
create table part_3 partition of part for values from (20) to (30);
insert into part_3 values (20);
select * from emitted();
drop table part;

-- A leaf alone, reached through its parent.
create table tree (id int, org text default 'org_abc123') partition by range (id);
create table leaf partition of tree for values from (0) to (10);
select webhook.watch('leaf', 'review.created', 'new.org');
insert into tree values (1);
select * from emitted();
-- Watched as a plain table, and attached afterwards.
create table late (id int, org text default 'org_abc123');
select webhook.watch('late', 'review.created', 'new.org');
alter table tree attach partition late for values from (10) to (20);
select * from webhook._broken_watches();
drop table tree;

--
-- Many rows
--

create table bulk (id int, org text default 'org_abc123');
select webhook.watch('bulk', 'review.created', 'new.org');
select webhook.watch('bulk', 'review.failed', 'old.org', 'delete', 'old.id % 2 = 0');
insert into bulk select g from generate_series(1, 100000) g;
select count(*), count(distinct id), min((payload->'data'->>'id')::int), max((payload->'data'->>'id')::int)
  from webhook.event;
delete from webhook.event;
-- Through a file, when the rows are more than work_mem holds.
set work_mem = '64kB';
insert into bulk select g from generate_series(1, 20000) g;
reset work_mem;
select count(*), count(distinct (payload->'data'->>'id')) from webhook.event;
delete from webhook.event;
delete from bulk;
select event_type, count(*) from webhook.event group by 1;
delete from webhook.event;
insert into bulk select 1 where false;
select * from emitted();
drop table bulk;

--
-- Rights: those of the user who changes the row, and no more
--

create role watch_owner;
create role watch_writer;
create schema authorization watch_owner;
grant usage on schema watch_owner to public;
select webhook.grant_access('watch_owner', 'manager');
\set SHOW_CONTEXT never
set role watch_owner;
create table watch_owner.thing (id int, org text default 'org_abc123');
create table watch_owner.secret (id int, word text);
insert into watch_owner.secret values (1, 'hidden');
grant insert on watch_owner.thing to watch_writer;
select webhook.watch('watch_owner.thing', 'review.created', 'new.org');
set role watch_writer;
insert into watch_owner.thing values (1);
select count(*) from webhook.event;
set role watch_owner;
select webhook.watch('watch_owner.thing', 'review.created', 'new.org',
    data => '(select row_to_json(s) from watch_owner.secret s where s.id = new.id)');
insert into watch_owner.thing values (1);
set role watch_writer;
insert into watch_owner.thing values (1);
set role watch_owner;
insert into watch_owner.thing values (1);
-- Missing rights are found when the watch is made.
select webhook.watch('watch_owner.thing', 'review.created', 'new.org', data => '(select row_to_json(u) from users u limit 1)');
select webhook.watch('users', 'review.created', 'new.id');
reset role;
select source, event, is_valid from webhook.watches;
select * from emitted();
\set SHOW_CONTEXT errors

--
-- Errors
--

\set SHOW_CONTEXT never
\set VERBOSITY default
create table wrong (id int, org text, v text, active boolean);
create view wrong_view as select * from wrong;
select webhook.watch('wrong', 'review.created', 'org_1');
select webhook.watch('wrong', 'review.created', 'org');
select webhook.watch('wrong', 'review.created', 'new.orgg');
select webhook.watch('wrong', 'review.created', 'new.active');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'new.id');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'new.v ||');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'missing(new.v)');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'select 1');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'new.v, new.v');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'new.v from wrong');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'max(new.v)');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'json_each(new.v::json)');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'new.v; drop table wrong');
-- What the grammar takes though nothing is selected.
do $$
declare
    role    text;
    source  text;
    refused int := 0;
begin
    foreach role in array array['organization', 'condition', 'data'] loop
        foreach source in array array['', ' ', '--', '/**/', 'all', 'from wrong', 'where true', 'limit 1', 'for update',
                                      'window w as ()'] loop
            continue when role = 'data' and source = '';     -- the row
            begin
                perform webhook.watch('wrong', 'review.created',
                    case role when 'organization' then source else 'new.org' end,
                    condition => case role when 'condition' then source end,
                    data => case role when 'data' then source end);
                raise notice '% is taken: %', role, source;
            exception when syntax_error then
                refused := refused + (sqlerrm ~ '^(organization|data) expression .* is not a single|^condition .* is not a single')::int;
            end;
        end loop;
    end loop;
    raise notice '% of 29 are not a single expression', refused;
end
$$;
create trigger empty after insert on wrong for each row execute function webhook.emit_row('review.created', '');
insert into wrong values (1, 'org_abc123');
select trigger, is_valid, problem from webhook.watches where source = 'wrong'::regclass;
drop trigger empty on wrong;
-- A row that the operation does not have, and a name within an expression.
select webhook.watch('wrong', 'review.created', 'new.org', 'delete');
select webhook.watch('wrong', 'review.created', 'old.v::varchar');
select webhook.watch('wrong', 'review.created', 'old.org', 'delete', data => 'new');
-- Nothing at all, which may have been meant to be a column.
select webhook.watch('wrong', 'review.created', 'null');
select webhook.watch('wrong', 'review.created', 'null::uuid', 'insert or delete');
select webhook.watch('wrong', 'review.created', 'new.org', data => 'null::json');
-- Of several operations one may have none: told, and refused at the change.
select webhook.watch('wrong', 'review.created', 'new.id', 'insert or delete', condition => 'new.id > 0');
select webhook.watch('wrong', 'review.created', 'new.id', 'insert or delete');
select operation, is_valid, problem from webhook.watches where source = 'wrong'::regclass order by 1;
select webhook.watch('wrong', 'review.created', 'coalesce(new.org, old.org)', 'insert or delete');
select operation, is_valid, problem from webhook.watches where source = 'wrong'::regclass order by 1;
select webhook.unwatch('wrong', 'review.created');
select webhook.watch('wrong', 'review.created', 'new.org', condition => $$tg_op = 'INSERT'$$);
select webhook.watch('wrong', 'review.created', 'new.org', condition => 'new.id');
select webhook.watch('wrong', 'review.created', 'new.org', condition => 'true) execute function bump() --');
select webhook.watch('wrong', 'review.create', 'new.org');
select webhook.watch('wrong', 'webhook.test', 'new.org');
select webhook.watch('wrong', 'review.created', 'new.org', 'truncate');
select webhook.watch('wrong', 'review.created', 'new.org', 'insert or truncate');
select webhook.watch('wrong', 'review.created', 'new.org', 'insert, update');
select webhook.watch('wrong', 'review.created', 'new.org', 'insert or insert');
select webhook.watch('wrong', 'review.created', 'new.org', 'insert of id');
select webhook.watch('wrong', 'review.created', 'new.org', 'update of idd');
select webhook.watch('wrong', 'review.created', 'new.org', name => 'a b');
select webhook.watch('wrong', 'review.created', null);
select webhook.watch('wrong_view', 'review.created', 'new.org');
select webhook.watch(0::regclass, 'review.created', 'new.org');
select webhook.watch('webhook.endpoint', 'review.created', 'new.organization_id');
create trigger "webhook_review.created" before insert on wrong for each row execute function bump();
select webhook.watch('wrong', 'review.created', 'new.org');
drop trigger "webhook_review.created" on wrong;
select count(*) from webhook.watches where source = 'wrong'::regclass;
select webhook.emit_row();

-- At the change.
\set SHOW_CONTEXT errors
select webhook.watch('wrong', 'review.created', 'new.org', data => 'new.v');
insert into wrong values (1, 'org_abc123', null);
insert into wrong values (1, null, '{}');
insert into wrong values (1, 'org_2', '{}');
insert into wrong values (1, 'org_abc123', '[]');
insert into wrong values (1, 'org_abc123', '{"a": }');
select webhook.unwatch('wrong', 'review.created');

-- What an expression reads has another type by now, for who has prepared it.
create table customer (id int, org text, is_known boolean);
insert into customer values (1, 'org_abc123', true);
select webhook.set_organization('7', 'Seven');
select webhook.watch('wrong', 'review.created', '(select c.org from customer c where c.id = new.id)',
                     condition => '(select c.is_known from customer c where c.id = new.id)');
insert into wrong values (1);
alter table customer alter org type bigint using 7;
insert into wrong values (1);
select organization_id from webhook.event order by id desc limit 2;
alter table customer alter org type date using '2026-01-08'::date;
insert into wrong values (1);
insert into wrong values (1);
alter table customer alter org type text using 'org_abc123', alter is_known type text using 'no';
insert into wrong values (1);
alter table customer alter is_known type boolean using true;
insert into wrong values (1);
select organization_id from webhook.event order by id desc limit 1;
select webhook.unwatch('wrong', 'review.created');
drop table customer;

-- Names in strings, too, mean what they mean when you watch.
create schema elsewhere;
create table elsewhere.setting as select 2 as v;
create table setting as select 1 as v;
select webhook.watch('wrong', 'review.created', 'new.org', name => 'by_cast',
                     data => $$json_build_object('oid', new.v::regclass::oid)$$);
select webhook.watch('wrong', 'review.created', 'new.org', name => 'by_query',
                     data => $$json_build_object('xml', query_to_xml('select v from setting', false, true, ''))$$);
set search_path = elsewhere, public;
insert into wrong values (1, 'org_abc123', 'setting');
set search_path = public;
select data->>'xml' as xml, (data->>'oid')::oid::regclass as oid
    from (select payload::json->'data' as data from webhook.event order by id desc limit 2) t order by 1;
select webhook.unwatch('wrong', 'review.created', 'by_cast');
select webhook.unwatch('wrong', 'review.created', 'by_query');
drop table setting;
drop schema elsewhere cascade;

-- So do names that are made when it runs.
delete from webhook.event;
create table named (org text default 'org_abc123', o oid);
create table naming (org text default 'org_abc123', place regclass);
select webhook.watch('naming', 'review.created', 'new.org');
select webhook.watch('naming', 'review.completed', 'new.org', data => $$json_build_object('place', new.place)$$);
select webhook.watch('named', 'review.started', 'new.org', name => 'schema', data => $$json_build_object('keyword', current_schema)$$);
select webhook.watch('named', 'review.started', 'new.org', name => 'call', data => $$json_build_object('call', current_schema())$$);
select webhook.watch('named', 'review.started', 'new.org', name => 'cast', data => $$json_build_object('cast', new.o::regclass)$$);
select webhook.watch('named', 'review.started', 'new.org', name => 'oid', data => $$json_build_object('oid', pg_table_is_visible(new.o))$$);
create schema elsewhere;
set search_path = elsewhere;
insert into public.naming values (default, 'public.named');
insert into public.named values (default, 'public.named'::regclass);
set search_path = public;
select * from emitted();
drop table named, naming;
drop schema elsewhere;

-- Written by hand: known beforehand, and refused at the change.
create trigger a before insert on wrong for each row execute function webhook.emit_row('review.created', 'new.org');
create trigger b after insert on wrong for each statement execute function webhook.emit_row('review.created', 'new.org');
create trigger c after truncate on wrong execute function webhook.emit_row('review.created', 'new.org');
create trigger d after delete on wrong for each row execute function webhook.emit_row('review.created', 'new.org');
create trigger e after insert or delete on wrong for each row execute function webhook.emit_row('review.created', 'new.org');
create trigger f instead of insert on wrong_view for each row execute function webhook.emit_row('review.created', 'new.org');
create trigger g after update on wrong referencing new table as n for each statement
    execute function webhook.emit_row('review.created', 'new.org');
select trigger, is_valid, problem from webhook.watches where source in ('wrong'::regclass, 'wrong_view'::regclass) order by 1;
drop trigger a on wrong;
drop trigger b on wrong;
drop trigger c on wrong;
drop trigger d on wrong;
drop trigger e on wrong;
drop trigger f on wrong_view;
drop trigger g on wrong;
create trigger t before insert on wrong for each row execute function webhook.emit_row('review.created', 'new.org');
insert into wrong values (1, 'org_abc123');
drop trigger t on wrong;
create trigger t after insert on wrong for each statement execute function webhook.emit_row('review.created', 'new.org');
insert into wrong values (1, 'org_abc123');
drop trigger t on wrong;
create trigger t after insert on wrong for each row execute function webhook.emit_row('review.created');
insert into wrong values (1, 'org_abc123');
drop trigger t on wrong;
create trigger t after insert on wrong for each row execute function webhook.emit_row('review.created', 'new.org', '', 'data=x');
insert into wrong values (1, 'org_abc123');
drop trigger t on wrong;
create trigger t after truncate on wrong execute function webhook.emit_row('review.created', 'new.org');
truncate wrong;
select count(*) from wrong;
drop table wrong cascade;

-- A session keeps nothing of watches that are gone.
create temp table fleeting (org text);
select count(*) as kept from pg_backend_memory_contexts where name = 'webhook watch' \gset
do $$
begin
    for i in 1 .. 9 loop
        perform webhook.watch('fleeting', 'review.created', 'new.org', name => 'n' || i);
        insert into fleeting values ('org_abc123');
        perform webhook.unwatch('fleeting', 'review.created', 'n' || i);
    end loop;
end
$$;
select count(*) - :kept <= 1 as is_tidy from pg_backend_memory_contexts where name = 'webhook watch';
drop table users, members, item;
drop owned by watch_owner;
drop role watch_owner, watch_writer;
drop function emitted, bump, echo;
drop extension webhook;
