-- Who may look at statistics, reasons and previews.

create function webhook._grant_insight(role regrole, level text) returns void
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    execute format('grant select on webhook.stat_database, webhook.stat_endpoint to %s', role);
    execute format('grant execute on function webhook._stat_database(), webhook._stat_endpoints(), webhook._stat_durations() to %s', role);
    if level = 'monitor' then
        return;
    end if;
    execute format('grant execute on function webhook.explain(uuid) to %s', role);
    if level = 'manager' then
        execute format('grant execute on function webhook.preview(bigint, text, text), webhook.preview(bigint, text, json), webhook.preview(bigint, text, jsonb) to %s', role);
        execute format('grant execute on function webhook.forget(uuid), webhook.forget(text), webhook.stat_reset() to %s', role);
    end if;
end
$$;
comment on function webhook._grant_insight(regrole, text) is
    'Internal: the part of grant_access for looking: observer, manager; monitor: numbers without payloads';

select webhook._grant_insight('pg_monitor', 'monitor');
