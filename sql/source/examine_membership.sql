-- name: examine_membership
-- Which of these roles the login may become.
-- $1 text[]: roles
select
    asked.role,
    pg_roles.oid is not null as is_there,
    coalesce(case
        when current_setting('server_version_num')::integer >= 160000 then pg_has_role(session_user, pg_roles.oid, 'SET')
        else pg_has_role(session_user, pg_roles.oid, 'MEMBER')
    end, false) as may_become
from unnest($1::text[]) as asked (role)
left join pg_catalog.pg_roles on pg_roles.rolname = asked.role
order by asked.role
