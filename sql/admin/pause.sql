-- name: pause
-- Start nothing more of this until it is resumed.
-- $1 text: all, exports, deliveries, report:NAME or source:NAME
-- $2 text: why, or null
select exportbox.pause($1::text, $2::text) as is_new
