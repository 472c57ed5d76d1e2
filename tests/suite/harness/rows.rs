//! Rows of the private tables: what no view shows of them, changes that make time pass or put a job where a test wants it, and locks.
//!
//! Tests read the views. Where they cannot, they come here, so that these tables have their names in the harness and in few other places.

use exportbox::job::{Kind, LeaseToken};
use exportbox::queue::Lease;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use super::World;

/// What `from` names to read jobs with the columns that the view `jobs` leaves out, as `job`.
pub const JOBS: &str = "(select jobs.*, job.leases, job.lease_token, job.not_after, job.timeout, job.report, job.params, job.created_at
    from exportbox.jobs join exportbox.job using (id)) as job";
/// The same of attempts, as `attempt`.
pub const ATTEMPTS: &str =
    "(select attempts.*, attempt.lease_token, attempt.xact_start, attempt.more_pids, attempt.bucket, attempt.object_key,
        attempt.upload_id, attempt.swept_at, attempt.sweep_after
    from exportbox.attempts join exportbox.attempt using (job_id, number)) as attempt";
/// The manifest, as `object`, with the attempt that stored each file.
pub const OBJECTS: &str = "exportbox.object";
/// The processes that work, as `worker`: no view shows them one by one.
pub const WORKERS: &str = "exportbox.worker";
/// What is on hold, with the instants of the probes.
pub const HOLDS: &str = "exportbox.control";

impl World {
    /// Change jobs: `set` is what UPDATE sets, `which` a condition on columns of the table.
    pub async fn set_jobs(&self, set: &str, which: &str) {
        self.sql(&format!("update exportbox.job set {set} where {which}")).await;
    }

    /// Change the jobs that mail an export's file.
    pub async fn set_mail_jobs(&self, export: Uuid, set: &str) {
        self.sql(&change_mail_jobs(export, set)).await;
    }

    /// Change attempts; `which` is a condition on columns of [`ATTEMPTS`].
    pub async fn set_attempts(&self, set: &str, which: &str) {
        let found = format!("select attempt.lease_token from {ATTEMPTS} where {which}");
        self.sql(&format!("update exportbox.attempt set {set} where lease_token in ({found})")).await;
    }

    /// Change the mails of an export.
    pub async fn set_deliveries(&self, export: Uuid, set: &str) {
        let found = format!("select id from exportbox.deliveries where export_id = '{export}'");
        self.sql(&format!("update exportbox.message set {set} where id in ({found})")).await;
    }

    /// Change the manifest of an export.
    pub async fn set_objects(&self, export: Uuid, set: &str) {
        self.sql(&format!("update exportbox.object set {set} where export_id = '{export}'")).await;
    }

    /// What became of an export's files is forgotten.
    pub async fn forget_objects(&self, export: Uuid) {
        self.sql(&format!("delete from exportbox.object where export_id = '{export}'")).await;
    }

    /// Files that the attempt of this lease has made visible.
    pub async fn objects_of(&self, lease: LeaseToken) -> i64 {
        self.row(&format!("select count(*) from {OBJECTS} where lease_token = $1"), &[&lease.0]).await.get(0)
    }

    /// Change all notices, and what their jobs wait for.
    pub async fn set_notices(&self, set: &str, of_jobs: &str) {
        self.sql(&format!("update exportbox.message set {set} where origin = 'failure'")).await;
        self.set_jobs(of_jobs, "kind = 'message' and export_id is null").await;
    }

    /// The row of an export's own job as JSON, with the columns that no view shows.
    pub async fn export_job(&self, export: Uuid) -> Value {
        let job = format!("select to_jsonb(job) from {JOBS} where export_id = $1 and kind = 'export'");
        self.row(&job, &[&export]).await.get(0)
    }

    /// There never was a request, and nothing ever happened.
    pub async fn forget_everything(&self) {
        self.sql("truncate exportbox.outbox cascade; delete from exportbox.event").await;
    }

    /// There are no jobs any more.
    pub async fn forget_jobs(&self) {
        self.sql("delete from exportbox.job").await;
    }

    /// How many transactions the completed jobs of a kind were written by.
    pub async fn transactions_that_completed(&self, kind: Kind) -> i64 {
        let written = "select count(distinct xmin::text) from exportbox.job where state = 'completed' and kind = $1";
        self.row(written, &[&kind.as_str()]).await.get(0)
    }

    /// Tell every process that works what an application or an operator would tell it.
    pub async fn notify(&self, payload: &str) {
        self.sql(&format!("select pg_notify(channel, '{payload}') from {WORKERS}")).await;
    }

    /// Processes that are marked as asleep.
    pub async fn asleep(&self) -> i64 {
        self.count(&format!("select count(*) from {WORKERS} where waiting_until > now()")).await
    }

    /// What every process lets run at once over all processes; `null`: no limit.
    pub async fn set_source_slots(&self, slots: &str) {
        self.sql(&format!("update {WORKERS} set source_slots = {slots}")).await;
    }

    /// Wait until so many processes listen.
    pub async fn until_so_many_listen(&self, count: i64) {
        self.until(&format!("select count(*) = {count} from {WORKERS} where listener_pid is not null")).await;
    }

    /// Vacuum jobs and attempts; `how` is an option of VACUUM or nothing.
    pub async fn vacuum(&self, how: &str) {
        self.sql(&format!("vacuum {how} exportbox.job, exportbox.attempt")).await;
    }

    /// Let others see a job only where this condition says so; none: all jobs again.
    pub async fn guard_jobs(&self, condition: Option<&str>) {
        let guard = condition.map_or("disable row level security".into(), |using| {
            format!("enable row level security; create policy guard on exportbox.job using ({using})")
        });
        self.sql(&format!("alter table exportbox.job {guard}")).await;
    }

    /// Every job runs once more under its last lease, which has expired, as if nobody had reaped it.
    pub async fn lose_again(&self) {
        let held = "state = 'running', lease_token = (select lease_token from exportbox.attempt where job_id = job.id), worker = 'lost'";
        self.set_jobs(&format!("{held}, lease_expires_at = now() - interval '1 s', deadline_at = now() + interval '1 h'"), "true").await;
        let open = "finished_at = null, outcome = null, error_class = null, error = null, sweep_after = '-infinity'";
        self.set_attempts(open, "true").await;
    }

    /// Put a kind of job on hold as a wrong setting does, with a probe at this instant, an SQL expression; `null`: until a person lets it go.
    pub async fn hold(&self, kind: &str, class: &str, reason: &str, probe_at: &str) {
        let hold = "insert into exportbox.control (scope, error_class, reason, probe_at)";
        self.sql(&format!("{hold} values ('{kind}', '{class}', $r${reason}$r$, {probe_at})")).await;
    }

    /// Holds are probed at this instant, an SQL expression.
    pub async fn set_probes(&self, probe_at: &str) {
        self.sql(&format!("update exportbox.control set probe_at = {probe_at}")).await;
    }

    /// Nothing is on hold any more.
    pub async fn lift_holds(&self) {
        self.sql("delete from exportbox.control").await;
    }

    /// Note an event of an export.
    pub async fn note_event(&self, export: Uuid, kind: &str) {
        self.sql(&format!("insert into exportbox.event (export_id, kind) values ('{export}', '{kind}')")).await;
    }

    /// Take a lease away behind its worker's back, and close its attempt; the job may be claimed again from this instant on, an SQL expression.
    pub async fn take_leases_away(&self, run_at: &str) {
        self.set_jobs(&format!("run_at = {run_at}, {TAKEN}"), "state = 'running'").await;
        self.set_attempts("finished_at = now(), outcome = 'reaped'", "finished_at is null").await;
    }

    /// How many rows a table has, whatever the views show of them.
    pub async fn rows_of(&self, table: &str) -> i64 {
        self.count(&format!("select count(*) from exportbox.{table}")).await
    }
}

/// What UPDATE sets to make a running job wait again.
pub const TAKEN: &str = "state = 'pending', lease_token = null, lease_expires_at = null, deadline_at = null, worker = null";

/// Changes the jobs that mail an export's file.
pub fn change_mail_jobs(export: Uuid, set: &str) -> String {
    format!("update exportbox.job set {set} where export_id = '{export}' and kind = 'message'")
}

/// Begin a transaction that holds these jobs; `which` is a condition on columns of the table, and may end in ORDER BY and LIMIT.
pub async fn hold_jobs(client: &Client, which: &str) {
    client.batch_execute(&format!("begin; select from exportbox.job where {which} for update")).await.unwrap();
}

/// Begin a transaction that holds the mail that this lease is for.
pub async fn hold_delivery(client: &Client, lease: &Lease) {
    client.batch_execute(&format!("begin; select from exportbox.message where id = '{}' for update", lease.job_id())).await.unwrap();
}

/// Begin a transaction that holds the attempt of this lease.
pub async fn hold_attempt(client: &Client, lease: &Lease) {
    client
        .batch_execute(&format!("begin; select from exportbox.attempt where lease_token = '{}' for update", lease.token().0))
        .await
        .unwrap();
}

/// Begin a transaction that keeps everybody else from the jobs.
pub async fn lock_jobs(client: &Client) {
    client.batch_execute("begin; lock table exportbox.job in access exclusive mode").await.unwrap();
}

/// Begin a transaction that keeps everybody else from reading what is on hold.
pub async fn lock_holds(client: &Client) {
    client.batch_execute("begin; lock table exportbox.control in access exclusive mode").await.unwrap();
}
