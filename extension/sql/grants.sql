-- Everything belongs to the role "webhook", and nothing to PUBLIC.

do $$
declare
    object record;
begin
    for object in
        select d.classid, d.objid
          from pg_catalog.pg_depend d
         where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
           and d.refobjid = (select oid from pg_catalog.pg_extension where extname = 'webhook')
           and d.deptype = 'e'
    loop
        if object.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass then
            execute pg_catalog.format('revoke all on routine %s from public', object.objid::pg_catalog.regprocedure);
            execute pg_catalog.format('alter routine %s owner to webhook', object.objid::pg_catalog.regprocedure);
        elsif object.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
              and (select relkind in ('r', 'p', 'v') from pg_catalog.pg_class where oid = object.objid) then
            execute pg_catalog.format('alter table %s owner to webhook', object.objid::pg_catalog.regclass);
        end if;
    end loop;
end
$$;

grant usage on schema webhook to public;

do $$
begin
    if not webhook._announce() then
        raise warning 'the webhook worker is not running: events are recorded but not delivered'
            using hint = 'Add webhook to shared_preload_libraries and restart the server.';
    end if;
end
$$;
