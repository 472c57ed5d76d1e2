//! Attempts by hand: what a worker does step by step, and how one makes time pass for it.

use std::path::PathBuf;

use exportbox::admin::Admin;
use exportbox::database::{DatabaseUrl, Pool};
use exportbox::job::{Manifest, ManifestPart, Note, ObjectKey, Outcome};
use exportbox::queue::{FreeSlots, Lease, Queue, Reaped, Scan};
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use super::jobs::everything;
use super::rows::{ATTEMPTS, JOBS, WORKERS};
use super::{World, connect};

/// A query that gives one row as soon as the gate is open.
pub const GATED: &str = "select 1 as one from (select pg_advisory_xact_lock_shared(1)) as gate";

/// Holds up every gated query of its world until it is opened.
pub struct Gate(Client);

impl Gate {
    /// Let them pass.
    pub async fn open(self) {
        self.0.batch_execute("select pg_advisory_unlock_all()").await.unwrap();
    }
}

impl World {
    /// Hold up every [`GATED`] query from now on.
    pub async fn gate(&self) -> Gate {
        let holder = self.another_admin().await;
        holder.batch_execute("select pg_advisory_lock(1)").await.unwrap();
        Gate(holder)
    }

    /// Another connection as superuser, to hold rows with.
    pub async fn another_admin(&self) -> Client {
        connect(&self.server().superuser_url_for(&self.database)).await
    }

    /// Request so many exports in one statement.
    pub async fn request_many(&self, count: i32, query: &str) -> Vec<Uuid> {
        let insert = "insert into exportbox.outbox (query) select $1 from generate_series(1, $2) returning id";
        self.app().await.query(insert, &[&query, &count]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// The job tables as a worker sees them that reaches them another way, through a proxy for instance.
    pub fn queue_over(&self, worker: &str, url: &str) -> Queue {
        Queue::new(self.pool(worker, &DatabaseUrl::parse(url).unwrap()), self.settings.policy.clone())
    }

    /// The job tables as people see them, over connections of their own.
    pub fn people(&self, name: &str) -> Admin {
        self.people_over(name, &self.daemon_url())
    }

    /// The same for people who reach them another way.
    pub fn people_over(&self, name: &str, url: &str) -> Admin {
        Admin::new(self.pool(name, &DatabaseUrl::parse(url).unwrap()))
    }

    /// Connections of that name.
    pub fn pool(&self, name: &str, database: &DatabaseUrl) -> Pool {
        let policy = &self.settings.policy;
        Pool::for_worker(database, name.to_string(), policy.lease, policy.connections)
    }

    /// Claim as a worker of that name with so many free slots.
    pub async fn claim(&self, worker: &str, exports: usize, deliveries: usize) -> Vec<Lease> {
        self.queue(worker).cycle(FreeSlots { exports, messages: deliveries }, Scan::Full).await.unwrap().leases
    }

    /// Request one export and claim it.
    pub async fn claimed(&self, worker: &str, recipients: &[&str]) -> Lease {
        self.request("select 1 as one", recipients).await;
        self.claim(worker, 1, 0).await.pop().unwrap()
    }

    /// Request so many exports and claim them all.
    pub async fn claimed_many(&self, worker: &str, count: usize) -> Vec<Lease> {
        self.request_many(i32::try_from(count).unwrap(), "select 1 as one").await;
        let leases = self.claim(worker, count, 0).await;
        assert_eq!(leases.len(), count);
        leases
    }

    /// The delivery of a completed export, claimed. Other jobs than this world's first ones are not expected.
    pub async fn claimed_delivery(&self, worker: &str) -> Lease {
        let lease = self.claimed(worker, &["ann@example.com"]).await;
        let manifest = self.made_by(&lease);
        self.queue(worker).settle(lease, Outcome::Exported(manifest)).await.unwrap();
        self.claim(worker, 0, 1).await.pop().unwrap()
    }

    /// What an attempt would have stored.
    pub fn made_by(&self, lease: &Lease) -> Manifest {
        let key = ObjectKey::new("exports", lease.export_id().unwrap(), lease.token(), "export.csv").full();
        Manifest {
            bucket: "exports".into(),
            parts: vec![ManifestPart { key, bytes: 4, checksum: None }],
            rows: 1,
            content_type: "text/csv".into(),
            filename: "export.csv".into(),
            as_of: chrono::Utc::now(),
        }
    }

    /// An attempt that was reaped and has left a file: its lease, and the file on the store's disk.
    pub async fn lost_attempt_with_a_file(&self) -> (Uuid, PathBuf) {
        let lease = self.claimed("lost", &[]).await;
        let key = self.made_by(&lease).parts[0].key.clone();
        let path = self.s3.dir().join("exports").join(&key);
        let note = Note::Store { bucket: "exports".into(), key, upload_id: None };
        self.queue("lost").note(lease.token(), &note).await.unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "left").unwrap();
        self.let_leases_lapse().await;
        assert_eq!(self.reap().await.len(), 1);
        (lease.token().0, path)
    }

    /// Let every lease run out, as if nothing had been heard of its worker.
    pub async fn let_leases_lapse(&self) {
        self.set_jobs("lease_expires_at = now() - interval '1 second'", "state = 'running'").await;
    }

    /// End lost leases, as any other process does in its cycle; nothing is claimed.
    pub async fn reap(&self) -> Vec<Reaped> {
        self.queue("reaper").cycle(FreeSlots { exports: 0, messages: 0 }, Scan::Full).await.unwrap().reaped
    }

    /// Let every back-off end.
    pub async fn let_back_offs_end(&self) {
        self.set_jobs("run_at = now()", "state = 'pending'").await;
    }

    /// The job's row as JSON.
    pub async fn job(&self, id: Uuid) -> Value {
        self.row(&format!("select to_jsonb(job) from {JOBS} where id = $1"), &[&id]).await.get(0)
    }

    /// The row of the attempt that held this lease.
    pub async fn attempt(&self, lease: &Lease) -> Value {
        self.row(&format!("select to_jsonb(attempt) from {ATTEMPTS} where lease_token = $1"), &[&lease.token().0]).await.get(0)
    }

    /// Kinds of the events of an export, oldest first.
    pub async fn history(&self, export_id: Uuid) -> Vec<String> {
        let events = "select kind from exportbox.events where export_id = $1 order by id";
        self.admin.query(events, &[&export_id]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Everything that the job tables say, to prove that nothing has changed.
    pub async fn tables(&self) -> Value {
        everything(&self.admin).await
    }

    /// Wait until the query of this export stands before the gate.
    pub async fn until_at_gate(&self, id: Uuid) {
        let at_gate = "wait_event_type = 'Lock' and wait_event = 'advisory'";
        self.until(&format!("select count(*) = 1 from pg_stat_activity where application_name = 'exportbox export {id}' and {at_gate}"))
            .await;
    }

    /// Wait until no server process works for this export any more.
    pub async fn until_query_is_gone(&self, id: Uuid) {
        self.until(&format!("select count(*) = 0 from pg_stat_activity where application_name = 'exportbox export {id}'")).await;
    }

    /// Wait until a worker has run no bookkeeping statement for this long.
    pub async fn until_silent(&self, worker: &str, interval: &str) {
        let name = format!("exportbox {worker}");
        self.until(&format!(
            "select bool_and(state = 'idle' and clock_timestamp() - state_change > interval '{interval}')
             from pg_stat_activity where application_name = left('{name}', 63)"
        ))
        .await;
    }

    /// Wait until a daemon has marked itself as asleep and runs no more statements.
    pub async fn until_asleep(&self, worker: &str) {
        self.until(&format!("select waiting_until > now() from {WORKERS} where id = '{worker}'")).await;
        self.until_silent(worker, "300 ms").await;
    }
}

/// The same lease once more: a worker that does not know that it has lost it.
pub fn stale(lease: &Lease) -> Lease {
    lease.stale()
}
