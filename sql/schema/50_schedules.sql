-- Schedules: what is due when. Their rows only ever insert requests, by the same door and under the same checks as everybody's; when an expression
-- is due is reckoned by the daemon, which knows cron, and what is due is requested here, which knows who may.

create table exportbox.schedule (
    name           text not null,
    cron           text not null,
    time_zone      text not null,
    requester      text not null,
    report         text not null,
    params         jsonb not null default '{}',
    recipients     text[] not null default '{}',
    format         text not null default 'csv',
    compression    text not null default 'none',
    format_options jsonb not null default '{}',
    filename       text,
    priority       smallint not null default 5,
    timeout        interval,
    max_attempts   smallint,
    link_ttl       interval,
    subject        text,
    message        text,
    metadata       jsonb not null default '{}',
    catch_up       text not null default 'latest',
    catch_up_limit integer not null default 31,
    late_after     interval not null default '1 hour',
    last_due_at    timestamptz,
    next_due_at    timestamptz not null default '-infinity',
    last_export_id uuid,
    refusals       integer not null default 0,
    error          text,
    disabled_at    timestamptz,
    created_at     timestamptz not null default now(),
    created_by     text not null default exportbox.acting_role(),
    constraint schedule_pkey primary key (name),
    constraint schedule_name_is_plain check (name ~ '^[a-z][a-z0-9_.-]{0,62}$'),
    constraint schedule_catch_up_known check (catch_up in ('none', 'latest', 'all')),
    constraint schedule_limits check (catch_up_limit between 1 and 1000 and late_after > interval '0')
);
comment on table exportbox.schedule is 'What is requested when. A row of it only ever inserts rows of the outbox, one for each due instant.';
comment on column exportbox.schedule.name is 'Together with the due instant the idempotency key of its requests.';
comment on column exportbox.schedule.cron is 'Five fields: minute, hour, day of month, month, day of week.';
comment on column exportbox.schedule.time_zone is 'The IANA time zone that its clock shows.';
comment on column exportbox.schedule.requester is 'The role whose requests these are. Whoever registered the schedule may become it.';
comment on column exportbox.schedule.report is 'Name in the catalogue; always its current version.';
comment on column exportbox.schedule.params is 'As a request''s; {"due": "start of previous month"} is reckoned from the due instant.';
comment on column exportbox.schedule.recipients is 'As a request''s.';
comment on column exportbox.schedule.format is 'As a request''s.';
comment on column exportbox.schedule.compression is 'As a request''s.';
comment on column exportbox.schedule.format_options is 'As a request''s.';
comment on column exportbox.schedule.filename is 'As a request''s; {due} and {name of a parameter} are filled in.';
comment on column exportbox.schedule.priority is 'As a request''s.';
comment on column exportbox.schedule.timeout is 'As a request''s.';
comment on column exportbox.schedule.max_attempts is 'As a request''s.';
comment on column exportbox.schedule.link_ttl is 'As a request''s.';
comment on column exportbox.schedule.subject is 'As a request''s; filled in as filename is.';
comment on column exportbox.schedule.message is 'As a request''s; filled in as filename is.';
comment on column exportbox.schedule.metadata is 'As a request''s; "schedule" and "due_at" are added.';
comment on column exportbox.schedule.catch_up is 'Of several instants that have passed: latest requests the newest, all each of them, none the newest if it is not late.';
comment on column exportbox.schedule.catch_up_limit is 'The most that all requests at once, the newest ones.';
comment on column exportbox.schedule.late_after is 'An instant that is found later than this is late: none passes it over.';
comment on column exportbox.schedule.last_due_at is 'The last instant that was come to, whether it was requested or refused.';
comment on column exportbox.schedule.next_due_at is 'The next instant; -infinity: the next process that looks reckons it; infinity: never, see error.';
comment on column exportbox.schedule.last_export_id is 'Its last request.';
comment on column exportbox.schedule.refusals is 'Instants in a row whose request was refused.';
comment on column exportbox.schedule.error is 'Why the last one was refused; null: it was not.';
comment on column exportbox.schedule.disabled_at is 'Set: it requests nothing.';
comment on column exportbox.schedule.created_at is 'When this definition was registered.';
comment on column exportbox.schedule.created_by is 'Who registered it.';
comment on index exportbox.schedule_pkey is 'Read by request_scheduled, register_schedule, switch_schedule and the schedules view.';
create index schedule_due on exportbox.schedule (next_due_at) where disabled_at is null;
comment on index exportbox.schedule_due is 'Read by due_schedules and next_due.';
-- When, and nothing of what: the worker cannot change a schedule, nor request anything but what is due.
grant select (name, cron, time_zone, catch_up, catch_up_limit, late_after, next_due_at, disabled_at) on exportbox.schedule to exportbox_worker;

create function exportbox.due_value(expression jsonb, due timestamptz, time_zone text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY'
as $$
declare
    said constant text := expression ->> 'due';
    word constant text[] := regexp_match(said,
        '^(?:(due)|(yesterday|today|tomorrow)|(start|end) of (previous|this|next) (day|week|month|quarter|year))(?: ([+-]) ([0-9]{1,4}) (minute|hour|day|week|month|quarter|year)s?)?$');
    on_clock constant timestamp := due at time zone time_zone;
    -- A quarter is no unit of an interval.
    step constant interval := case when word[5] is not null then case word[5] when 'quarter' then '3 months' else '1 ' || word[5] end end;
    shift constant interval := coalesce((word[6] || word[7] || case word[8] when 'quarter' then ' months' else ' ' || word[8] end)::interval
        * case word[8] when 'quarter' then 3 else 1 end, '0');
    day timestamp;
begin
    if word is null or (word[1] is null and word[8] in ('minute', 'hour')) or jsonb_typeof(expression -> 'due') <> 'string'
        or exists (select from jsonb_each(expression) as e where e.key not in ('due', 'format') or jsonb_typeof(e.value) <> 'string') then
        raise exception using errcode = 'EB081', message = format('%s is no date that can be reckoned from a due instant', left(expression::text, 200)),
            hint = 'Write {"due": "start of previous month"}: due, yesterday, today, tomorrow, or start|end of previous|this|next day|week|month|quarter|year, then '
                || 'perhaps + or - a number of days, weeks, months, quarters or years (of due also minutes and hours); and perhaps "format": "YYYY-MM".';
    end if;
    if word[1] is not null then
        -- Minutes and hours pass, days are turned over on the clock.
        due := case when word[8] in ('minute', 'hour') then due + shift else (on_clock + shift) at time zone time_zone end;
        return case when expression ? 'format' then to_char(due at time zone time_zone, expression ->> 'format')
            else to_char(due, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') end;
    end if;
    day := case
        when word[2] is not null then date_trunc('day', on_clock) + case word[2] when 'yesterday' then -1 when 'today' then 0 else 1 end * interval '1 day'
        else date_trunc(word[5], on_clock) + case word[4] when 'previous' then -1 when 'this' then 0 else 1 end * step
            + case word[3] when 'end' then step - interval '1 day' else interval '0' end
    end + shift;
    return case when expression ? 'format' then to_char(day, expression ->> 'format') else day::date::text end;
end
$$;
comment on function exportbox.due_value(jsonb, timestamptz, text) is
    'A date reckoned from a due instant by the clock of a time zone: {"due": "start of previous month"}, {"due": "yesterday", "format": "YYYYMMDD"}.';
-- For trying a date before it is registered.
grant execute on function exportbox.due_value(jsonb, timestamptz, text) to exportbox_operator;

create function exportbox.due_params(params jsonb, due timestamptz, time_zone text) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(p.key, case when jsonb_typeof(p.value) = 'object' and p.value ? 'due'
        then to_jsonb(exportbox.due_value(p.value, due, time_zone)) else p.value end), '{}')
    from jsonb_each(params) as p
$$;
comment on function exportbox.due_params(jsonb, timestamptz, text) is 'The values of a schedule''s request for one due instant.';
-- For trying a date before it is registered.
grant execute on function exportbox.due_params(jsonb, timestamptz, text) to exportbox_operator;

create function exportbox.fill_in(template text, params jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    name text;
    value text;
begin
    for name, value in select p.key, p.value from jsonb_each_text(params) as p loop
        template := replace(template, '{' || name || '}', coalesce(value, ''));
    end loop;
    return template;
end
$$;
comment on function exportbox.fill_in(text, jsonb) is 'A text with the values in place of their names in braces.';

create function exportbox.scheduled_request(schedule exportbox.schedule, due timestamptz) returns exportbox.outbox
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    request exportbox.outbox;
    words jsonb;
begin
    request.id := exportbox.new_id();
    request.report := schedule.report;
    request.params := exportbox.due_params(schedule.params, due, schedule.time_zone);
    words := request.params || jsonb_build_object('due', (due at time zone schedule.time_zone)::date::text);
    request.recipients := schedule.recipients;
    request.format := schedule.format;
    request.compression := schedule.compression;
    request.format_options := schedule.format_options;
    request.filename := exportbox.fill_in(schedule.filename, words);
    request.run_at := now();
    request.priority := schedule.priority;
    request.timeout := schedule.timeout;
    request.max_attempts := schedule.max_attempts;
    request.link_ttl := schedule.link_ttl;
    request.subject := exportbox.fill_in(schedule.subject, words);
    request.message := exportbox.fill_in(schedule.message, words);
    request.metadata := schedule.metadata || jsonb_build_object('schedule', schedule.name,
        'due_at', to_char(due at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
    request.idempotency_key := format('schedule:%s:%s', schedule.name, request.metadata ->> 'due_at');
    request.requested_by := schedule.requester;
    return request;
end
$$;
comment on function exportbox.scheduled_request(exportbox.schedule, timestamptz) is 'The request that a schedule makes for one due instant.';

create function exportbox.check_scheduled(schedule exportbox.schedule, due timestamptz) returns exportbox.outbox
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY'
as $$
declare
    request exportbox.outbox;
begin
    -- The door is an INSERT, which this role must have been granted; whether it still is, is asked each time.
    if not exists (select from pg_roles where rolname = schedule.requester and pg_has_role(rolname, 'exportbox_requester', 'usage')) then
        raise exception using errcode = 'EB082', message = format('role "%s" may not request exports', schedule.requester),
            hint = format('Have an administrator run: grant exportbox_requester to %I; or name another requester.', schedule.requester);
    end if;
    -- A date without a zone is one of the schedule's clock.
    perform set_config('timezone', schedule.time_zone, true);
    request := exportbox.scheduled_request(schedule, due);
    perform exportbox.check_request(request);
    return request;
end
$$;
comment on function exportbox.check_scheduled(exportbox.schedule, timestamptz) is 'Refuse what the door would refuse for this due instant; else give the request.';

create function exportbox.check_schedule(schedule exportbox.schedule) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(schedule.name, '') !~ '^[a-z][a-z0-9_.-]{0,62}$' then
        raise exception using errcode = 'EB080', message = 'a schedule''s name starts with a lower-case letter and has up to 63 letters, digits, "_", "-" and "."';
    end if;
    if coalesce(schedule.cron, '') !~ '^(@[a-z]+|[0-9A-Za-z*/,#?-]+( [0-9A-Za-z*/,#?-]+){4})$' then
        raise exception using errcode = 'EB080', message = 'cron must have five fields: minute, hour, day of month, month, day of week',
            hint = 'For example ''0 6 1 * *'': at 06:00 on the first of each month.';
    end if;
    if not exists (select from pg_timezone_names where name = schedule.time_zone) then
        raise exception using errcode = 'EB080', message = format('"%s" is no time zone', left(schedule.time_zone, 100)),
            hint = 'Use a name of the IANA database such as Europe/Berlin, or UTC.';
    end if;
    if schedule.report is null then
        raise exception using errcode = 'EB080', message = 'a schedule needs a report', hint = 'Give a name from the catalogue.';
    end if;
    if schedule.catch_up not in ('none', 'latest', 'all') or schedule.catch_up_limit not between 1 and 1000
        or schedule.late_after <= interval '0' then
        raise exception using errcode = 'EB080', message = 'what is to become of instants that were missed is not clear',
            hint = 'Set catch_up to none, latest or all, catch_up_limit to 1 to 1000, and late_after to an interval such as 1 hour.';
    end if;
    -- Nobody gets another's rights: what a requester may have, only those schedule who may become it.
    if not exists (select from pg_roles where rolname = schedule.requester
        and pg_has_role(exportbox.acting_role(), pg_roles.oid, 'member') -- guard: own roles
    ) then
        raise exception using errcode = 'EB082', message = format('role "%s" may not schedule requests of "%s"', exportbox.acting_role(), schedule.requester),
            hint = 'Name a role that you are a member of as requester, or have one of its members register the schedule.';
    end if;
end
$$;
comment on function exportbox.check_schedule(exportbox.schedule) is 'Every rule of a schedule but those of its requests.';

create function exportbox.register_schedule(
    name text,
    cron text,
    report text,
    time_zone text default null,
    params jsonb default null,
    recipients text[] default null,
    requester text default null,
    format text default null,
    compression text default null,
    format_options jsonb default null,
    filename text default null,
    priority integer default null,
    timeout interval default null,
    max_attempts integer default null,
    link_ttl interval default null,
    subject text default null,
    message text default null,
    metadata jsonb default null,
    catch_up text default null,
    catch_up_limit integer default null,
    late_after interval default null,
    next_due_at timestamptz default null
) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    given exportbox.schedule;
    known exportbox.schedule;
    is_known boolean;
    -- What the daemon has written since the registration, and who registered it when.
    kept constant text[] := '{last_due_at,next_due_at,last_export_id,refusals,error,created_at,created_by}';
begin
    given.name := register_schedule.name;
    given.cron := regexp_replace(btrim(register_schedule.cron), '\s+', ' ', 'g');
    given.time_zone := coalesce(register_schedule.time_zone, 'UTC');
    given.requester := coalesce(register_schedule.requester, exportbox.acting_role());
    given.report := register_schedule.report;
    given.params := coalesce(register_schedule.params, '{}');
    given.recipients := coalesce(register_schedule.recipients, '{}');
    given.format := coalesce(register_schedule.format, 'csv');
    given.compression := coalesce(register_schedule.compression, 'none');
    given.format_options := coalesce(register_schedule.format_options, '{}');
    given.filename := register_schedule.filename;
    given.priority := greatest(-1, least(coalesce(register_schedule.priority, 5), 32767));
    given.timeout := register_schedule.timeout;
    given.max_attempts := case when register_schedule.max_attempts is not null then greatest(-1, least(register_schedule.max_attempts, 32767)) end;
    given.link_ttl := register_schedule.link_ttl;
    given.subject := register_schedule.subject;
    given.message := register_schedule.message;
    given.metadata := coalesce(register_schedule.metadata, '{}');
    given.catch_up := coalesce(register_schedule.catch_up, 'latest');
    given.catch_up_limit := coalesce(register_schedule.catch_up_limit, 31);
    given.late_after := coalesce(register_schedule.late_after, '1 hour');
    perform exportbox.check_schedule(given);
    if jsonb_typeof(given.params) <> 'object' or jsonb_typeof(given.metadata) <> 'object' then
        raise exception using errcode = 'EB005', message = 'params and metadata must be JSON objects', hint = 'For example {"month": {"due": "start of previous month"}}.';
    end if;
    -- For the next instant if the caller has reckoned it, else for this one: the dates are others, what is wrong is the same.
    perform exportbox.check_scheduled(given, coalesce(register_schedule.next_due_at, now()));

    perform pg_advisory_xact_lock(hashtext('exportbox.schedule'), hashtext(given.name));
    select s.* into known from exportbox.schedule as s where s.name = given.name for update;
    is_known := found;
    if is_known and to_jsonb(known) - kept = to_jsonb(given) - kept and known.next_due_at < 'infinity' then
        return false;
    end if;
    given.refusals := 0;
    given.created_at := now();
    given.created_by := exportbox.acting_role();
    given.last_due_at := known.last_due_at;
    given.last_export_id := known.last_export_id;
    given.next_due_at := case
        -- What is due already is not lost by a new recipient.
        when known.cron = given.cron and known.time_zone = given.time_zone and known.disabled_at is null and known.next_due_at < 'infinity' then known.next_due_at
        when register_schedule.next_due_at > now() then register_schedule.next_due_at
        else '-infinity'
    end;
    delete from exportbox.schedule as s where s.name = given.name;
    insert into exportbox.schedule select given.*;
    insert into exportbox.event (kind, detail) values ('schedule_registered',
        format('%s for %I%s', given.name, given.requester, case when is_known then ', another definition' else '' end));
    perform exportbox.wake(greatest(given.next_due_at, now()));
    return true;
end
$$;
comment on function exportbox.register_schedule is
    'Add a schedule or replace one, after checking what it would request; the same definition again changes nothing (false). Registering enables it.';
grant execute on function exportbox.register_schedule to exportbox_operator;

create function exportbox.switch_schedule(name text, does text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    known exportbox.schedule;
begin
    -- Whoever is requesting for it ends first.
    select s.* into known from exportbox.schedule as s where s.name = switch_schedule.name for update;
    if not found then
        raise exception using errcode = 'EB083', message = format('there is no schedule "%s"', left(switch_schedule.name, 100)),
            hint = 'Look it up in exportbox.schedules.';
    end if;
    if does = 'dropped' then
        delete from exportbox.schedule as s where s.name = known.name;
    elsif does = 'disabled' and known.disabled_at is null then
        update exportbox.schedule as s set disabled_at = now() where s.name = known.name;
    elsif does = 'enabled' and (known.disabled_at is not null or known.next_due_at = 'infinity') then
        -- From now on: what was due meanwhile was not wanted.
        update exportbox.schedule as s set disabled_at = null, next_due_at = '-infinity', refusals = 0, error = null where s.name = known.name;
        perform exportbox.wake(now());
    else
        return false;
    end if;
    insert into exportbox.event (kind, detail) values ('schedule_' || does, known.name);
    return true;
end
$$;
comment on function exportbox.switch_schedule(text, text) is 'Disable, enable or drop a schedule, and say who did. For functions that operators call.';

create function exportbox.disable_schedule(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    select exportbox.switch_schedule(name, 'disabled');
end;
comment on function exportbox.disable_schedule(text) is 'Request nothing for a schedule from now on; what it has requested goes on. False: it was disabled.';
grant execute on function exportbox.disable_schedule(text) to exportbox_operator;

create function exportbox.enable_schedule(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    select exportbox.switch_schedule(name, 'enabled');
end;
comment on function exportbox.enable_schedule(text) is 'Go on from the next instant; what was due while it was disabled is not caught up. False: it was enabled.';
grant execute on function exportbox.enable_schedule(text) to exportbox_operator;

create function exportbox.drop_schedule(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    select exportbox.switch_schedule(name, 'dropped');
end;
comment on function exportbox.drop_schedule(text) is 'Remove a schedule; what it has requested stays and goes on.';
grant execute on function exportbox.drop_schedule(text) to exportbox_operator;

create function exportbox.request_scheduled(name text, planned timestamptz, dues timestamptz[], next_due timestamptz, passed_over boolean, refusal text)
returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY'
as $$
declare
    schedule exportbox.schedule;
    request exportbox.outbox;
    due timestamptz;
    last_due timestamptz;
    made uuid;
    requested integer := 0;
    refused integer := 0;
    said text := refusal;
    code text;
begin
    select s.* into schedule from exportbox.schedule as s
    where s.name = request_scheduled.name and s.disabled_at is null
        and s.next_due_at = coalesce(planned, '-infinity') -- guard: as planned
    for update skip locked;
    if not found then
        -- Another process was faster.
        return null;
    end if;
    last_due := schedule.last_due_at;
    foreach due in array dues loop
        -- Not what a caller makes up: an instant is past, and later than every one before it.
        if due > now() or due <= last_due then
            raise exception using errcode = 'EB084', message = format('schedule "%s" was not due then', schedule.name);
        end if;
        last_due := due;
        begin
            request := exportbox.check_scheduled(schedule, due);
            perform set_config('exportbox.requested_by', schedule.requester, true), set_config('timezone', schedule.time_zone, true);
            insert into exportbox.outbox (id, report, params, recipients, format, compression, format_options, filename, idempotency_key, run_at,
                priority, timeout, max_attempts, link_ttl, subject, message, metadata)
            values (request.id, request.report, request.params, request.recipients, request.format, request.compression, request.format_options,
                request.filename, request.idempotency_key, request.run_at, request.priority, request.timeout, request.max_attempts,
                request.link_ttl, request.subject, request.message, request.metadata)
            on conflict (requested_by, idempotency_key) do nothing
            returning outbox.id into made;
            if made is not null then
                requested := requested + 1;
                schedule.last_export_id := made;
            end if;
            said := null;
            schedule.refusals := 0;
        exception when others then
            get stacked diagnostics code = returned_sqlstate, said = message_text;
            if left(code, 2) in ('08', '25', '40', '53', '55', '57', '58') then
                -- Not the request's fault: the instant stays due.
                raise;
            end if;
            -- A sentence of our own; the one about addresses quotes one, those of others may hold anything.
            said := case when code = 'EB011' then 'a recipient is not an e-mail address' when code like 'EB%' then said
                else format('the request failed (SQLSTATE %s)', code) end;
            refused := refused + 1;
            schedule.refusals := schedule.refusals + 1;
        end;
        perform set_config('exportbox.requested_by', '', true);
    end loop;
    update exportbox.schedule as s set last_due_at = last_due, next_due_at = coalesce(next_due, 'infinity'), last_export_id = schedule.last_export_id,
        refusals = schedule.refusals, error = case when cardinality(dues) = 0 and refusal is null then schedule.error else said end
    where s.name = schedule.name;
    if said is distinct from schedule.error and said is not null then
        -- Said once, not at each instant.
        insert into exportbox.event (kind, detail) values ('schedule_refused', format('%s: %s', schedule.name, said));
    end if;
    if passed_over then
        insert into exportbox.event (kind, detail) values ('schedule_skipped', format('%s: instants from %s on were passed over (catch_up %s)', schedule.name,
            to_char(planned at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), schedule.catch_up));
    end if;
    return requested;
end
$$;
comment on function exportbox.request_scheduled(text, timestamptz, timestamptz[], timestamptz, boolean, text) is
    'Request what a schedule is due for, as its requester, and move on to its next instant. Once, however many processes ask. Null: another was faster.';
grant execute on function exportbox.request_scheduled(text, timestamptz, timestamptz[], timestamptz, boolean, text) to exportbox_worker;

create view exportbox.schedules with (security_barrier) as
select schedule.name,
    case when schedule.disabled_at is not null then 'disabled' when schedule.next_due_at = 'infinity' or schedule.refusals > 0 then 'refused'
        when schedule.next_due_at = '-infinity' then 'new' else 'active' end as state,
    schedule.cron, schedule.time_zone, schedule.requester, schedule.report, cardinality(schedule.recipients) as recipients,
    schedule.catch_up, schedule.catch_up_limit, schedule.late_after, schedule.last_due_at,
    case when schedule.disabled_at is null and isfinite(schedule.next_due_at) then schedule.next_due_at end as next_due_at,
    schedule.last_export_id, schedule.refusals, schedule.error, schedule.disabled_at, schedule.created_at, schedule.created_by,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') or schedule.requester = current_user
        then jsonb_strip_nulls(jsonb_build_object('params', schedule.params, 'recipients', schedule.recipients, 'format', schedule.format,
            'compression', schedule.compression, 'format_options', schedule.format_options, 'filename', schedule.filename, 'priority', schedule.priority,
            'timeout', schedule.timeout, 'max_attempts', schedule.max_attempts, 'link_ttl', schedule.link_ttl, 'subject', schedule.subject,
            'message', schedule.message, 'metadata', schedule.metadata)) end as request
from exportbox.schedule
where exportbox.may_see(schedule.requester);
comment on view exportbox.schedules is 'What is requested when. Readers see all, requesters their own.';
comment on column exportbox.schedules.name is 'The schedule.';
comment on column exportbox.schedules.state is 'active; new: its first instant is not known yet; refused: see error; disabled.';
comment on column exportbox.schedules.cron is 'Minute, hour, day of month, month, day of week.';
comment on column exportbox.schedules.time_zone is 'The time zone of its expression.';
comment on column exportbox.schedules.requester is 'The role whose requests these are.';
comment on column exportbox.schedules.report is 'The report that it requests.';
comment on column exportbox.schedules.recipients is 'How many get a mail.';
comment on column exportbox.schedules.catch_up is 'What becomes of missed instants: none, latest or all.';
comment on column exportbox.schedules.catch_up_limit is 'With catch_up all: the most instants that are requested at once.';
comment on column exportbox.schedules.late_after is 'From when on an instant is late.';
comment on column exportbox.schedules.last_due_at is 'The last instant that was due, requested or not.';
comment on column exportbox.schedules.next_due_at is 'The next instant; null: not known yet, or there is none.';
comment on column exportbox.schedules.last_export_id is 'Its last request.';
comment on column exportbox.schedules.refusals is 'Instants in a row whose request was refused.';
comment on column exportbox.schedules.error is 'Why the last request was refused; null: it was not.';
comment on column exportbox.schedules.disabled_at is 'Requests nothing since then.';
comment on column exportbox.schedules.created_at is 'When this definition was registered.';
comment on column exportbox.schedules.created_by is 'Who registered it.';
comment on column exportbox.schedules.request is 'What it asks for, addresses and values too; operators and its requester only.';
grant select on exportbox.schedules to exportbox_requester, exportbox_operator, exportbox_reader;
