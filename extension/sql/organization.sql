-- Organizations: the tenants that events and endpoints belong to.

create function webhook.set_organization(id text, name text) returns void
language sql security invoker set search_path to pg_catalog, pg_temp
begin atomic
    insert into webhook.organization as o (id, name)
    values (set_organization.id, set_organization.name)
    on conflict on constraint organization_pkey do update set name = excluded.name;
end;
comment on function webhook.set_organization(text, text) is 'Record an organization, or rename the one with this id. Arguments: id of 1 to 256 characters (else 23514), which it keeps, and name; not null (23502). To delete its row deletes its endpoints, and their log stays';

create function webhook._check_organization() returns trigger
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    if tg_op = 'UPDATE' then
        raise exception 'organization cannot change its id'
            using errcode = 'invalid_parameter_value',
                  hint = 'Record another one with webhook.set_organization, and make its endpoints.';
    end if;
    -- The constraint of the table says the same, but with the whole row.
    raise exception 'invalid organization id'
        using errcode = 'check_violation', constraint = 'organization_id_check',
              detail = format('It has %s characters; 1 to 256 are possible.', length(new.id));
end
$$;
comment on function webhook._check_organization() is 'Internal: trigger; an id has 1 to 256 characters, and stays: endpoints and events would keep the old one';

create function webhook._hold_organization(id text) returns boolean
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: to lock a row is to be allowed to change it
as $$
begin
    perform from webhook.organization o
      where o.id = _hold_organization.id and webhook._has_access(o.id, 'manager')
        for key share;
    return found;
end
$$;
comment on function webhook._hold_organization(text) is 'Internal: wait for whoever deletes an organization, and keep it until the transaction ends; false when there is none, or for others';

create function webhook._organization_deleted() returns trigger
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: the cascade reaches tables that are not granted
as $$
begin
    delete from webhook.endpoint where organization_id = old.id;
    delete from webhook.idempotency_key where organization_id = old.id;
    return null;
end
$$;
comment on function webhook._organization_deleted() is 'Internal: trigger; deletes the endpoints of a deleted organization, their logs stay';

create trigger check_new_organization before insert on webhook.organization
    for each row when (length(new.id) not between 1 and 256) execute function webhook._check_organization();
create trigger check_organization after update on webhook.organization
    for each row when (new.id <> old.id) execute function webhook._check_organization();
create trigger organization_deleted after delete on webhook.organization
    for each row execute function webhook._organization_deleted();
