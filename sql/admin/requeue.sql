-- name: requeue
-- A fresh start for the dead and cancelled jobs of an export.
-- $1 uuid: export id
select exportbox.requeue($1::uuid) as jobs
