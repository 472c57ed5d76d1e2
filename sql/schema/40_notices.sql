-- Mails about what failed: notices to the recipients of exports that died, and the operators' digest. Collected, so that a storm of failures is
-- no storm of mails; claimed, fenced and settled like deliveries, but beside the jobs, so that nothing of this costs a claim anything.

create table exportbox.notice (
    id            uuid not null default gen_random_uuid(),
    kind          text not null,
    recipient     text not null,
    status        text not null default 'pending',
    planned_at    timestamptz not null default now(),
    due_at        timestamptz not null default now(),
    covers_from   timestamptz,
    covers_until  timestamptz,
    attempt       smallint not null default 0,
    lease_token   uuid,
    provider      text,
    message_id    text,
    error_class   text,
    error         text,
    created_at    timestamptz not null default now(),
    finished_at   timestamptz,
    constraint notice_pkey primary key (id),
    constraint notice_kind_known check (kind in ('failure', 'digest')),
    constraint notice_status_known check (status in ('pending', 'sending', 'unknown', 'accepted', 'dead', 'cancelled')),
    constraint notice_lease_iff_sending check ((status = 'sending') = (lease_token is not null)),
    constraint notice_finished_when_final check (case when status in ('accepted', 'dead', 'cancelled') then finished_at is not null
        when status in ('pending', 'sending') then finished_at is null else true end),
    constraint notice_digest_covers_a_time check ((kind = 'digest') = (covers_from is not null) and (kind = 'digest') = (covers_until is not null))
);
comment on table exportbox.notice is 'One row per mail about failures: to a recipient of exports that died, or to an operator.';
comment on column exportbox.notice.id is 'Carried by the mail as a header and tag.';
comment on column exportbox.notice.kind is 'failure: to a recipient of exports. digest: to an operator.';
comment on column exportbox.notice.recipient is 'The address.';
comment on column exportbox.notice.status is 'As of a delivery: sending is stamped before the provider is called; unknown is a crash or a lost reply, final when finished_at is set.';
comment on column exportbox.notice.planned_at is 'When it was to be sent at first. The next one to the same recipient is planned a window later.';
comment on column exportbox.notice.due_at is 'When it is to be sent (again); while it is being sent, when whoever sends it is taken for lost.';
comment on column exportbox.notice.covers_from is 'Of a digest: what died from then on,';
comment on column exportbox.notice.covers_until is 'and before then.';
comment on column exportbox.notice.attempt is 'Attempts so far.';
comment on column exportbox.notice.lease_token is 'Made new by each claim; settling names it.';
comment on column exportbox.notice.provider is 'ses, smtp or file.';
comment on column exportbox.notice.message_id is 'The provider''s id of the message.';
comment on column exportbox.notice.error_class is 'Class of the last error.';
comment on column exportbox.notice.error is 'The last error in our own words.';
comment on column exportbox.notice.created_at is 'When the first failure was put into it.';
comment on column exportbox.notice.finished_at is 'Set when nothing is to be done any more.';
comment on index exportbox.notice_pkey is 'Read by claim_notice, settle_notice and the key of notice_export.';
create index notice_open on exportbox.notice (due_at) where finished_at is null;
comment on index exportbox.notice_open is 'Read by claim_notice and next_notice.';
create index notice_recipient on exportbox.notice (lower(recipient), planned_at);
comment on index exportbox.notice_recipient is 'Read by gather_failures and erase.';
create unique index notice_gathering on exportbox.notice (lower(recipient)) where kind = 'failure' and status = 'pending' and attempt = 0;
comment on index exportbox.notice_gathering is 'A recipient has one notice at a time that failures are put into, whoever does it.';
create unique index notice_digest on exportbox.notice (covers_until, lower(recipient)) where kind = 'digest';
comment on index exportbox.notice_digest is 'An operator gets one digest for a time, whoever makes it; read by gather_digest.';
grant select, insert, update, delete on exportbox.notice to exportbox_worker;

create table exportbox.notice_export (
    notice_id uuid not null,
    export_id uuid not null,
    constraint notice_export_pkey primary key (notice_id, export_id),
    constraint notice_export_notice_fkey foreign key (notice_id) references exportbox.notice (id) on delete cascade,
    constraint notice_export_export_fkey foreign key (export_id) references exportbox.outbox (id) on delete cascade
);
comment on table exportbox.notice_export is 'What a failure notice speaks of.';
comment on column exportbox.notice_export.notice_id is 'The notice.';
comment on column exportbox.notice_export.export_id is 'An export that died.';
comment on index exportbox.notice_export_pkey is 'Read by load_failures and the notices view; a notice speaks of an export once.';
create index notice_export_export on exportbox.notice_export (export_id);
comment on index exportbox.notice_export_export is 'Read by the cascade from outbox and by the notices view.';
grant select, insert on exportbox.notice_export to exportbox_worker;

create view exportbox.notices with (security_barrier) as
select notice.id, notice.kind, case when pg_has_role(current_user, 'exportbox_operator', 'usage') then notice.recipient
        else exportbox.mask(notice.recipient) end as recipient,
    notice.status, notice.planned_at, notice.due_at, notice.covers_from, notice.covers_until,
    (select count(*) from exportbox.notice_export where notice_export.notice_id = notice.id) as exports,
    notice.attempt as attempts, notice.provider, notice.message_id, notice.error_class, notice.error, notice.created_at, notice.finished_at
from exportbox.notice
where pg_has_role(current_user, 'exportbox_reader', 'usage');
comment on view exportbox.notices is 'One row per mail about failures.';
comment on column exportbox.notices.id is 'The notice; the mail carries it.';
comment on column exportbox.notices.kind is 'failure: to a recipient of exports that died. digest: to an operator.';
comment on column exportbox.notices.recipient is 'The address, masked except for operators.';
comment on column exportbox.notices.status is 'pending, sending, unknown, accepted, dead or cancelled: nothing of it was dead any more, or the person was erased.';
comment on column exportbox.notices.planned_at is 'When it was to be sent at first.';
comment on column exportbox.notices.due_at is 'When it is to be sent (again); while it is being sent, the end of its lease.';
comment on column exportbox.notices.covers_from is 'Of a digest: what died from then on,';
comment on column exportbox.notices.covers_until is 'and before then.';
comment on column exportbox.notices.exports is 'Of a failure notice: how many exports it speaks of.';
comment on column exportbox.notices.attempts is 'How often it was started.';
comment on column exportbox.notices.provider is 'ses, smtp or file.';
comment on column exportbox.notices.message_id is 'The provider''s id.';
comment on column exportbox.notices.error_class is 'Class of the last error.';
comment on column exportbox.notices.error is 'The last error in words.';
comment on column exportbox.notices.created_at is 'When the first failure was put into it.';
comment on column exportbox.notices.finished_at is 'When nothing was to be done any more.';
grant select on exportbox.notices to exportbox_operator, exportbox_reader;
