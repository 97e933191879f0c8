-- What one organization does costs no more because another one is large.
begin;
select no_plan();

select webhook.set_organization(o, o) from unnest('{large,small}'::text[]) o \g /dev/null
insert into webhook.endpoint (organization_id, url)
select 'large', 'https://hooks.example.com/' || n from generate_series(1, 3000) n;
insert into webhook.endpoint (id, organization_id, url)
select 100000 + n, 'small', 'https://hooks.example.com/small' || n from generate_series(1, 4) n;
select webhook.emit('review.completed', 'small', '{}') as event_id \gset
insert into webhook.queue (event_id, endpoint_id, created_at, next_attempt_at, origin)
select overlay(:'event_id' placing lpad(to_hex(n), 12, '0') from 25)::uuid, (select min(id) from webhook.endpoint),
       now(), now() + interval '1 day', 1
  from generate_series(1, 50000) n;
analyze webhook.queue;
analyze webhook.endpoint;

-- Blocks of the queue, of endpoints and of their indexes, read in this transaction.
create function pg_temp.blocks() returns numeric language sql as $$
    select sum(pg_stat_get_xact_blocks_fetched(c.oid))
      from pg_class c
     where c.relnamespace = 'webhook'::regnamespace and c.relname ~ '^(queue|endpoint)' and c.relkind in ('r', 'i')
$$;
create function pg_temp.reads_little(command text, name text) returns text language plpgsql as $$
declare
    before numeric;
begin
    execute command;        -- what is cached from now on
    before := pg_temp.blocks();
    execute command;
    return cmp_ok(pg_temp.blocks() - before, '<', 120::numeric, name);
end
$$;

select pg_temp.reads_little('delete from webhook.endpoint where id = (select max(id) from webhook.endpoint)',
                            'deleting an endpoint');
select pg_temp.reads_little($$update webhook.endpoint set status = 'disabled'
                               where id = (select max(id) from webhook.endpoint where status = 'enabled')$$,
                            'disabling one');
select finish();
rollback;
