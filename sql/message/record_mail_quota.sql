-- name: record_mail_quota
-- What SES says of its daily quota.
-- $1 bigint: recipients in 24 hours, null for no limit
-- $2 bigint: recipients in the last 24 hours
insert into exportbox.mail_quota (most_a_day, sent)
values ($1::bigint, $2::bigint)
on conflict (only_one) do update
set asked_at = excluded.asked_at, most_a_day = excluded.most_a_day, sent = excluded.sent
