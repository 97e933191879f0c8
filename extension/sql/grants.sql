-- Everything belongs to the role "webhook", and to nobody else: not to PUBLIC,
-- nor to whom the default privileges of the installing role would give it.

do $$
declare
    object record;
    grantee oid;
begin
    for grantee in
        select distinct a.grantee
          from pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
         where n.nspname = 'webhook' and a.grantee <> n.nspowner
    loop
        execute pg_catalog.format('revoke all on schema webhook from %s',
                                  case grantee when 0 then 'public' else grantee::pg_catalog.regrole::text end);
    end loop;
    for object in
        select p.oid::pg_catalog.regprocedure as routine, a.grantees
          from pg_catalog.pg_proc p
         cross join lateral (
                   select pg_catalog.string_agg(distinct case x.grantee when 0 then 'public' else x.grantee::pg_catalog.regrole::text end, ', ') as grantees
                     from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) x
                    where x.grantee <> p.proowner) a
         where p.pronamespace = 'webhook'::pg_catalog.regnamespace
    loop
        execute pg_catalog.format('revoke all on routine %s from %s', object.routine, object.grantees);
        execute pg_catalog.format('alter routine %s owner to webhook', object.routine);
    end loop;
    for object in
        select c.oid::pg_catalog.regclass as relation, c.relkind
          from pg_catalog.pg_class c
         where c.relnamespace = 'webhook'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v', 'S')
    loop
        perform webhook._make_private(object.relation);
        if object.relkind <> 'S' then   -- they follow their columns
            execute pg_catalog.format('alter table %s owner to webhook', object.relation);
        end if;
    end loop;
end
$$;

grant usage on schema webhook to public;

select webhook._grant_monitoring();

do $$
declare
    finding record;
begin
    for finding in select c.problem, c.hint from webhook._check_role() c loop
        raise warning 'role webhook: %', finding.problem using hint = finding.hint;
    end loop;
end
$$;

do $$
begin
    if not webhook._announce() then
        raise warning 'the webhook worker is not running: events are recorded but not delivered'
            using hint = 'Add webhook to shared_preload_libraries and restart the server.';
    end if;
end
$$;
