-- name: before_estimate
-- Asking the planner must neither end an export's transaction nor change anything in it.
savepoint estimate
