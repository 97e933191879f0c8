-- The product's events, as rows beside which users put their own.  An example
-- is the data object of a payload; it is sent as it stands here, so it is
-- written without white space.

insert into webhook.event_type (name, description, example, is_builtin)
select name, description, example::json, true
from (values
    ('review.created', 'A new code review has been queued',
     '{"review_id":"rev_abc123","repository":"org/repo","pr_number":42,'
     '"pr_title":"Add new feature","author":"janedev",'
     '"url":"https://heyjasper.ai/reviews/rev_abc123"}'),

    ('review.started', 'AI analysis has started on a review',
     '{"review_id":"rev_abc123","repository":"org/repo","pr_number":42,'
     '"pr_title":"Add new feature",'
     '"commit_sha":"4f9d2c81b7a65e03d1c8f2a94b6e7053d8c1a9f2",'
     '"url":"https://heyjasper.ai/reviews/rev_abc123"}'),

    ('review.completed', 'A code review has finished successfully',
     '{"review_id":"rev_abc123","repository":"org/repo","pr_number":42,'
     '"pr_title":"Add new feature","verdict":"APPROVE","score":85,'
     '"summary":"Code looks good with minor suggestions...",'
     '"issues":{"critical":0,"high":1,"medium":2,"low":5},'
     '"url":"https://heyjasper.ai/reviews/rev_abc123"}'),

    ('review.failed', 'A review failed to complete',
     '{"review_id":"rev_abc123","repository":"org/repo","pr_number":42,'
     '"pr_title":"Add new feature","reason":"diff_too_large",'
     '"message":"The pull request changes more lines than can be reviewed",'
     '"url":"https://heyjasper.ai/reviews/rev_abc123"}'),

    ('repository.added', 'A new repository was enabled for reviews',
     '{"repository_id":"repo_abc123","repository":"org/repo",'
     '"default_branch":"main","private":true,'
     '"added_by":{"id":"usr_abc123","name":"John Admin"},'
     '"url":"https://heyjasper.ai/repositories/repo_abc123"}'),

    ('repository.removed', 'A repository was disabled or removed',
     '{"repository_id":"repo_abc123","repository":"org/repo",'
     '"reason":"disabled",'
     '"removed_by":{"id":"usr_abc123","name":"John Admin"}}'),

    ('repository.settings_updated', 'Repository settings were changed',
     '{"repository_id":"repo_abc123","repository":"org/repo",'
     '"changes":{"auto_review":{"from":false,"to":true}},'
     '"updated_by":{"id":"usr_abc123","name":"John Admin"},'
     '"url":"https://heyjasper.ai/repositories/repo_abc123/settings"}'),

    ('billing.credits_purchased', 'Credits were purchased for the organization',
     '{"purchase_id":"pur_abc123","credits":500,"balance":620,'
     '"amount":{"value":"49.00","currency":"USD"},'
     '"purchased_by":{"id":"usr_abc123","name":"John Admin"},'
     '"url":"https://heyjasper.ai/billing"}'),

    ('billing.credits_low',
     'Credit balance is running low (below threshold)',
     '{"balance":45,"threshold":50,"url":"https://heyjasper.ai/billing"}'),

    ('billing.credits_depleted', 'All credits have been used',
     '{"balance":0,"last_review_id":"rev_abc123",'
     '"depleted_at":"2026-01-08T10:30:00Z",'
     '"url":"https://heyjasper.ai/billing"}'),

    ('billing.free_tier_reset', 'Monthly free tier reviews have been reset',
     '{"free_reviews":20,"used_last_period":17,'
     '"period_start":"2026-01-01T00:00:00Z",'
     '"period_end":"2026-02-01T00:00:00Z"}'),

    ('team.member_added', 'A new member joined the organization',
     '{"user":{"id":"usr_xyz789","name":"Jane Developer",'
     '"email":"jane@example.com","github_username":"janedev"},'
     '"role":"member",'
     '"invited_by":{"id":"usr_abc123","name":"John Admin"}}'),

    ('team.member_removed', 'A member was removed from the organization',
     '{"user":{"id":"usr_xyz789","name":"Jane Developer",'
     '"email":"jane@example.com","github_username":"janedev"},'
     '"role":"member",'
     '"removed_by":{"id":"usr_abc123","name":"John Admin"}}'),

    ('team.member_role_changed', 'A member''s role was updated',
     '{"user":{"id":"usr_xyz789","name":"Jane Developer",'
     '"email":"jane@example.com","github_username":"janedev"},'
     '"old_role":"member","new_role":"admin",'
     '"changed_by":{"id":"usr_abc123","name":"John Admin"}}'),

    ('security.alert_created',
     'A security vulnerability was detected in a review',
     '{"alert_id":"alt_abc123","review_id":"rev_abc123",'
     '"repository":"org/repo","pr_number":42,"severity":"high",'
     '"title":"SQL injection in search query","cwe":"CWE-89",'
     '"file":"src/search.js","line":118,'
     '"url":"https://heyjasper.ai/security/alerts/alt_abc123"}'),

    ('security.alert_resolved', 'A security alert was marked as resolved',
     '{"alert_id":"alt_abc123","review_id":"rev_abc123",'
     '"repository":"org/repo","severity":"high",'
     '"title":"SQL injection in search query","resolution":"fixed",'
     '"resolved_by":{"id":"usr_xyz789","name":"Jane Developer"},'
     '"url":"https://heyjasper.ai/security/alerts/alt_abc123"}'),

    ('organization.settings_updated', 'Organization settings were changed',
     '{"changes":{"name":{"from":"Our Organization",'
     '"to":"Your Organization"}},'
     '"updated_by":{"id":"usr_abc123","name":"John Admin"},'
     '"url":"https://heyjasper.ai/settings"}')
) as product (name, description, example);

create function webhook._check_event_type() returns trigger
language plpgsql set search_path to pg_catalog, pg_temp
as $$
begin
    -- The constraints of the table say the same, but with the whole row.
    if new.name like 'webhook.%' then
        raise exception 'event type name "%" is reserved', left(new.name, 130)
            using errcode = 'check_violation', constraint = 'event_type_name_reserved',
                  hint = 'Names that begin with "webhook." are those of the extension''s own events.';
    end if;
    if new.name !~ '^[a-z][a-z0-9_]*([.][a-z0-9_]+)+$' or length(new.name) > 128 then
        raise exception 'invalid event type name "%"', left(new.name, 130)
            using errcode = 'check_violation', constraint = 'event_type_name_format',
                  detail = 'A name has two or more words joined by dots, each of lower-case letters, digits and underscores, and at most 128 characters.',
                  hint = 'Write for example ''order.shipped''.';
    end if;
    if tg_op = 'UPDATE' then
        new.is_builtin := old.is_builtin
            and (old.name, old.description, old.example::text) = (new.name, new.description, new.example::text);
    elsif not webhook._is_restoring() then
        new.is_builtin := false;
    else
        -- The extension has put its own row there.
        delete from webhook.event_type t where t.name = new.name and t.is_builtin;
    end if;
    return new;
end
$$;
comment on function webhook._check_event_type() is
    'Internal: trigger; raises 23514 unless the name can be one; what users make or change is part of a dump, and takes the place of what the extension brings when that is restored';

create trigger check_event_type before insert or update on webhook.event_type
    for each row execute function webhook._check_event_type();
