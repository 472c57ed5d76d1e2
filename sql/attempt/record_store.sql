-- name: record_store
-- Note where an attempt is about to store something, before it does: a losing attempt is swept from here.
-- $1 uuid token: lease token
-- $2 text bucket: bucket
-- $3 text key: key of its first file
-- $4 text upload_id: multipart upload id, null until there is one
update exportbox.attempt
set bucket = $2::text, object_key = $3::text, upload_id = coalesce($4::text, attempt.upload_id)
where attempt.lease_token = $1::uuid
    and attempt.finished_at is null -- guard: open attempt
    -- The key has the file's name, perhaps with an address that was taken out of the request after this attempt had begun.
    and not exists (
        select from exportbox.job
        where job.id = attempt.job_id and job.cancel_requested_at is not null
            and exportbox.is_erased(job.id) -- guard: erased
    )
returning attempt.job_id
