-- name: begin_export
-- One snapshot for the whole file, and no writing. Always ended by a rollback: some functions write even in read-only transactions.
begin transaction
    read only -- guard: read only
    isolation level repeatable read
