-- name: drained
-- What a drain leaves behind.
-- $1 text: worker id
select
    (select count(*) from exportbox.job where job.state = 'pending' and job.run_at <= now()
        and not exists (select from exportbox.control where control.scope = job.kind)) as due,
    (select count(*) from exportbox.job where job.state = 'pending' and (job.run_at > now()
        or exists (select from exportbox.control where control.scope = job.kind))) as waiting,
    (select count(*) from exportbox.job where job.state = 'running' and job.worker <> $1::text) as running_elsewhere,
    least(
        (select min(job.run_at) from exportbox.job where job.state = 'pending' and job.run_at > now()),
        (select min(schedule.next_due_at) from exportbox.schedule where schedule.disabled_at is null
            and schedule.next_due_at > now() and schedule.next_due_at < 'infinity')) as next_due_at,
    (select string_agg(control.scope || ': ' || control.reason, ' ' order by control.scope) from exportbox.control
        where exists (select from exportbox.job where job.state = 'pending' and job.kind = control.scope and job.run_at <= now())) as on_hold
