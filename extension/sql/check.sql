-- What is wrong with an installation, one row each with what to do.

create function webhook._security_problems(out subject text, out problem text) returns setof record
language c volatile strict as 'MODULE_PATHNAME', 'webhook_security_problems';
comment on function webhook._security_problems() is 'Internal: whether certificate authorities can be read, a TLS handshake works, and settings that only superusers see are safe';

create function webhook._open_files() returns bigint
language c volatile strict as 'MODULE_PATHNAME', 'webhook_open_files';
comment on function webhook._open_files() is 'Internal: how many files a process of the server may have open; NULL: any number';

create function webhook._wanted_workers() returns int
language c volatile strict as 'MODULE_PATHNAME', 'webhook_wanted_workers';
comment on function webhook._wanted_workers() is 'Internal: background workers that all databases together want, the launcher too; NULL when not preloaded';

create function webhook._clock_jump(out noticed_at timestamptz, out by interval) returns setof record
language c volatile strict as 'MODULE_PATHNAME', 'webhook_clock_jump';
comment on function webhook._clock_jump() is 'Internal: when it was noticed last that the clock had been set, and by how much; no row when it never was';

create function webhook._check_role(out problem text, out hint text) returns setof record
language sql volatile
begin atomic
    select 'it can log in or is a superuser', 'Run: alter role webhook nologin nosuperuser'
      from pg_roles r
     where r.rolname = 'webhook' and (r.rolcanlogin or r.rolsuper)
    union all
    select 'it may make roles or databases, replicate, or bypass row-level security',
           'Run: alter role webhook nocreaterole nocreatedb noreplication nobypassrls'
      from pg_roles r
     where r.rolname = 'webhook' and (r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
    union all
    select format('role "%s" is a member and owns everything here', m.rolname),
           format('Unless that is meant, run: revoke webhook from %I', m.rolname)
      from pg_auth_members a
      join pg_roles r on r.oid = a.roleid and r.rolname = 'webhook'
      join pg_roles m on m.oid = a.member
    union all
    select format('it is a member of role "%s"', o.rolname), format('It needs no rights of others.  Run: revoke %I from webhook', o.rolname)
      from pg_auth_members a
      join pg_roles r on r.oid = a.member and r.rolname = 'webhook'
      join pg_roles o on o.oid = a.roleid
    union all
    select format('role "%s" owns the tables of the extension', o.rolname),
           format('Workers start in databases where role webhook owns something.  If that role owns nothing else here, run: reassign owned by %I to webhook', o.rolname)
      from pg_class c
      join pg_roles o on o.oid = c.relowner and o.rolname <> 'webhook'
     where c.oid = 'webhook.event'::regclass;
end;
comment on function webhook._check_role() is 'Internal: the part of check() about the role that owns everything; also asked by CREATE EXTENSION';

create function webhook._check_server(out subject text, out problem text, out hint text) returns setof record
language sql volatile
begin atomic
    select 'worker ' || coalesce(s.shard, ''), s.reason, 'See: select * from webhook.status'
      from webhook._status() s
     where s.reason is not null and s.state <> 'running'
    union all
    select 'max_worker_processes', format('it is %s, and workers want %s, beside those of the server itself',
                                          current_setting('max_worker_processes'), webhook._wanted_workers()),
           'Raise it, and restart the server.'
     where webhook._wanted_workers() + 1 > current_setting('max_worker_processes')::int
    union all
    select 'role webhook', r.problem, r.hint from webhook._check_role() r
    union all
    select 'version', format('library %s, SQL objects %s', v.library, v.extension),
           'Run alter extension webhook update, or restart the server.'
      from webhook.version() v
     where v.library <> v.extension
    union all
    select 'copy', format('rows of another database (origin %s, instance "%s")', i.origin, i.instance),
           'If this copy shall deliver, run: select webhook.adopt()'
      from webhook.identity i
     where i.origin <> webhook._origin() or i.instance <> current_setting('webhook.instance')
    union all
    select 'clock', format('it was set by %s, noticed at %s', j.by, date_trunc('second', j.noticed_at)),
           'Retries and signatures go by the clock: let it be kept by a time service that slews it.'
      from webhook._clock_jump() j
     where j.noticed_at > clock_timestamp() - interval '1 day'
    union all
    (select 'clock', format('the newest event is ahead of it by %s', date_trunc('second', n.at - clock_timestamp())),
            'Set the clock right: until then new events look older than that one.'
       from (select webhook._uuid_time(e.id) from webhook.event e order by e.id desc limit 1) n(at)
      where n.at > clock_timestamp() + interval '1 minute');
end;
comment on function webhook._check_server() is 'Internal: the part of check() about workers, role, copy and clock';

create function webhook._check_settings(out subject text, out problem text, out hint text) returns setof record
language sql volatile
begin atomic
    select p.subject, p.problem,
           case p.subject
               when 'TLS' then 'Look at the configuration and the version of OpenSSL: select * from webhook.version()'
               when 'webhook.ca_file' then 'Name a file of certificates in PEM that the server can read.'
               when 'webhook.allow_http' then 'It is meant for development: alter system reset webhook.allow_http'
               else 'Name the networks that are meant.' end
      from webhook._security_problems() p
    union all
    select 'webhook.max_in_flight', format('it is %s, but a process may have %s files open and keeps to %s',
                                           current_setting('webhook.max_in_flight'), webhook._open_files(),
                                           greatest(webhook._open_files() - 200, 1)),
           'Raise the limit of open files (LimitNOFILE=, ulimit -n), or lower the setting.'
     where webhook._open_files() < current_setting('webhook.max_in_flight')::int + 200
    union all
    select 'webhook.retry_schedule', format('it is %s: delays without a unit are milliseconds',
                                            current_setting('webhook.retry_schedule')),
           'Write the units: ''1s, 10s, 60s''.'
     where current_setting('webhook.retry_schedule') ~ '(^|,)[[:space:]]*[0-9]*[1-9][0-9]*[[:space:]]*(,|$)'
    union all
    select 'webhook.retry_schedule', format('retries take %s, longer than webhook.retention', justify_interval(sum(d))),
           'Deliveries would expire before: raise webhook.retention, or shorten the schedule.'
      from unnest(webhook._retry_schedule()) d
    having sum(d) >= webhook._retention()
    union all
    select format('endpoint %s', t.id), format('its retries take %s, longer than webhook.retention', justify_interval(sum(d))),
           'Deliveries would expire before: raise webhook.retention, or shorten the schedule.'
      from webhook.endpoint t
     cross join unnest(t.retry_schedule) d
     group by t.id
    having sum(d) >= webhook._retention()
    union all
    select s.name, 'it is off: tables that change all the time are not vacuumed', format('Run: alter system reset %s', s.name)
      from (values ('autovacuum'), ('track_counts')) s(name)
     where not current_setting(s.name)::boolean;
end;
comment on function webhook._check_settings() is 'Internal: the part of check() about settings, certificates and limits';

create function webhook._check_objects(out subject text, out problem text, out hint text) returns setof record
language sql volatile
begin atomic
    select 'partitions', 'none covers the current time although events were emitted before',
           'Look for errors of the worker: select last_error from webhook.status'
     where exists (select from webhook._partitions('webhook.event'))
       and not exists (select from webhook._partitions('webhook.event') p
                        where clock_timestamp() >= p.from_at and clock_timestamp() < p.to_at)
    union all
    select 'partitions', format('%s covers a time for which there is no %s', p.name, p.other),
           'Attempts of its events cannot be logged: was a partition dropped or detached by hand?'
      from (select e.name, 'partition of attempt' as other, e.from_at, e.to_at, 'webhook.attempt'::regclass as missing
              from webhook._partitions('webhook.event') e
            union all
            select a.name, 'partition of event', a.from_at, a.to_at, 'webhook.event'
              from webhook._partitions('webhook.attempt') a) p
     where not exists (select from webhook._partitions(p.missing) o where o.from_at = p.from_at and o.to_at = p.to_at)
    union all
    select 'partitions', format('%s has no valid index on (origin, xid, id)', p.name),
           format('The worker reads by it. Run: create index on webhook.%I (origin, xid, id)', p.name)
      from webhook._partitions('webhook.event') p
     where not exists (select from pg_index i
                        where i.indrelid = to_regclass(format('webhook.%I', p.name))
                          and i.indisvalid and i.indpred is null
                          and i.indkey::text = '2 3 1' and i.indoption::text = '0 0 0')
    union all
    select 'partitions', format('%s belongs to role "%s"', c.relname, o.rolname),
           format('Workers cannot drop it.  Run: alter table webhook.%I owner to webhook', c.relname)
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      join pg_roles o on o.oid = c.relowner
     where i.inhparent in ('webhook.event'::regclass, 'webhook.attempt'::regclass)
       and o.rolname <> 'webhook'       -- as pg_restore --no-owner leaves them
    union all
    select 'partitions', format('events of %s to %s should have been dropped: %s', date_trunc('second', s.from_at),
                                date_trunc('second', s.to_at), s.held_by),
           'See: select * from webhook.storage'
      from webhook.storage s
     where s.drop_at < clock_timestamp() - interval '1 hour'
    union all
    select format('table %s', c.oid::regclass), 'autovacuum is off for it',
           format('Run: alter table %s reset (autovacuum_enabled)', c.oid::regclass)
      from pg_class c
     where c.relnamespace = 'webhook'::regnamespace and c.relkind in ('r', 'p')
       and exists (select from pg_options_to_table(c.reloptions) o
                    where o.option_name = 'autovacuum_enabled' and not o.option_value::boolean)
    union all
    select format('trigger %s on %s', g.tgname, g.tgrelid::regclass), 'it is disabled, and rows are not checked or announced',
           format('Run: alter table %s enable trigger %I', g.tgrelid::regclass, g.tgname)
      from pg_trigger g
      join pg_class c on c.oid = g.tgrelid and c.relnamespace = 'webhook'::regnamespace
     where not g.tgisinternal and g.tgenabled not in ('O', 'A')
    union all
    select format('trigger %s on %s', g.tgname, g.tgrelid::regclass), 'it is deferred, and workers cannot fire it',
           'Make it initially immediate, or drop it.'
      from pg_trigger g
      join pg_class c on c.oid = g.tgrelid and c.relnamespace = 'webhook'::regnamespace
     where g.tginitdeferred and c.relname <> 'cancel_request'    -- where no worker writes
    union all
    select format('watch %s on %s', w.trigger, w.source), 'its trigger is disabled, and changes emit nothing',
           format('Run: alter table %s enable trigger %I', w.source, w.trigger)
      from webhook.watches w
     where not w.is_enabled
    union all
    select format('watch %s on %s', b.trigger, b.source), b.problem, 'Watch again, or put right what it names.'
      from webhook._broken_watches() b;
end;
comment on function webhook._check_objects() is 'Internal: the part of check() about partitions, triggers and watches';

create function webhook._count_lost(before timestamptz) returns bigint
language sql stable
begin atomic
    -- Rows do not say when their attempt began, but the last event of that time was emitted after it.
    select count(*)
      from (select e.xid, e.origin from webhook.event e
             where e.id < webhook._uuid_at(before)
             order by e.id desc
             limit 1) e
      join webhook.queue q on q.origin = e.origin
      join webhook._workers() w on w.index = (q.endpoint_id & 63) % w.total
     where q.next_attempt_at is null and age(q.xmin) > age(e.xid::xid)
       and e.origin = webhook._origin() and e.xid <> '3'      -- adopted: says nothing
       and w.state = 'running';
end;
comment on function webhook._count_lost(timestamptz) is
    'Internal: deliveries that are on the wire since before that time, as far as an event shows, although their worker runs';

create function webhook._check_rows(out subject text, out problem text, out hint text) returns setof record
language sql volatile
begin atomic
    select format('endpoint %s', t.id), format('its organization "%s" does not exist', t.organization_id),
           'Record the organization, or delete the endpoint.'
      from webhook.endpoint t
     where not exists (select from webhook.organization o where o.id = t.organization_id)
    union all
    select format('endpoint %s', t.id), 'it has no secret', format('Run: select webhook.rotate_secret(%s)', t.id)
      from webhook.endpoint t
     where not exists (select from webhook.endpoint_secret s where s.endpoint_id = t.id and s.expires_at is null)
    union all
    select format('endpoint %s', t.id), format('it subscribes to "%s", which does not exist', e.name),
           'Insert the event type, or change the subscription.'
      from webhook.endpoint t
     cross join unnest(t.events) as e(name)
     where e.name <> '*' and e.name <> all (webhook._operational_events())
       and not exists (select from webhook.event_type y
                        where y.name = e.name or y.category || '.*' = e.name)
    union all
    select 'secrets', format('%s of endpoints that do not exist', count(*)),
           'Run as a superuser: delete from webhook.endpoint_secret where endpoint_id not in (select id from webhook.endpoint)'
      from webhook.endpoint_secret s
     where not exists (select from webhook.endpoint t where t.id = s.endpoint_id)
    having count(*) > 0
    union all
    select 'headers', format('%s of endpoints that do not exist', count(*)),
           'Run as a superuser: delete from webhook.endpoint_header where endpoint_id not in (select id from webhook.endpoint)'
      from webhook.endpoint_header h
     where not exists (select from webhook.endpoint t where t.id = h.endpoint_id)
    having count(*) > 0
    union all
    -- A role that is made later may get the number of one that was dropped.
    select 'access', format('%s roles that do not exist are bound to an organization', count(*)),
           'Run as a superuser: delete from webhook.access where role not in (select oid from pg_roles)'
      from webhook.access a
     where not exists (select from pg_roles r where r.oid = a.role)
    having count(*) > 0
    union all
    -- The binding was lost: a dump restored where one of its roles was missing brings none at all.
    select 'access', format('role "%s" was given access, but to no organization', r.rolname),
           format('Run: select webhook.grant_access(%1$L, level, organization), or: select webhook.revoke_access(%1$L)', quote_ident(r.rolname))
      from pg_class c
     cross join aclexplode(c.relacl) g
      join pg_roles r on r.oid = g.grantee
     where c.oid = 'webhook.organization'::regclass and g.privilege_type = 'SELECT'
       and not has_table_privilege(r.oid, 'webhook.access', 'select')
       and not exists (select from webhook.access a where pg_has_role(r.oid, a.role, 'usage'))
    union all
    -- An attempt takes an hour at most.
    select 'queue', format('%s deliveries are on the wire for longer than an attempt may take', l.number),
           'Restart the workers, which send them again: select pg_terminate_backend(pid) from webhook.status'
      from webhook._count_lost(clock_timestamp() - interval '2 hours') l(number)
     where l.number > 0
    union all
    -- The oldest are the first to lose their event.
    select 'queue', format('%s deliveries without their event or their endpoint', count(*)),
           'A worker drops them when it meets them; was a partition dropped or detached by hand?'
      from (select q.* from webhook.queue q order by q.event_id, q.endpoint_id limit 1000) q
     where not exists (select from webhook.event e where e.id = q.event_id)
        or not exists (select from webhook.endpoint t where t.id = q.endpoint_id)
    having count(*) > 0;
end;
comment on function webhook._check_rows() is 'Internal: the part of check() about rows that miss others, or their worker';

create function webhook.check(out subject text, out problem text, out hint text) returns setof record
language sql volatile security definer set search_path to pg_catalog, pg_temp set jit to off set datestyle to iso set intervalstyle to postgres
-- definer: looks at tables that are not granted; tells names and numbers only
begin atomic
    select c.subject, c.problem, c.hint from webhook._check_server() c
    union all
    select c.subject, c.problem, c.hint from webhook._check_settings() c
    union all
    select c.subject, c.problem, c.hint from webhook._check_objects() c
    union all
    select c.subject, c.problem, c.hint from webhook._check_rows() c;
end;
comment on function webhook.check() is
    'Everything that is wrong with this installation, one row each with what to do; no rows when all is well';
