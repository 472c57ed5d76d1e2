-- name: complete_messages
-- The provider took these mails. One that is missing from the answer has lost its lease, and nothing of it is written.
-- $1 uuid[] jobs: job ids
-- $2 uuid[] tokens: their lease tokens
-- $3 text[] providers: provider of each
-- $4 text[] message_ids: the provider's message id of each
-- $5 timestamptz[] link_expires_at: when its mailed link dies, or null
-- $6 text[] link_cut_by: what cut its link short, or null
with
sent as (
    select sent.job_id, sent.lease_token, sent.provider, sent.message_id, sent.link_expires_at, sent.link_cut_by
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
        as sent (job_id, lease_token, provider, message_id, link_expires_at, link_cut_by)
),
settled as (
    update exportbox.job
    set state = 'completed', finished_at = now(), cancel_requested_at = null,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    from sent
    where job.id = sent.job_id
        and job.lease_token = sent.lease_token -- guard: lease token
    returning job.id, job.export_id, job.state,
        sent.lease_token, sent.provider, sent.message_id, sent.link_expires_at, sent.link_cut_by
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = 'completed'
    from settled
    where attempt.lease_token = settled.lease_token
),
accepted as (
    update exportbox.message
    set status = 'accepted', provider = settled.provider, message_id = settled.message_id,
        link_expires_at = settled.link_expires_at, link_cut_by = settled.link_cut_by,
        error_class = null, error = null, updated_at = now()
    from settled
    where message.id = settled.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind, detail)
    select settled.export_id, settled.id, 'link_cut',
        'The link dies earlier than asked: ' || case settled.link_cut_by
            when 'credentials' then 'the credentials that signed it end before.' else 'the stored object is deleted before.' end
    from settled
    where settled.link_cut_by is not null
)
select settled.lease_token, settled.state
from settled
