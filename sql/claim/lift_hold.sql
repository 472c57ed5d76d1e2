-- name: lift_hold
-- A job of a held kind got past what was wrong: release the rest.
-- $1 text: kind of job
with
lifted as (
    delete from exportbox.control
    where control.scope = $1::text and control.probe_at is not null
    returning control.scope, control.error_class
)
insert into exportbox.event (kind, detail)
select 'released', exportbox.shown_kind(lifted.scope) || ' is no longer on hold (' || lifted.error_class || ')'
from lifted
