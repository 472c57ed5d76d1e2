//! Working jobs off: by exportbox with a handler that does nothing, and by the least SQL that can do it.

use anyhow::Context;
use chrono::Utc;
use exportbox::database::DatabaseUrl;
use exportbox::job::{Lease, Manifest, ManifestPart, Outcome, State};
use exportbox::queue::{Policy, Queue, Room, Settled};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::fill;

/// Jobs in one batch of the floor.
const BATCH: i64 = 100;

/// Work off every export that is due, so many at once: claim, fence and history are exportbox's own, the export itself is nothing. Returns how
/// many there were.
pub async fn by_exportbox(url: &str, slots: usize) -> anyhow::Result<usize> {
    let queue = Queue::new(&DatabaseUrl::parse(url)?, format!("bench:{}", std::process::id()), Policy::default());
    let mut attempts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut worked = 0;
    loop {
        let cycle = queue.cycle(Room { exports: slots, deliveries: 0 }).await.context("claim")?;
        if cycle.leases.is_empty() {
            if cycle.thorough_in.is_none() {
                return Ok(worked);
            }
            // Nothing lies behind the last look: make sure of the rest.
            queue.be_thorough();
        }
        for lease in cycle.leases {
            attempts.spawn(nothing(queue.clone(), lease));
        }
        while let Some(settled) = attempts.join_next().await {
            settled??;
            worked += 1;
        }
    }
}

async fn nothing(queue: Queue, lease: Lease) -> anyhow::Result<()> {
    let part = ManifestPart { key: format!("{}/{}", lease.export_id, lease.token), bytes: 2, checksum: None };
    let manifest = Manifest {
        bucket: "exports".into(),
        parts: vec![part],
        rows: 1,
        content_type: "text/csv".into(),
        filename: "export.csv".into(),
        as_of: Utc::now(),
    };
    let settled = queue.settle(lease, Outcome::Exported(manifest)).await.context("settle")?;
    anyhow::ensure!(settled == Settled::Done(State::Completed), "a job was not completed: {settled:?}");
    Ok(())
}

/// A queue without anything: one table, one index for what is pending.
pub async fn make_bare_queue(admin: &Client) -> anyhow::Result<()> {
    let create = "create table bare_job (
             id bigint generated always as identity primary key, state text not null default 'pending', run_at timestamptz not null default now(),
             priority smallint not null default 5, payload jsonb not null
         );
         create index bare_job_pending on bare_job (priority, run_at, id) where state = 'pending'";
    admin.batch_execute(create).await.context("make the bare queue")
}

/// The bare queue with so many jobs and nothing else.
pub async fn fill_bare_queue(admin: &Client, jobs: usize) -> anyhow::Result<()> {
    let fill = format!(
        "truncate bare_job; insert into bare_job (payload) select jsonb_build_object('query', 'select 1') from generate_series(1, {jobs})"
    );
    admin.batch_execute(&fill).await.context("fill the bare queue")?;
    fill::settled(admin, "bare_job").await
}

/// Work off the bare queue: two statements a batch over one connection. Returns how many there were.
pub async fn by_bare_sql(client: &Client) -> anyhow::Result<usize> {
    let claim = "update bare_job set state = 'running' where id in (
            select id from bare_job where state = 'pending' and run_at <= now() order by priority, run_at, id limit $1 for update skip locked
        ) returning id";
    let claim = client.prepare(claim).await.context("prepare the bare claim")?;
    let finish = client.prepare("update bare_job set state = 'completed' where id = any($1)").await.context("prepare the bare end")?;
    let mut worked = 0;
    loop {
        let rows = client.query(&claim, &[&BATCH]).await.context("claim a bare batch")?;
        if rows.is_empty() {
            return Ok(worked);
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        client.execute(&finish, &[&ids]).await.context("finish a bare batch")?;
        worked += rows.len();
    }
}
