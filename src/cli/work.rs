//! `run` and `drain`, and how signals stop them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{EXIT_BUDGET, EXIT_DEAD, EXIT_USAGE, usage};
use crate::admin::Remaining;
use crate::config::{DatabaseArgs, Settings, WorkArgs};
use crate::daemon::Daemon;
use crate::worker::{Budget, Tally};

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// The address for /metrics (Prometheus), /health and /ready, for example 127.0.0.1:9187. Default: none
    #[arg(long, env = "EXPORTBOX_HTTP", value_name = "ADDRESS:PORT")]
    http: Option<String>,
}

#[derive(Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// Start nothing after this time, and before it no export whose report usually takes longer than the time that is left. What still runs
    /// at the end has EXPORTBOX_GRACE to finish, and is given back after that
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| humantime::parse_duration(text).map_err(|_| "write a duration such as 90s, 15m or 24h"))]
    max_runtime: Option<Duration>,
    /// Start no more than this many jobs (an export and each of its mails are jobs)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_jobs: Option<u32>,
    /// Wait a random time of up to this long before anything else, so that the drains of one schedule do not all begin in the same second. It
    /// counts against --max-runtime
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| humantime::parse_duration(text).map_err(|_| "write a duration such as 30s or 2m"))]
    start_delay: Option<Duration>,
    /// Print the summary as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &DatabaseArgs, args: &RunArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::resolve(database, &args.work).map_err(usage)?;
    let stop = stop_on_signal()?;
    let (place, slots) = (settings.database.to_string(), settings.work.slots);
    let daemon = Daemon::start(settings).await?;
    tracing::info!(worker = daemon.name(), database = place, slots, version = env!("CARGO_PKG_VERSION"), "working");
    let mut listening = None;
    if let Some(address) = args.http.as_deref().filter(|address| !address.is_empty()) {
        let http = daemon.listen(address, stop.clone()).await.map_err(|error| usage(error.into()))?;
        tracing::info!(http.address = %http.address, "listening");
        listening = Some(http);
    }
    let tally = daemon.run(stop).await?;
    drop(listening);
    tracing::info!(
        claimed = tally.claimed,
        exported = tally.exported,
        mailed = tally.mailed,
        retried = tally.retried,
        dead = tally.dead,
        "stopped"
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn drain(database: &DatabaseArgs, args: &DrainArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::resolve(database, &args.work).map_err(usage)?;
    let stop = stop_on_signal()?;
    let started = Instant::now();
    if let Some(longest) = args.start_delay {
        let delay = longest.mul_f64(fastrand::f64());
        tracing::info!(delay_ms = delay.as_millis(), "waiting before it starts");
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
    let max_runtime = args.max_runtime.map(|limit| limit.saturating_sub(started.elapsed()));
    let daemon = Daemon::start(settings).await?;
    let budget = Budget { max_runtime, max_jobs: args.max_jobs.map(|jobs| jobs as usize) };
    let is_capped = daemon.is_capped();
    let (tally, left) = daemon.drain(budget, stop.clone()).await?;
    let code = verdict(&tally, &left, is_capped || stop.is_cancelled());
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        let mut summary = serde_json::to_value(tally)?;
        summary["due"] = json!(left.due);
        summary["too_long"] = json!(left.too_long);
        summary["waiting"] = json!(left.waiting);
        summary["paused"] = json!(left.paused);
        summary["running_elsewhere"] = json!(left.running_elsewhere);
        summary["next_due_at"] = json!(left.next_due_at);
        summary["on_hold"] = json!(left.on_hold);
        summary["duration_s"] = json!((seconds * 1000.0).round() / 1000.0);
        summary["exit_code"] = json!(code);
        println!("{summary}");
    } else {
        println!(
            "drained in {seconds:.1} s: {} exported, {} mailed, {} to retry, {} dead, {} cancelled, {} expired; left: {} due{}, {} waiting, {} paused, {} running elsewhere{}",
            tally.exported,
            tally.mailed,
            tally.retried,
            tally.dead,
            tally.cancelled,
            tally.expired,
            left.due,
            if left.too_long > 0 { format!(" ({} of them usually take longer than what was left)", left.too_long) } else { String::new() },
            left.waiting,
            left.paused,
            left.running_elsewhere,
            left.next_due_at.map(|at| format!(", next due {}", at.format("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default(),
        );
        if let Some(reason) = &left.on_hold {
            println!("on hold: {reason}");
        }
    }
    Ok(code.into())
}

/// The exit code, as the documentation promises it. A wrong setting comes first, because nothing gets better before somebody corrects it. A drain
/// that ended by itself has looked at everything: what became due after that is left to the next drain.
fn verdict(tally: &Tally, left: &Remaining, was_cut_short: bool) -> u8 {
    if left.on_hold.is_some() {
        EXIT_USAGE
    } else if left.due > 0 && (tally.budget_spent || left.too_long > 0 || was_cut_short) {
        EXIT_BUDGET
    } else if tally.dead > 0 {
        EXIT_DEAD
    } else {
        0
    }
}

/// A token that SIGTERM and SIGINT cancel. The second signal ends the process with 128 + its number.
///
/// # Errors
/// The process may not handle signals.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => 15,
                _ = interrupt.recv() => 2,
            };
            if asked.is_cancelled() {
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "stopping; a second signal exits at once");
            asked.cancel();
        }
    });
    Ok(stop)
}
