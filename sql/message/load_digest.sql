-- name: load_digest
-- What a digest speaks of: what died within a time and is dead still, by kind, class and code.
-- $1 timestamptz: from
-- $2 timestamptz: until
select job.kind, job.error_class, exportbox.error_code(last.error_detail) as code, count(*) as jobs, min(job.finished_at) as oldest,
    max(job.finished_at) as newest, exportbox.remedy(job.error_class) as what_to_do
from exportbox.job
left join lateral (
    select attempt.error_detail
    from exportbox.attempt
    where attempt.job_id = job.id
    order by attempt.number desc
    limit 1
) as last on true
where job.state = 'dead' and job.finished_at >= $1::timestamptz and job.finished_at < $2::timestamptz
group by job.kind, job.error_class, exportbox.error_code(last.error_detail)
order by count(*) desc, job.kind, job.error_class
limit 100
