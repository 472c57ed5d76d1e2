//! Rows of a past that never was: jobs and exports in any number and state, for tests of what a statement reads and of what is due.
//!
//! Foreign keys and triggers are off while they are written: they are rows of a history, not requests.

use uuid::Uuid;

use super::World;

/// A job of an export that nobody has requested, as a statement.
pub fn job(export: Uuid, columns: &str, values: &str) -> String {
    format!("insert into exportbox.job (id, export_id, {columns}) values ('{export}', '{export}', {values});\n")
}

/// The first attempt of such a job, as a statement.
pub fn attempt(export: Uuid, columns: &str, values: &str) -> String {
    format!(
        "insert into exportbox.attempt (lease_token, job_id, number, {columns})
            select gen_random_uuid(), id, 1, {values} from exportbox.job where export_id = '{export}';\n"
    )
}

/// A hold of a kind of job with this instant of its probe, as a statement.
pub fn hold(kind: &str, probe_at: &str) -> String {
    format!("insert into exportbox.control (scope, error_class, reason, probe_at) values ('{kind}', 'store_config', 'Why.', {probe_at});\n")
}

/// A process that works, as a statement; more columns each follow a comma.
pub fn worker(columns: &str, values: &str) -> String {
    format!("insert into exportbox.worker (id, channel, version, slots{columns}) values ('w', 'c', '1', 4{values});\n")
}

/// Nothing of what these statements write is left, as a statement.
pub const NOTHING: &str =
    "delete from exportbox.outbox; delete from exportbox.attempt; delete from exportbox.job; delete from exportbox.message;
    delete from exportbox.pause; delete from exportbox.control; delete from exportbox.worker; delete from exportbox.last_drain;
    delete from exportbox.schedule;\n";

/// What a hundred thousand finished jobs leave behind, and a little of what is alive.
const OF_JOBS: &str = "
    create temp table numbered as select n, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid as id from generate_series(1, 200110) as n;
    insert into exportbox.job (id, export_id, kind, state, finished_at, error_class, error)
        select id, id, case when n % 2 = 0 then 'export' else 'message' end, case when n % 100 = 0 then 'dead' else 'completed' end,
            now() - n * interval '1 minute', case when n % 100 = 0 then 'query' end, case when n % 100 = 0 then 'Planted.' end
        from numbered where n <= 100000;
    insert into exportbox.attempt (lease_token, job_id, number, worker, finished_at, outcome, bucket, object_key)
        select gen_random_uuid(), id, 1, 'w', now() - n * interval '1 minute', 'completed', 'exports', 'k' || n from numbered where n <= 100000;
    insert into exportbox.message (id, origin, recipient, status, provider)
        select id, 'export', 'ann@example.com', 'accepted', 'ses' from numbered where n <= 100000 and n % 2 = 1;
    insert into exportbox.event (export_id, kind) select gen_random_uuid(), 'reaped' from generate_series(1, 100000) as n;
    insert into exportbox.job (id, export_id, kind, run_at) select id, id, 'export', now() from numbered where n between 200001 and 200020;
    insert into exportbox.job (id, export_id, kind, state, lease_token, worker, lease_expires_at, deadline_at)
        select id, id, 'export', 'running', gen_random_uuid(), 'w', now() + interval '1 minute', now() + interval '1 hour'
        from numbered where n > 200100;
    insert into exportbox.attempt (lease_token, job_id, number, worker) select lease_token, id, 1, 'w' from exportbox.job where state = 'running'";

/// So many finished exports, each with its mail and its event, and behind them a little of everything that is not over with. A temporary table
/// `asked` says what they are.
const OF_EXPORTS: &str = "
    create temp table asked as
        select n, (lpad(to_hex(1700000000000 + n * 60), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid as id,
            now() - ($count + 100 - n) * interval '1 minute' as at,
            case when n > $count + 60 then 'pending' when n > $count + 40 then 'running' when n > $count + 20 then 'delivering'
                when n % $every = 0 then 'dead' when n % $every = 1 then 'cancelled' else 'completed' end as state
        from generate_series(1, $count + 80) as n;
    insert into exportbox.outbox (id, query, recipients, requested_by, requested_at)
        select id, 'select 1', '{ann@example.com}', 'app', at from asked order by n;
    insert into exportbox.job (id, export_id, kind, state, created_at, finished_at, error_class, error, lease_token, worker, lease_expires_at, deadline_at)
        select id, id, 'export', job_state, at, case when job_state in ('completed', 'dead', 'cancelled') then at end,
            case when job_state = 'dead' then 'query' end, case when job_state = 'dead' then 'Planted.' end,
            case when job_state = 'running' then gen_random_uuid() end, case when job_state = 'running' then 'w' end,
            case when job_state = 'running' then now() + interval '1 hour' end, case when job_state = 'running' then now() + interval '1 hour' end
        from asked cross join lateral (select case state when 'delivering' then 'completed' else state end as job_state) as job order by n;
    insert into exportbox.job (id, export_id, kind, state, created_at, finished_at)
        select (left(id::text, 24) || lpad(n::text, 12, 'f'))::uuid, id, 'message', case state when 'delivering' then 'pending' else 'completed' end, at, case when state = 'completed' then at end
        from asked where state in ('completed', 'delivering') order by n;
    insert into exportbox.attempt (lease_token, job_id, number, worker, finished_at, outcome)
        select coalesce(lease_token, gen_random_uuid()), id, 1, 'w', finished_at, case when finished_at is not null then 'completed' end
        from exportbox.job where state <> 'pending' order by id;
    insert into exportbox.object (export_id, part, lease_token, bucket, key, bytes, rows, content_type, filename, as_of)
        select export_id, 1, gen_random_uuid(), 'b', 'k' || id, 1000, 10, 'text/csv', 'f', created_at
        from exportbox.job where kind = 'export' and state = 'completed' order by id;
    insert into exportbox.message (id, origin, recipient, status, provider)
        select id, 'export', 'ann@example.com', case state when 'completed' then 'accepted' else 'pending' end, 'ses'
        from exportbox.job where kind = 'message' order by id;
    insert into exportbox.event (export_id, kind) select id, 'reaped' from asked order by n";

impl World {
    /// Run statements that write rows of a history.
    pub async fn plant_rows(&self, statements: &str) {
        self.sql(&format!("set session_replication_role = replica; {statements}; set session_replication_role = origin")).await;
    }

    /// So many jobs; `values` may speak of their number `n`, from 1.
    pub async fn plant_jobs(&self, count: usize, columns: &str, values: &str) {
        let rows =
            format!("select id, id, {values} from (select gen_random_uuid() as id, n from generate_series(1, {count}) as n) as numbered");
        self.plant_rows(&format!("insert into exportbox.job (id, export_id, {columns}) {rows}")).await;
    }

    /// The same, and what the planner knows of them.
    pub async fn plant_analyzed_jobs(&self, count: usize, columns: &str, values: &str) {
        self.plant_jobs(count, columns, values).await;
        self.sql("analyze exportbox.job").await;
    }

    /// A hundred thousand finished jobs, half of them exports, some of them dead, with all that hangs on them, and a little of what is alive.
    pub async fn plant_history_of_jobs(&self) {
        self.plant_rows(OF_JOBS).await;
        self.sql("analyze exportbox.job, exportbox.attempt, exportbox.message, exportbox.event").await;
    }

    /// So many finished exports, every so-manieth dead and one cancelled beside it, with all that hangs on them, and a few of each other state.
    pub async fn plant_history_of_exports(&self, count: u32, every: u32) {
        self.plant_rows(&OF_EXPORTS.replace("$count", &count.to_string()).replace("$every", &every.to_string())).await;
    }

    /// Exports of the reports `near` and `far` in turns: one attempt each, and the latest forty in three minutes, others in an hour.
    pub async fn plant_history_of_reports(&self, count: usize) {
        let columns = "kind, state, report, leases, finished_at";
        let report = "case when n % 2 = 0 then 'near' else 'far' end";
        self.plant_jobs(count, columns, &format!("'export', 'completed', {report}, 1, now() - n * interval '1 minute'")).await;
        self.plant_rows(
            "insert into exportbox.attempt (lease_token, job_id, number, worker, started_at, finished_at, outcome)
                select gen_random_uuid(), id, 1, 'w', finished_at - case when row_number() over (order by finished_at desc) <= 40
                    then interval '3 minutes' else interval '1 hour' end, finished_at, 'completed'
                from exportbox.job",
        )
        .await;
    }

    /// Requests for all jobs that are there.
    pub async fn plant_requests(&self) {
        self.plant_rows("insert into exportbox.outbox (id, query) select export_id, 'select 1' from exportbox.job").await;
        self.sql("analyze exportbox.outbox").await;
    }
}
