//! Jobs in bulk, past the door: triggers and foreign keys are off, and what is written is what they would have let through.

use anyhow::Context;
use tokio_postgres::Client;

use crate::Wanted;

/// Finished jobs in one statement of the history.
const CHUNK: usize = 500_000;

/// What a history is in.
pub const EVERY_TABLE: &str = "exportbox.outbox, exportbox.job, exportbox.attempt, exportbox.object, exportbox.message";

/// Past every trigger, in a session of a superuser.
const PAST_THE_DOOR: &str = "set session_replication_role = replica";

/// Nothing was ever requested here.
pub async fn empty(admin: &Client) -> anyhow::Result<()> {
    admin.batch_execute(PAST_THE_DOOR).await?;
    let emptied = admin.batch_execute("truncate exportbox.outbox, exportbox.job, exportbox.attempt, exportbox.object cascade").await;
    emptied.context("empty the job tables")?;
    admin.batch_execute("reset session_replication_role").await.context("reset session_replication_role")
}

/// So many exports without mails, due now.
pub async fn due(admin: &Client, jobs: usize) -> anyhow::Result<()> {
    let insert = format!(
        "with requested as (
             insert into exportbox.outbox (query, requested_by) select 'select 1', 'app' from generate_series(1, {jobs}) returning id
         )
         insert into exportbox.job (id, export_id, kind) select requested.id, requested.id, 'export' from requested"
    );
    admin.batch_execute(PAST_THE_DOOR).await?;
    admin.batch_execute(&insert).await.context("preload jobs")?;
    admin.batch_execute("reset session_replication_role").await?;
    settled(admin, "exportbox.outbox, exportbox.job").await
}

/// What a long life leaves: 10 million finished jobs (an export and its mail in turn), a million that wait for a later instant, 100,000 dead.
pub async fn history(admin: &Client, wanted: Wanted) -> anyhow::Result<()> {
    let finished = wanted.sized(10_000_000) / 2;
    let (waiting, dead) = (wanted.sized(1_000_000), wanted.sized(100_000));
    // Of the same size as the rest of the table's keys: ids in the order of time, tokens all over.
    let setup = format!(
        "{PAST_THE_DOOR};
         set synchronous_commit = off;
         create function pg_temp.export_id(n bigint) returns uuid language sql immutable
             return (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || left(md5(n::text), 12))::uuid;
         create function pg_temp.mail_id(n bigint) returns uuid language sql immutable
             return (lpad(to_hex(1700000000000 + n), 12, '0') || '70018000' || left(md5(n::text), 12))::uuid;
         create function pg_temp.token(job bigint) returns uuid language sql immutable return md5(job::text)::uuid"
    );
    admin.batch_execute(&setup).await.context("prepare the history")?;
    for first in (1..=finished).step_by(CHUNK) {
        let last = (first + CHUNK - 1).min(finished);
        admin.batch_execute(&finished_exports(first, last)).await.context("write finished jobs")?;
        eprintln!("          {} of {} finished jobs are there", last * 2, finished * 2);
    }
    let last = finished + waiting + dead;
    let others = format!(
        "insert into exportbox.outbox (id, query, requested_by, requested_at)
             select pg_temp.export_id(n), 'select 1', 'app', now() - interval '1 day' from generate_series({finished} + 1, {last}) as n;
         insert into exportbox.job (id, export_id, kind, run_at)
             select pg_temp.export_id(n), pg_temp.export_id(n), 'export', now() + interval '1 day' + n * interval '1 second'
             from generate_series({finished} + 1, {finished} + {waiting}) as n;
         insert into exportbox.job (id, export_id, kind, state, attempt, leases, started_at, finished_at, error_class, error)
             select pg_temp.export_id(n), pg_temp.export_id(n), 'export', 'dead', 5, 1, now() - interval '1 day', now() - interval '1 day', 'query', 'Planted.'
             from generate_series({finished} + {waiting} + 1, {last}) as n;
         insert into exportbox.attempt (lease_token, job_id, number, worker, started_at, finished_at, outcome)
             select pg_temp.token(2 * n), pg_temp.export_id(n), 1, 'w', now() - interval '1 day', now() - interval '1 day', 'buried'
             from generate_series({finished} + {waiting} + 1, {last}) as n;
         drop function pg_temp.export_id(bigint), pg_temp.mail_id(bigint), pg_temp.token(bigint);
         reset synchronous_commit;
         reset session_replication_role"
    );
    admin.batch_execute(&others).await.context("write waiting and dead jobs")?;
    eprintln!("          {waiting} that wait and {dead} dead ones are there, vacuuming");
    settled(admin, EVERY_TABLE).await
}

/// Of each export in turn: the request, its job, what it stored, its mail.
fn finished_exports(first: usize, last: usize) -> String {
    let numbers = format!("generate_series({first}::bigint, {last}) as n");
    let at = "now() - interval '1 day' - n * interval '1 second'";
    format!(
        "insert into exportbox.outbox (id, query, recipients, requested_by, requested_at)
             select pg_temp.export_id(n), 'select 1', '{{ann@example.com}}', 'app', {at} from {numbers};
         insert into exportbox.job (id, export_id, kind, state, attempt, leases, run_at, created_at, started_at, finished_at)
             select case mail when 0 then pg_temp.mail_id(n) else pg_temp.export_id(n) end, pg_temp.export_id(n),
                 case mail when 0 then 'message' else 'export' end, 'completed', 1, 1, {at}, {at}, {at}, {at}
             from {numbers} cross join generate_series(0, 1) as mail;
         insert into exportbox.attempt (lease_token, job_id, number, worker, started_at, finished_at, outcome, bucket, object_key, rows, bytes)
             select pg_temp.token(2 * n - mail), case mail when 0 then pg_temp.mail_id(n) else pg_temp.export_id(n) end, 1, 'w', {at}, {at}, 'completed',
                 case mail when 1 then 'exports' end, case mail when 1 then 'k/' || n end, 100, 10000
             from {numbers} cross join generate_series(0, 1) as mail;
         insert into exportbox.object (export_id, part, lease_token, bucket, key, bytes, rows, content_type, filename, as_of)
             select pg_temp.export_id(n), 1, pg_temp.token(2 * n - 1), 'exports', 'k/' || n, 10000, 100, 'text/csv', 'export.csv', {at} from {numbers};
         insert into exportbox.message (id, origin, recipient, status, provider, message_id)
             select pg_temp.mail_id(n), 'export', 'ann@example.com', 'accepted', 'ses', 'm' || n from {numbers}"
    )
}

/// Nothing is left to autovacuum or to a checkpoint that would come in the middle of what is measured. Only tables that hold something: one that
/// was vacuumed empty is planned for as if it stayed so.
pub async fn settled(admin: &Client, tables: &str) -> anyhow::Result<()> {
    admin.batch_execute(&format!("vacuum (analyze) {tables}")).await.with_context(|| format!("vacuum {tables}"))?;
    admin.batch_execute("checkpoint").await.context("checkpoint")
}
