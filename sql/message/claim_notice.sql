-- name: claim_notice
-- Take one due notice and stamp it as being sent; or give up one whose worker was lost in the midst, when the policy or its attempts say so. No
-- row: none is due. While mails are on hold or paused none is taken.
-- $1 bigint: lease, ms
-- $2 smallint: most attempts
-- $3 boolean: hold a mail that may have been sent, instead of sending it again
with
next as materialized (
    select notice.id, notice.status = 'sending' as was_lost,
        notice.status = 'sending' and ($3::boolean or notice.attempt >= $2::smallint) as is_given_up
    from exportbox.notice
    where notice.finished_at is null and notice.due_at <= now()
        and not exists (select from exportbox.control where control.scope = 'delivery')
        and not exists (select from exportbox.pause where pause.scope in ('all', 'deliveries'))
    order by notice.due_at, notice.id
    limit 1
    for update of notice skip locked
),
taken as (
    update exportbox.notice
    set status = case when next.is_given_up then 'unknown' else 'sending' end,
        attempt = notice.attempt + (not next.is_given_up)::int,
        lease_token = case when not next.is_given_up then gen_random_uuid() end,
        due_at = now() + $1::bigint * interval '1 millisecond',
        finished_at = case when next.is_given_up then now() end,
        error_class = case when next.was_lost then 'unknown' else notice.error_class end,
        error = case when next.was_lost then 'The mail may have been sent when its worker was lost.' else notice.error end
    from next
    where notice.id = next.id
    returning notice.id, notice.kind, notice.recipient, notice.lease_token, notice.attempt, notice.covers_from, notice.covers_until
),
told as (
    insert into exportbox.event (kind, detail)
    select 'notice_unknown', format('notice %s may have been sent when its worker was lost', next.id)
    from next
    where next.was_lost
)
select taken.id, taken.kind, taken.recipient, taken.lease_token, taken.attempt, taken.covers_from, taken.covers_until
from taken
