-- Headers of your own: sent with every request of an endpoint.

create table webhook.endpoint_header (
    endpoint_id bigint not null,
    name        text   not null,
    value       text   not null,
    primary key (endpoint_id, name)
);
-- Names of headers that differ in case only are the same (RFC 9110 5.1).
create unique index endpoint_header_name on webhook.endpoint_header (endpoint_id, lower(name collate "C"));
comment on table webhook.endpoint_header is 'Headers of your own, such as Authorization, sent with every request of an endpoint; values can be written by managers and read by nobody';
comment on column webhook.endpoint_header.endpoint_id is 'Endpoint whose requests carry it';
comment on column webhook.endpoint_header.name is 'Name, 1 to 64 characters; case does not count. Reserved: the connection''s, Host, Content-*, User-Agent, Expect, Accept-Encoding, *-Signature, webhook-* and those under webhook.header_prefix';
comment on column webhook.endpoint_header.value is 'Value, 1 to 4096 visible ASCII characters with spaces and tabs between them; a secret: shown as *** wherever headers are';

select pg_catalog.pg_extension_config_dump('webhook.endpoint_header', '');

create function webhook._check_header() returns trigger
language c as 'MODULE_PATHNAME', 'webhook_check_header';
comment on function webhook._check_header() is 'Internal: trigger; raises 22023 unless name and value can be a header of an endpoint, and never shows a value';

create function webhook._header_changed() returns trigger
language plpgsql security definer set search_path to pg_catalog, pg_temp
-- definer: who writes headers need not be able to change the endpoint's row
as $$
begin
    if webhook._is_restoring() then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        update webhook.endpoint set revision = revision + 1 where id = old.endpoint_id;
    end if;
    if tg_op = 'DELETE' then
        return null;
    end if;
    -- Locks the endpoint: what is counted then stays so until the commit.
    update webhook.endpoint set revision = revision + 1 where id = new.endpoint_id;
    if not found then
        raise exception 'endpoint % does not exist', new.endpoint_id
            using errcode = 'foreign_key_violation', hint = 'See: select id, url from webhook.endpoint';
    end if;
    if (select count(*) > 16 or sum(length(h.name) + length(h.value)) > 8192
          from webhook.endpoint_header h where h.endpoint_id = new.endpoint_id) then
        raise exception 'endpoint % has too many headers', new.endpoint_id
            using errcode = 'invalid_parameter_value',
                  detail = 'Up to 16 are possible, with 8192 characters of names and values in all.',
                  hint = 'Delete one first, or shorten a value.';
    end if;
    return null;
end
$$;
comment on function webhook._header_changed() is 'Internal: trigger; a new header is a change of its endpoint, whose headers are limited in number and size';

create function webhook._set_headers(endpoint_id bigint, headers json) returns void
language plpgsql set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan
-- generic plans: others hold the values, and plans can be logged
as $$
begin
    if json_typeof(headers) <> 'object'
       or exists (select from json_each(headers) h where json_typeof(h.value) <> 'string') then
        raise exception 'endpoint headers must be a JSON object of strings'
            using errcode = 'invalid_parameter_value',
                  hint = 'Write for example ''{"Authorization": "Bearer ..."}''.';
    end if;
    if exists (select from json_each(headers) h
                group by lower(h.key collate "C") having count(*) > 1) then
        raise exception 'the same header is given twice'
            using errcode = 'invalid_parameter_value',
                  hint = 'Names of headers that differ in case only are the same.';
    end if;
    delete from webhook.endpoint_header h where h.endpoint_id = _set_headers.endpoint_id;
    insert into webhook.endpoint_header (endpoint_id, name, value)
    select _set_headers.endpoint_id, h.key, h.value from json_each_text(headers) h;
end
$$;
comment on function webhook._set_headers(bigint, json) is 'Internal: replace the headers of an endpoint by an object of names and values; raises 22023';

create trigger check_header before insert or update on webhook.endpoint_header
    for each row execute function webhook._check_header();
create trigger header_changed after insert or update or delete on webhook.endpoint_header
    for each row execute function webhook._header_changed();
