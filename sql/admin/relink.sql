-- name: relink
-- Mail a new link to the file of a completed export.
-- $1 uuid: export id
-- $2 text: address, or null for all recipients
select exportbox.relink($1::uuid, $2::text) as mails
