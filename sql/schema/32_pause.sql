-- Pausing: what people stop and resume, and the view of it.

create function exportbox.pause(scope text, reason text default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    named constant text := substr(pause.scope, 8);
begin
    if pause.scope is null or pause.scope !~ '^(all|exports|deliveries|report:.+|source:.+)$' then
        raise exception using errcode = 'EB065', message = format('"%s" is nothing that can be paused', pause.scope),
            hint = 'Use all, exports, deliveries, report:NAME or source:NAME.';
    end if;
    if pause.scope like 'report:%' and not exists (select from exportbox.report where report.name = named) then
        raise exception using errcode = 'EB065', message = format('there is no report "%s"', named), hint = 'List them with: exportbox report list';
    end if;
    if pause.scope like 'source:%' and named <> 'default' and not exists (select from exportbox.report where report.source = named) then
        raise exception using errcode = 'EB065', message = format('no report runs on a source "%s"', named),
            hint = 'Use default, or a name from the source column of exportbox.report.';
    end if;
    if pause.reason ~ '@' or length(pause.reason) > 500 then
        raise exception using errcode = 'EB065', message = 'the reason holds an address or more than 500 characters',
            hint = 'Everybody who asks why something waits reads it: name a ticket.';
    end if;
    insert into exportbox.pause as p (scope, reason) values (pause.scope, nullif(btrim(pause.reason), '')) on conflict on constraint pause_scope_once do nothing;
    if not found then
        return false;
    end if;
    insert into exportbox.event (kind, detail) values ('paused', concat_ws(': ', pause.scope, nullif(btrim(pause.reason), '')));
    return true;
end
$$;
comment on function exportbox.pause(text, text) is
    'Start nothing more of all, exports, deliveries, report:NAME (its mails too) or source:NAME, until it is resumed. What runs goes on. False: it is paused already.';
grant execute on function exportbox.pause(text, text) to exportbox_worker, exportbox_operator;

create function exportbox.resume(scope text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from exportbox.pause as p where p.scope = resume.scope;
    if not found then
        return false;
    end if;
    insert into exportbox.event (kind, detail) values ('resumed', resume.scope);
    perform exportbox.wake(now());
    return true;
end
$$;
comment on function exportbox.resume(text) is 'End a pause of just that name; others stay. False: there is none.';
grant execute on function exportbox.resume(text) to exportbox_worker, exportbox_operator;

create view exportbox.pauses with (security_barrier) as
select pause.scope, pause.reason, pause.paused_at, pause.paused_by
from exportbox.pause;
comment on view exportbox.pauses is 'What people have paused. Nothing of it is started until it is resumed; what runs goes on.';
comment on column exportbox.pauses.scope is 'all, exports, deliveries, report:NAME (its mails too) or source:NAME.';
comment on column exportbox.pauses.reason is 'Why, in the operator''s words.';
comment on column exportbox.pauses.paused_at is 'Since when.';
comment on column exportbox.pauses.paused_by is 'The role that paused it.';
grant select on exportbox.pauses to exportbox_operator, exportbox_reader;
