-- name: switch_schedule
-- Disable, enable or remove a schedule. False: it was so already.
-- $1 text: schedule
-- $2 text: disable, enable or remove
select case $2::text
    when 'disable' then exportbox.disable_schedule($1::text)
    when 'enable' then exportbox.enable_schedule($1::text)
    when 'remove' then exportbox.drop_schedule($1::text)
end as changed
