//! Working jobs off: by exportbox with a handler that does nothing, and by the least SQL that can do it.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use chrono::Utc;
use clap::Parser;
use exportbox::config::{DatabaseArgs, Settings, WorkArgs};
use exportbox::daemon::{Daemon, aws_config_with};
use exportbox::job::{Attempt, Manifest, ManifestPart, Outcome};
use exportbox::queue::Lease;
use exportbox::worker::{Budget, Handler};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::fill;

/// Jobs in one batch of the floor.
const BATCH: i64 = 100;

/// A handler that does nothing: every export is done at once, with one file of two bytes.
struct Nothing;

#[async_trait]
impl Handler for Nothing {
    async fn handle(&self, lease: &Lease, _: &Attempt) -> Outcome {
        let part = ManifestPart { key: format!("{}/{}", lease.job_id(), lease.token()), bytes: 2, checksum: None };
        Outcome::Exported(Manifest {
            bucket: "exports".into(),
            parts: vec![part],
            rows: 1,
            content_type: "text/csv".into(),
            filename: "export.csv".into(),
            as_of: Utc::now(),
        })
    }
}

/// The settings of a worker, as its command line has them.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    work: WorkArgs,
}

/// Drain every export that is due, so many at once, with the daemon as it is but for the handler. Returns how many there were.
pub async fn by_exportbox(url: &str, slots: usize) -> anyhow::Result<usize> {
    let slots = slots.to_string();
    let args = [
        "bench",
        "--database-url",
        url,
        "--bucket",
        "exports",
        "--mail",
        "file:/nowhere",
        "--mail-from",
        "a@example.com",
        "--slots",
        &slots,
    ];
    let args = Args::try_parse_from(args)?;
    let settings = Settings::resolve(&args.database, &args.work)?;
    let aws = aws_config_with(|loader| loader.region("eu-west-1").no_credentials()).await;
    let daemon = Daemon::start_with(settings, &aws, &aws).await?.handling(Arc::new(Nothing));
    let (tally, _) = daemon.drain(Budget::default(), CancellationToken::new()).await.context("drain")?;
    Ok(tally.exported)
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
