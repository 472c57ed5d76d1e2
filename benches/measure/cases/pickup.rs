//! Pick-up: from the commit of a request to its claim by a process that slept, against one NOTIFY round trip on the same server.

use std::collections::HashSet;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::process::Child;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};
use uuid::Uuid;

use crate::Wanted;
use crate::line::{Costs, Goal, Line, percentile};
use crate::stand::Stand;

/// The export waits for this lock, so that its claim can be looked at before it ends.
const GATE: i64 = 4711;

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for workers in [1, 20] {
        let stand = Stand::start(&[("track_commit_timestamp", "on")]).await?;
        let mut children: Vec<Child> = Vec::new();
        for number in 1..=workers {
            children.push(stand.run(&[]).await.with_context(|| format!("start worker {number} of {workers}"))?);
        }
        let bench = Bench::new(&stand, workers).await?;
        lines.extend(bench.timed(wanted).await?);
        lines.push(bench.woken(wanted).await?);
        for mut child in children {
            child.kill().await.context("end a worker")?;
        }
    }
    Ok(lines)
}

struct Bench<'a> {
    stand: &'a Stand,
    app: Client,
    workers: i64,
}

impl Bench<'_> {
    async fn new(stand: &Stand, workers: i64) -> anyhow::Result<Bench<'_>> {
        Ok(Bench { stand, app: stand.connect(&stand.app_url()).await.context("connect the application")?, workers })
    }

    /// Request after request to sleeping workers; a NOTIFY of our own after each.
    async fn timed(&self, wanted: Wanted) -> anyhow::Result<Vec<Line>> {
        let (_listening, mut notes) = self.listener(&["bench".into()]).await?;
        let (mut typical, mut rare) = (Vec::new(), Vec::new());
        for round in 1..=wanted.rounds {
            let (mut begun, mut figures, mut floors) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..wanted.sized(1000).div_ceil(wanted.rounds) {
                let (began, claimed) = self.request().await?;
                begun.push(began);
                figures.push(claimed);
                floors.push(notified(&self.app, &mut notes).await?);
            }
            for (rounds, share) in [(&mut typical, 0.5), (&mut rare, 0.99)] {
                rounds.push((percentile(&figures, share), percentile(&floors, share)));
            }
            let [began, claimed] = [&begun, &figures].map(|of| percentile(of, 0.5));
            eprintln!("          round {round} of {}: median {claimed:.2} ms; the claim began after {began:.2} ms", wanted.rounds);
        }
        let case = |share: &str| format!("pick-up, {}, {share}", self.whom());
        Ok(vec![Line::new(case("p50"), "ms", &typical, Goal::AtMost(1.0)), Line::new(case("p99"), "ms", &rare, Goal::AtMost(3.0))])
    }

    /// How many wakes a request sends that it did not need: overheard on the channels of all workers, and not timed.
    async fn woken(&self, wanted: Wanted) -> anyhow::Result<Line> {
        let rows = self.stand.admin.query("select channel from exportbox.worker", &[]).await.context("ask for the channels")?;
        let (_overhearing, mut notes) = self.listener(&rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()).await?;
        let requests = wanted.sized(200);
        self.stand.statements().await?;
        for _ in 0..requests {
            self.request().await?;
        }
        let statements = self.stand.statements_of(&format!("a request with {}", self.whom()), requests as f64).await?;
        let (mut wakes, mut channels) = (0, HashSet::new());
        while let Ok(note) = notes.try_recv() {
            wakes += 1;
            channels.insert(note.channel().to_owned());
        }
        eprintln!("          {requests} requests woke {wakes} times, {} different workers", channels.len());
        let extra = (wakes as f64 - requests as f64) / requests as f64;
        let case = format!("pick-up, {}, woken for nothing", self.whom());
        let costs = Costs { statements: Some(statements), ..Costs::default() };
        Ok(Line::alone(case, "wakes", vec![extra], Goal::AtMost(0.0)).costing(costs))
    }

    fn whom(&self) -> String {
        if self.workers == 1 { "one worker".into() } else { format!("{} workers", self.workers) }
    }

    /// From the moment the application knows that it has committed to the start of the claim, and to its commit, in milliseconds. Begins with all
    /// asleep.
    async fn request(&self) -> anyhow::Result<(f64, f64)> {
        let admin = &self.stand.admin;
        self.all_asleep().await?;
        admin.execute("select pg_advisory_lock($1)", &[&GATE]).await.context("close the gate")?;
        let insert = format!("insert into exportbox.outbox (query) values ('select pg_advisory_xact_lock_shared({GATE})') returning id");
        let id: Uuid = self.app.query_one(&insert, &[]).await.context("request an export")?.get(0);
        // The server's clock is this machine's.
        let committed = Utc::now();
        let claim = self.claim_of(id).await?;
        admin.execute("select pg_advisory_unlock($1)", &[&GATE]).await.context("open the gate")?;
        let done = format!("select state = 'completed' from exportbox.job where export_id = '{id}'");
        self.stand.until(&done).await?;
        let [began, claimed] = claim.map(|at| (at - committed).as_seconds_f64() * 1e3);
        Ok((began, claimed))
    }

    /// Its start and its commit. Nothing but the claim has written the job's row as long as it runs.
    async fn claim_of(&self, id: Uuid) -> anyhow::Result<[DateTime<Utc>; 2]> {
        let committed = "select job.started_at, pg_xact_commit_timestamp(job.xmin) from exportbox.job where job.export_id = $1 and job.state = 'running'";
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(120) {
            // Seldom: who asks takes a core from whom it asks about.
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Some(row) = self.stand.admin.query_opt(committed, &[&id]).await.context("look at a claim")? {
                return Ok([row.get(0), row.get(1)]);
            }
        }
        anyhow::bail!("a request was not claimed within two minutes")
    }

    /// All are marked as asleep, and none has said anything for a moment.
    async fn all_asleep(&self) -> anyhow::Result<()> {
        let asleep = format!(
            "select (select count(*) from exportbox.worker where waiting_until > clock_timestamp()) = {}
                and not exists (select from pg_stat_activity where usename = 'exportbox_daemon'
                    and (state <> 'idle' or state_change > clock_timestamp() - interval '20 ms'))",
            self.workers
        );
        self.stand.until(&asleep).await
    }

    async fn listener(&self, channels: &[String]) -> anyhow::Result<(Client, UnboundedReceiver<Notification>)> {
        let (client, mut connection) = tokio_postgres::connect(&self.stand.admin_url(), NoTls).await.context("connect the listener")?;
        let (send, notes) = unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(note) = message {
                    // Nobody listens any more at the end.
                    let _ = send.send(note);
                }
            }
        });
        let listen: Vec<String> = channels.iter().map(|channel| format!("listen {channel}")).collect();
        client.batch_execute(&listen.join(";")).await.context("listen")?;
        Ok((client, notes))
    }
}

/// From asking for a NOTIFY to its arrival in another session, in milliseconds.
async fn notified(client: &Client, notes: &mut UnboundedReceiver<Notification>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    client.batch_execute("notify bench").await.context("notify")?;
    notes.recv().await.context("the listener ended")?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
