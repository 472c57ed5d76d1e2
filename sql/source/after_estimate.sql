-- name: after_estimate
-- Back to before the planner was asked, whatever came of it.
rollback to savepoint estimate
