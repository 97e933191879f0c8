-- Secrets of endpoints: given, read, rotated, and used to verify.

create function webhook._note_imported_secret(secret text) returns void
language plpgsql stable set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan
as $$
begin
    if not webhook._is_standard_secret(secret) then
        raise notice 'the secret serves the sha256= signature only'
            using detail = 'Requests carry no webhook-signature: that needs whsec_ and base64 of 24 to 64 bytes.';
    end if;
end
$$;
comment on function webhook._note_imported_secret(text) is 'Internal: NOTICE for a secret that cannot make webhook-signature';

create function webhook._check_secret(secret text) returns void
language plpgsql immutable set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan       -- see create_endpoint
as $$
begin
    if length(secret) < 16 then
        raise exception 'endpoint secret is too short'
            using errcode = 'invalid_parameter_value',
                  detail = format('It has %s characters, and at least 16 are needed.', length(secret)),
                  hint = 'Leave it out, and a strong one is made.';
    end if;
    if length(secret) > 1024 then
        raise exception 'endpoint secret is too long'
            using errcode = 'invalid_parameter_value',
                  detail = format('It has %s characters, and at most 1024 are possible.', length(secret)),
                  hint = 'Leave it out, and a strong one is made.';
    end if;
end
$$;
comment on function webhook._check_secret(text) is 'Internal: raise 22023 unless a secret has 16 to 1024 characters';

create function webhook.secret(endpoint_id bigint) returns text
language sql stable strict security definer set search_path to pg_catalog, pg_temp
-- definer: secrets are read through this function only
begin atomic
    select s.secret
      from webhook.endpoint_secret s
      join webhook.endpoint t on t.id = s.endpoint_id
     where s.endpoint_id = secret.endpoint_id and s.expires_at is null
       and webhook._has_access(t.organization_id, 'manager');
end;
comment on function webhook.secret(bigint) is 'The newest signing secret of an endpoint; NULL when there is no such endpoint';

create function webhook.rotate_secret(endpoint_id bigint, overlap interval default '24 hours', secret text default null)
returns text
language plpgsql security definer set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan
set check_function_bodies to on
-- definer: secrets are written through this function only
-- generic plans: others hold the secret, and plans can be logged
-- function bodies: as for create_endpoint
as $$
declare
    fresh text := coalesce(rotate_secret.secret, webhook._make_secret());
begin
    perform webhook._check_secret(fresh);
    if overlap < interval '0' then
        raise exception 'overlap of secrets must not be negative'
            using errcode = 'invalid_parameter_value', hint = 'Use interval ''0'' to drop the old secret at once.';
    end if;
    perform from webhook.endpoint e
      where e.id = rotate_secret.endpoint_id and webhook._has_access(e.organization_id, 'manager')
        for update;
    if not found then
        raise exception 'endpoint % does not exist', coalesce(rotate_secret.endpoint_id::text, 'null')
            using errcode = 'no_data_found', hint = 'See: select id, url from webhook.endpoint';
    end if;
    delete from webhook.endpoint_secret s
     where s.endpoint_id = rotate_secret.endpoint_id and s.expires_at is not null;
    update webhook.endpoint_secret s set expires_at = clock_timestamp() + coalesce(overlap, interval '0')
     where s.endpoint_id = rotate_secret.endpoint_id;
    insert into webhook.endpoint_secret (endpoint_id, secret) values (rotate_secret.endpoint_id, fresh);
    perform webhook._note_imported_secret(fresh);
    return fresh;
end
$$;
comment on function webhook.rotate_secret(bigint, interval, text) is
    'Give an endpoint a new secret and return it; the one before stays in webhook-signature for the overlap, an older one is dropped. Errors: unknown endpoint P0002, secret shorter than 16 or longer than 1024 characters 22023';

create function webhook.verify(payload text, signature text, secret text) returns boolean
language c immutable parallel safe as 'MODULE_PATHNAME', 'webhook_verify';
comment on function webhook.verify(text, text, text) is
    'Whether signature (sha256=<64 hex digits>) is that of payload with secret; constant time; NULL arguments give NULL';
