-- name: gather_failures
-- Put exports that died into notices to their recipients.
-- $1 bigint: time between two notices to one recipient, ms
select exportbox.gather_failures($1::bigint * interval '1 millisecond') as exports
