-- name: gather_digest
-- A digest for each operator when something died since the last one, up to the last full period. A statement ends within half a minute, so
-- whatever died before then has been committed.
-- $1 text[]: the operators' addresses
-- $2 bigint: period, ms
with
period as (
    select to_timestamp(floor((extract(epoch from now()) - 30) * 1000 / $2::bigint) * $2::bigint / 1000) as ends
),
span as (
    select period.ends, greatest(
        coalesce((select max(notice.covers_until) from exportbox.notice where notice.kind = 'digest'),
            period.ends - $2::bigint * interval '1 millisecond'),
        period.ends - interval '7 days') as begins
    from period
)
insert into exportbox.notice (kind, recipient, covers_from, covers_until)
select 'digest', operator.address, span.begins, span.ends
from span
cross join unnest($1::text[]) as operator (address)
where span.begins < span.ends
    and exists (
        select from exportbox.job
        where job.state = 'dead' and job.finished_at >= span.begins and job.finished_at < span.ends)
on conflict do nothing
returning id
