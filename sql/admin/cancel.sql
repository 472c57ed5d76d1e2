-- name: cancel
-- Stop an export and its mails.
-- $1 uuid: export id
select exportbox.cancel($1::uuid) as said
