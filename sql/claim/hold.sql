-- name: hold
-- A wrong setting: put this kind of job on hold and plan a probe. The job itself is released.
-- $1 text kind: kind of job
-- $2 text error_class: error class
-- $3 text reason: what is wrong and what to do
with
held as (
    insert into exportbox.control as control (scope, error_class, reason, probe_at)
    values ($1::text, $2::text, $3::text, now() + interval '10 seconds')
    on conflict (scope) do update
    set error_class = excluded.error_class, reason = excluded.reason, probes = control.probes + 1
    where control.probe_at is not null
    returning control.scope, control.probes
)
insert into exportbox.event (kind, detail)
select 'held', exportbox.shown_kind(held.scope) || ': ' || $3::text
from held
where held.probes = 0
