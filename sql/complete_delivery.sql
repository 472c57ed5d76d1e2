-- name: complete_delivery
-- The provider took the mail.
-- $1 bigint: job id
-- $2 uuid: lease token
-- $3 text: provider
-- $4 text: the provider's message id
-- $5 timestamptz: when the mailed link dies
-- $6 text: what cut the link short, or null
with
settled as (
    update exportbox.job
    set state = 'completed', finished_at = now(), cancel_requested_at = null,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::bigint and job.lease_token = $2::uuid
    returning job.id, job.export_id
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = 'completed'
    from settled
    where attempt.lease_token = $2::uuid
),
accepted as (
    update exportbox.delivery
    set status = 'accepted', provider = $3::text, message_id = $4::text, link_expires_at = $5::timestamptz, link_cut_by = $6::text,
        error_class = null, error = null, updated_at = now()
    from settled
    where delivery.job_id = settled.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind, detail)
    select settled.export_id, settled.id, 'link_cut',
        'The link dies earlier than asked: ' || case $6::text
            when 'credentials' then 'the credentials that signed it end before.' else 'the stored object is deleted before.' end
    from settled
    where $6::text is not null
)
select settled.id
from settled
