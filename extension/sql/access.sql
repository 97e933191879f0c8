-- Whose endpoints and events a role may see and touch.

create table webhook.access (
    role            regrole primary key,
    organization_id text    not null
);
comment on table webhook.access is 'Roles that are bound to one organization, by webhook.grant_access; row-level security reads it. Roles that were granted to read this table are bound to none';
comment on column webhook.access.role is 'Role; binds those who inherit from it as well';
comment on column webhook.access.organization_id is 'The organization it may act for';

select pg_catalog.pg_extension_config_dump('webhook.access', '');

create function webhook._access_changed() returns trigger
language c as 'MODULE_PATHNAME', 'webhook_access_changed';
comment on function webhook._access_changed() is 'Internal: trigger; sessions forget what they remember of webhook.access';

create trigger access_changed after insert or update or delete on webhook.access
    for each statement execute function webhook._access_changed();
-- Where replication writes it, or a session that fires no triggers, too: access ends everywhere.
alter table webhook.access enable always trigger access_changed;

create function webhook._has_access(organization_id text, level text default 'observer') returns boolean
language c stable parallel safe as 'MODULE_PATHNAME', 'webhook_has_access';
comment on function webhook._has_access(text, text) is
    'Internal: whether the current user may act for an organization (NULL: for all of them). In a security definer function of ours it is about the caller, who needs the level himself once any role is bound';

create function webhook._check_access(organization_id text, level text default 'manager') returns void
language c stable parallel safe as 'MODULE_PATHNAME', 'webhook_check_access';
comment on function webhook._check_access(text, text) is
    'Internal: raise 42501 unless _has_access: for security definer functions that are given an organization; says the same whether it exists or not';
