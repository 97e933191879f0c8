-- Table changes become events: ordinary triggers that call emit_row.

create function webhook.emit_row() returns trigger
language c as 'MODULE_PATHNAME', 'webhook_emit_row';
comment on function webhook.emit_row() is
    'Trigger function that records an event for each changed row. Arguments: event, SQL expression for the organization id, SQL expression for the data (empty or left out: the row), then any of condition=, search_path=, of= and name=. Expressions refer to the row as new and old, and run with the rights of the user who changes it. Without search_path= names are looked up in the schema of the table';

create function webhook._check_watch(
    source regclass, trigger name, arguments text[], type smallint, has_table boolean, with_privileges boolean)
returns void language c strict as 'MODULE_PATHNAME', 'webhook_check_watch';
comment on function webhook._check_watch(regclass, name, text[], smallint, boolean, boolean) is
    'Internal: raise an error unless emit_row could run with these arguments on this table, by a trigger of this type (as in pg_trigger) that has a transition table or not; with_privileges: to whoever calls, with his rights, else to the owner of the table, running nothing of them';

create function webhook._trigger_arguments(tgargs bytea, tgnargs smallint) returns text[]
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'webhook_trigger_arguments';
comment on function webhook._trigger_arguments(bytea, smallint) is 'Internal: the arguments in a row of pg_trigger';

create function webhook._watch_option(arguments text[], option text) returns text
language sql immutable strict parallel safe set search_path to pg_catalog, pg_temp
begin atomic
    select substr(a, length(option) + 2) from unnest(arguments[4:]) a
     where starts_with(a, option || '=') limit 1;
end;
comment on function webhook._watch_option(text[], text) is 'Internal: the value of an option among the arguments of emit_row';

create function webhook._watch_triggers(source regclass, event text, name text) returns setof name
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select t.tgname
      from pg_trigger t, webhook._trigger_arguments(t.tgargs, t.tgnargs) a
     where t.tgrelid = source and t.tgfoid = 'webhook.emit_row()'::regprocedure and t.tgparentid = 0
       and a[1] = event and webhook._watch_option(a, 'search_path') is not null
       and webhook._watch_option(a, 'name') is not distinct from _watch_triggers.name;
end;
comment on function webhook._watch_triggers(regclass, text, text) is 'Internal: the triggers that watch() made for a watch';

create function webhook._is_plain_table(source regclass) returns boolean
language sql stable strict set search_path to pg_catalog, pg_temp
begin atomic
    select c.relkind = 'r' and not c.relispartition
           and not exists (select from pg_inherits i where i.inhrelid = c.oid or i.inhparent = c.oid)
      from pg_class c where c.oid = source;
end;
comment on function webhook._is_plain_table(regclass) is
    'Internal: whether each change of a row names this table, so that a trigger for the statement sees them all';

create function webhook._watch_problem(source regclass, trigger name, arguments text[], type smallint, has_table boolean)
returns text
language plpgsql strict set search_path to pg_catalog, pg_temp
as $$
begin
    if has_table and not webhook._is_plain_table(source) then
        return 'the trigger fires for statements, but the table has become part of an inheritance tree; watch again';
    end if;
    perform webhook._check_watch(source, trigger, arguments, type, has_table, false);
    return null;
exception
    when prohibited_sql_statement_attempted then
        return null;    -- to tell would be to run something of it
    when others then
        return sqlerrm;
end
$$;
comment on function webhook._watch_problem(regclass, name, text[], smallint, boolean) is
    'Internal: why a watch would fail or miss changes; NULL when nothing is wrong. Only parses and runs no function, so it is safe on anybody''s table';

create function webhook._parse_operation(operation text, out operations text[], out columns text[])
returns record
language plpgsql immutable set search_path to pg_catalog, pg_temp
as $$
declare
    identifier constant text := '(?:"(?:[^"]|"")+"|(?:[a-z_]|[^[:ascii:]])(?:[a-z0-9_$]|[^[:ascii:]])*)';
    -- Blanks stand for any white space.
    pattern    constant text := replace(
        format('^ *(insert|update|delete|truncate)(?: +of +(%1$s(?: *, *%1$s)*))? *(?:$| (or) +(.+)$)', identifier),
        ' ', '[[:space:]]');
    rest  text collate "C" := operation;
    match text[] collate "C";
begin
    loop
        match := regexp_match(rest, pattern, 'i');
        exit when match is null or (match[2] is not null and lower(match[1]) <> 'update');
        operations := operations || lower(match[1]);
        if match[2] is not null then
            columns := array(select (parse_ident(m[1]))[1] from regexp_matches(match[2], identifier, 'gi') m);
        end if;
        rest := match[4];
        exit when rest is null;
    end loop;
    if rest is not null or operations is null
       or cardinality(operations) <> (select count(distinct o) from unnest(operations) o) then
        raise exception 'invalid operation "%"', operation
            using errcode = 'invalid_parameter_value',
                  hint = 'Write it as in CREATE TRIGGER: insert, delete, update, update of status, insert or update.';
    end if;
    if 'truncate' = any (operations) then
        raise exception 'cannot watch TRUNCATE'
            using errcode = 'feature_not_supported',
                  detail = 'TRUNCATE does not visit the rows it removes.',
                  hint = 'Use DELETE where rows must become events.';
    end if;
end
$$;
comment on function webhook._parse_operation(text, out text[], out text[]) is
    'Internal: the operations of a watch and the columns of its update; 22023 when malformed, 0A000 for truncate';

create function webhook._check_source(source regclass, columns text[]) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp
as $$
declare
    class   pg_class;
    missing text;
begin
    select * into class from pg_class where oid = source;
    if class.oid is null then
        raise exception 'table to watch does not exist' using errcode = 'undefined_table';
    end if;
    if class.relkind not in ('r', 'p', 'f') then
        raise exception 'cannot watch "%"', source
            using errcode = 'wrong_object_type', detail = 'It is not a table.',
                  hint = 'Watch the tables whose rows change.';
    end if;
    if class.relnamespace = 'webhook'::regnamespace then
        raise exception 'cannot watch "%"', source
            using errcode = 'wrong_object_type', detail = 'It belongs to extension "webhook".',
                  hint = 'Subscribe to operational events such as webhook.delivery_failed.';
    end if;
    if not pg_has_role(class.relowner, 'usage') then
        raise exception 'must be owner of table %', source using errcode = 'insufficient_privilege';
    end if;
    select c into missing from unnest(columns) c
     where not exists (select from pg_attribute a
                        where a.attrelid = source and a.attname = c and a.attnum > 0 and not a.attisdropped);
    if found then
        raise exception 'column "%" of table "%" does not exist', missing, source
            using errcode = 'undefined_column', detail = 'It is used in the operation of the watch.';
    end if;
end
$$;
comment on function webhook._check_source(regclass, text[]) is
    'Internal: raise an error unless the caller can watch a table and it has these columns';

create function webhook._watch_name(event text, name text) returns text
language plpgsql immutable set search_path to pg_catalog, pg_temp
as $$
declare
    full_name constant text := concat_ws('_', 'webhook', event, name);
begin
    if name !~ '^[A-Za-z0-9_-]+$' then
        raise exception 'invalid name "%" for a watch', name
            using errcode = 'invalid_parameter_value', hint = 'Use letters, digits, - and _.';
    end if;
    -- Room for ":update"; what is cut is told apart by a digest.
    if octet_length(full_name) <= 63 - 7 then
        return full_name;
    end if;
    return left(full_name, 63 - 7 - 9) || '~' || left(md5(full_name), 8);
end
$$;
comment on function webhook._watch_name(text, text) is 'Internal: name of the first trigger of a watch';

create function webhook._execute_under(command text, search_path text) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    perform set_config('search_path', search_path, true);   -- until this function returns
    execute command;
end
$$;
comment on function webhook._execute_under(text, text) is 'Internal: run a command with the rights and under the search_path of the user';

create function webhook._make_watch(
    source regclass, trigger text, operation text, arguments text[], condition text, columns text[], type smallint)
returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    path    constant text := webhook._watch_option(arguments, 'search_path');
    options constant text[] := arguments || ('condition=' || condition);
    changed text;
    -- Qualified, since a temporary table may have the same name.
    head    constant text := (select format('create or replace trigger %I after %s on %I.%I', trigger, operation,
                                            n.nspname, c.relname)
                                from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = source);
begin
    perform webhook._check_watch(source, trigger, array_remove(options, null), type, false, true);
    if operation = 'update' then
        -- As bytes are compared types without equality, those with one that a
        -- restored dump does not find, as citext, or that domains lose, as enums,
        -- and text of which different ones may be equal.
        select string_agg(format(case when (t.typcategory in ('B', 'D', 'I', 'N', 'S', 'T')
                                            and t.typnamespace = 'pg_catalog'::regnamespace
                                         or t.typtype = 'e' and t.oid = a.atttypid
                                         or t.oid in ('uuid'::regtype, 'jsonb'::regtype, 'bytea'::regtype))
                                       and not exists (select from pg_collation c
                                                        where c.oid = a.attcollation and not c.collisdeterministic)
                                      then 'old.%1$I is distinct from new.%1$I'
                                      else 'pg_catalog.record_image_ne(row(old.%1$I), row(new.%1$I))' end, a.attname),
                          ' or ' order by a.attnum)
          into changed
          from pg_attribute a
         cross join lateral (
                with recursive d(oid, base) as (
                    select y.oid, y.typbasetype from pg_type y where y.oid = a.atttypid
                    union all
                    select y.oid, y.typbasetype from d join pg_type y on y.oid = d.base)
                select d.oid from d where d.base = 0) b
          join pg_type t on t.oid = b.oid
         where a.attrelid = source and a.attname = any (columns);
    end if;
    if condition is not null then
        begin
            perform webhook._execute_under(format(
                E'%s for each row when (%s(\n%s\n)) execute function webhook.emit_row(%s)',
                head, '(' || changed || ') and ', condition,
                (select string_agg(quote_literal(a), ', ') from unnest(arguments) a)), path);
            return;
        exception when feature_not_supported or invalid_object_definition then
            null;   -- a sub-select, or a row that this operation does not have
        end;
    end if;
    perform webhook._execute_under(format('%s %s execute function webhook.emit_row(%s)', head,
        case when changed is not null then format('for each row when (%s)', changed)
             when operation = 'update' or not webhook._is_plain_table(source) then 'for each row'
             when operation = 'insert' then 'referencing new table as new_rows for each statement'
             else 'referencing old table as old_rows for each statement' end,
        (select string_agg(quote_literal(a), ', ') from unnest(options) a where a is not null)), path);
end
$$;
comment on function webhook._make_watch(regclass, text, text, text[], text, text[], smallint) is
    'Internal: make or replace one trigger of a watch, of whose operations type tells as in pg_trigger: for statements where that sees all rows, else for rows, with the condition as its WHEN where the server allows it';

create function webhook._watch(
    source regclass, event text, organization text, operation text, condition text, data text, name text,
    search_path text)
returns name
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    base   constant text := webhook._watch_name(event, name);
    ours   constant name[] := array(select webhook._watch_triggers(source, event, name));
    parsed record;
    type   smallint;
    kind   text;
    fresh  name;
    arguments  text[];
    of_columns text;
    made   name[] := '{}';
    problem text;
begin
    if source is null or event is null or organization is null or operation is null then
        raise exception 'table, event, organization and operation of a watch must not be null'
            using errcode = 'null_value_not_allowed';
    end if;
    parsed := webhook._parse_operation(operation);
    perform webhook._check_source(source, parsed.columns);
    if 'update' = any (parsed.operations) and (select c.relkind = 'p' from pg_class c where c.oid = source) then
        raise notice 'an UPDATE that moves a row to another partition of "%" is no update here', source
            using detail = 'PostgreSQL fires the triggers of a DELETE and of an INSERT for it.',
                  hint = 'Where rows move, watch insert or delete as well.';
    end if;
    select 1 + sum(case o when 'insert' then 4 when 'delete' then 8 else 16 end) into type
      from unnest(parsed.operations) o;
    of_columns := 'of=' || (select string_agg(quote_ident(c), ', ') from unnest(parsed.columns) c);
    foreach kind in array parsed.operations loop
        fresh := base || case when made = '{}' then '' else ':' || kind end;
        if fresh <> all (ours)
           and exists (select from pg_trigger t where t.tgrelid = source and t.tgname = fresh) then
            raise exception 'trigger "%" for table "%" already exists and is another watch', fresh, source
                using errcode = 'duplicate_object', hint = 'Give this watch another name.';
        end if;
        arguments := array[event, organization, coalesce(data, ''), 'search_path=' || search_path,
            case when kind = 'update' then of_columns end, 'name=' || name];
        perform webhook._make_watch(source, fresh, kind, array_remove(arguments, null), condition, parsed.columns, type);
        made := made || fresh;
        problem := webhook._watch_problem(source, fresh, array_remove(arguments, null),
            case kind when 'insert' then 5 when 'delete' then 9 else 17 end::smallint, false);
        if problem is not null and condition is null then   -- which may leave out this operation
            raise warning '%', problem
                using detail = format('Every %s would fail.', upper(kind)),
                      hint = 'Use rows that each operation has, as in coalesce(new.id, old.id).';
        end if;
    end loop;
    foreach fresh in array ours loop
        if fresh <> all (made) then
            execute format('drop trigger %I on %s', fresh, source);
        end if;
    end loop;
    return made[1];
end
$$;
comment on function webhook._watch(regclass, text, text, text, text, text, text, text) is
    'Internal: watch(), with the search_path that its caller has';

create function webhook.watch(
    source regclass, event text, organization text, operation text default 'insert',
    condition text default null, data text default null, name text default null)
returns name
language sql volatile
begin atomic
    select webhook._watch(source, event, organization, operation, condition, data, name,
        (select coalesce(string_agg(quote_ident(s) || ', ', ''), '') from unnest(current_schemas(false)) s
          where s !~ '^pg_temp') || 'pg_temp');
end;
comment on function webhook.watch(regclass, text, text, text, text, text, text) is
    'Make changes of a table emit events, by ordinary triggers; returns the name of the first. organization and data are SQL expressions over the rows new and old, condition a boolean one; names in them mean what they mean now. Same table, event and name again: replaces. Errors: unknown event 22023, unknown column 42703, wrong type 42804, not the owner 42501, truncate 0A000';

create function webhook.unwatch(source regclass, event text, name text default null) returns boolean
language plpgsql set search_path to pg_catalog, pg_temp
as $$
declare
    trigger name;
    dropped boolean := false;
begin
    for trigger in select webhook._watch_triggers(source, event, unwatch.name) loop
        execute format('drop trigger %I on %s', trigger, source);
        dropped := true;
    end loop;
    return dropped;
end
$$;
comment on function webhook.unwatch(regclass, text, text) is
    'Remove a watch by its table, event and name; false when there was none. Triggers written by hand are left alone. Error: not the owner 42501';

create view webhook.watches as
select t.tgrelid::regclass as source, a[1] as event, webhook._watch_option(a, 'name') as name,
       concat_ws(' or ',
           case when t.tgtype & 4 <> 0 then 'insert' end,
           case when t.tgtype & 16 <> 0 then
               'update' || coalesce(' of ' || coalesce(webhook._watch_option(a, 'of'),
                   (select string_agg(quote_ident(c.attname), ', ' order by c.attnum) from pg_attribute c
                     where c.attrelid = t.tgrelid and c.attnum = any (t.tgattr::int2[]))), '') end,
           case when t.tgtype & 8 <> 0 then 'delete' end,
           case when t.tgtype & 32 <> 0 then 'truncate' end) as operation,
       a[2] as organization,
       coalesce(webhook._watch_option(a, 'condition'),
           case when t.tgqual is not null then
               (regexp_match(pg_get_triggerdef(t.oid), 'WHEN [(](.*)[)] EXECUTE FUNCTION'))[1] end) as condition,
       nullif(a[3], '') as data,
       case when t.tgtype & 1 <> 0 then 'row' else 'statement' end as level,
       t.tgname as trigger,
       t.tgenabled in ('O', 'A') as is_enabled,
       p.problem is null as is_valid,
       p.problem
  from pg_trigger t
 cross join lateral webhook._trigger_arguments(t.tgargs, t.tgnargs) a
 cross join lateral webhook._watch_problem(
           t.tgrelid::regclass, t.tgname, a, t.tgtype, coalesce(t.tgnewtable, t.tgoldtable) is not null) p(problem)
 where t.tgfoid = 'webhook.emit_row()'::regprocedure and t.tgparentid = 0;
comment on view webhook.watches is 'One row per trigger that calls emit_row, made by watch() or by hand; a watch of several operations has several';
comment on column webhook.watches.source is 'Table that is watched';
comment on column webhook.watches.event is 'Event that a change emits';
comment on column webhook.watches.name is 'Name that tells watches of the same table and event apart; NULL when none was given';
comment on column webhook.watches.operation is 'As in CREATE TRIGGER; update of a column: its value differs';
comment on column webhook.watches.organization is 'Expression for the organization id';
comment on column webhook.watches.condition is 'Changes that do not satisfy it emit nothing; NULL: all emit';
comment on column webhook.watches.data is 'Expression for the data; NULL: the row as JSON';
comment on column webhook.watches.level is 'row or statement: how its trigger fires';
comment on column webhook.watches.trigger is E'Name of its trigger, as \\d shows it';
comment on column webhook.watches.is_enabled is 'False when its trigger does not fire: alter table ... enable trigger';
comment on column webhook.watches.is_valid is 'False when the next change would fail or be missed';
comment on column webhook.watches.problem is 'Why it is not valid';

create function webhook._broken_watches(out source regclass, out trigger name, out problem text) returns setof record
language sql stable set search_path to pg_catalog, pg_temp
begin atomic
    select w.source, w.trigger, w.problem from webhook.watches w where not w.is_valid order by 1, 2;
end;
comment on function webhook._broken_watches() is 'Internal: watches whose next change would fail or be missed, for check()';
