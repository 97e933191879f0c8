-- Which events a subscription covers: exact names, category.*, *; the
-- extension's own events by exact name only.
begin;
select plan(29);

select is(webhook._subscribes(events::text[], event), expected,
          format('%s %s %s', events,
                 case when expected then 'covers' else 'does not cover' end, event))
  from (values
    ('{review.completed}', 'review.completed', true),
    ('{review.completed}', 'review.created', false),
    ('{review.completed}', 'review.completed.twice', false),
    ('{review.created,review.completed}', 'review.completed', true),
    ('{review.created,team.*}', 'review.completed', false),

    ('{review.*}', 'review.completed', true),
    ('{review.*}', 'review.completed.twice', true),
    ('{review.*}', 'reviews.completed', false),
    ('{review.*}', 'team.member_added', false),
    ('{team.*,security.*}', 'security.alert_created', true),

    ('{*}', 'review.completed', true),
    ('{*}', 'invoice.line.added', true),
    ('{*,review.*}', 'review.completed', true),

    ('{webhook.test}', 'webhook.test', true),
    ('{webhook.endpoint_disabled}', 'webhook.endpoint_disabled', true),
    ('{webhook.endpoint_disabled}', 'webhook.delivery_failed', false),
    ('{*}', 'webhook.endpoint_disabled', false),
    ('{webhook.*}', 'webhook.endpoint_disabled', false),
    ('{*,webhook.*}', 'webhook.test', false),
    ('{*,webhook.delivery_failed}', 'webhook.delivery_failed', true),
    ('{*}', 'webhooks.created', true),

    -- Names are not patterns.
    ('{review_completed}', 'review.completed', false),
    ('{review.%}', 'review.completed', false),
    ('{review.c*}', 'review.completed', false),
    ('{re*}', 'review.completed', false),
    ('{Review.*}', 'review.completed', false),
    ('{}', 'review.completed', false)
  ) as t(events, event, expected);

-- Each of the catalogue is covered by its category, and by everything.
select is_empty(
    $$select name from webhook.event_type
       where not webhook._subscribes(array[category || '.*'], name)
          or not webhook._subscribes('{*}', name)
          or not webhook._subscribes(array[name], name)$$,
    'every event of the catalogue: by name, by category, by everything');
select is_empty(
    $$select t.name, c.category
        from webhook.event_type t
        join (select distinct category from webhook.event_type) c
          on c.category <> t.category
       where webhook._subscribes(array[c.category || '.*'], t.name)$$,
    'no event is covered by another category');

select * from finish();
rollback;
