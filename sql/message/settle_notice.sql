-- name: settle_notice
-- What became of a notice. However often a wrong setting gives its attempt back: news of three days ago is none. No row: the lease is gone, and
-- nothing is written.
-- $1 uuid: notice id
-- $2 uuid: lease token
-- $3 text: status
-- $4 bigint: ms until it is tried again; null: never
-- $5 boolean: give the attempt back
-- $6 text: provider, or null
-- $7 text: the provider's message id, or null
-- $8 text: error class, or null
-- $9 text: error in our own words, or null
with
held as (
    select notice.id, case when $4::bigint is not null and notice.created_at < now() - interval '3 days' then 'dead' else $3::text end as status
    from exportbox.notice
    where notice.id = $1::uuid and notice.lease_token = $2::uuid
    for update
),
settled as (
    update exportbox.notice
    set status = held.status,
        due_at = coalesce(now() + $4::bigint * interval '1 millisecond', notice.due_at),
        -- Never 0 again: failures are put into those that nobody has begun to send.
        attempt = greatest(1, notice.attempt - $5::boolean::int),
        lease_token = null,
        finished_at = case when $4::bigint is null or held.status = 'dead' then now() end,
        provider = $6::text, message_id = $7::text, error_class = $8::text, error = $9::text
    from held
    where notice.id = held.id
    returning notice.id, notice.status, notice.error
),
told as (
    insert into exportbox.event (kind, detail)
    select 'notice_' || settled.status, format('notice %s: %s', settled.id, settled.error)
    from settled
    where settled.status in ('unknown', 'dead')
)
select settled.status
from settled
