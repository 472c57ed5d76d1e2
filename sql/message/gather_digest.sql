-- name: gather_digest
-- A digest for each operator when something died since the last one, up to the last full period. A statement ends within half a minute, so
-- whatever died before then has been committed. Mails that announce no export are not told of: a digest never speaks of a digest.
-- $1 text[]: the operators' addresses
-- $2 bigint: period, ms
with
period as (
    select to_timestamp(floor((extract(epoch from now()) - 30) * 1000 / $2::bigint) * $2::bigint / 1000) as ends
),
span as (
    select period.ends, greatest(
        coalesce((select max(message.covers_until) from exportbox.message where message.origin = 'digest'),
            period.ends - $2::bigint * interval '1 millisecond'),
        period.ends - interval '7 days') as begins
    from period
),
addressed as (
    insert into exportbox.message (id, origin, recipient, covers_from, covers_until)
    select exportbox.new_id(), 'digest', operator.address, span.begins, span.ends
    from span
    cross join unnest($1::text[]) as operator (address)
    where span.begins < span.ends
        and exists (
            select from exportbox.job
            where job.state = 'dead' and job.export_id is not null and job.finished_at >= span.begins and job.finished_at < span.ends)
    on conflict do nothing
    returning message.id
),
-- What is not sent for three days is no news any more.
queued as (
    insert into exportbox.job (id, kind, not_after)
    select addressed.id, 'message', now() + interval '3 days'
    from addressed
)
select count(*) as mails
from addressed
