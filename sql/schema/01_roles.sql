-- The roles, and the functions that say who acts and what that role may see. Needs CREATEROLE, not superuser: the master user of RDS and Aurora
-- will do. Roles belong to the cluster, so they may exist.

do $$
declare
    role_name text;
begin
    foreach role_name in array '{exportbox_requester,exportbox_adhoc,exportbox_worker,exportbox_operator,exportbox_reader}'::text[] loop
        if not exists (select from pg_roles where rolname = role_name) then
            begin
                execute format('create role %I nologin', role_name);
            exception
                -- Another database of this cluster is being migrated at the same moment.
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise exception using errcode = 'EB070', message = format('role "%s" is missing and %I may not create it', role_name, current_user),
                        hint = format('Run as an administrator: create role %I nologin; then migrate again.', role_name);
            end;
        end if;
    end loop;
end
$$;

grant usage on schema exportbox to exportbox_requester, exportbox_worker, exportbox_operator, exportbox_reader;
grant exportbox_reader to exportbox_operator; -- guard: no role of requesters
grant exportbox_reader to exportbox_worker;

-- The daemon and the commands refuse a schema that is not theirs; the runner of the migrations has made this table.
grant select on exportbox.schema_history to exportbox_reader;

create function exportbox.acting_role() returns text
language sql stable
return coalesce(nullif(current_setting('role'), 'none'), session_user); -- guard: role
comment on function exportbox.acting_role() is 'Who acts: the role of SET ROLE, else the login. Inside a SECURITY DEFINER function, where current_user is its owner, only this tells.';
grant execute on function exportbox.acting_role() to exportbox_worker, exportbox_operator;

-- A body without quotes is bound to these very operators now. One in quotes would be read by the search path of whoever looks, who could
-- bring an equality of its own and see everything.
create function exportbox.may_see(requested_by text) returns boolean
language sql stable
return requested_by = current_user or pg_has_role(current_user, 'exportbox_reader', 'usage'); -- guard: own rows
comment on function exportbox.may_see(text) is 'Readers see every export, others their own.';
grant execute on function exportbox.may_see(text) to exportbox_requester, exportbox_operator, exportbox_reader;

create function exportbox.mask(address text) returns text
language sql immutable parallel safe
return case when address like 'erased:%' then 'erased'
    else left(address, 1) || '***@' || split_part(address, '@', 2) -- guard: mask
    end;
comment on function exportbox.mask(text) is 'a***@example.com';
grant execute on function exportbox.mask(text) to exportbox_requester, exportbox_operator, exportbox_reader;
