-- name: status_counts
-- The health view with the jobs by kind and state, as one JSON object.
select to_jsonb(health) || jsonb_build_object('jobs', (
        select coalesce(jsonb_object_agg(counted.label, counted.jobs), '{}')
        from (
            select job.kind || ' ' || job.state as label, count(*) as jobs
            from exportbox.jobs as job
            where job.state in ('pending', 'running', 'dead')
            group by job.kind, job.state
        ) as counted)) as status
from exportbox.health
