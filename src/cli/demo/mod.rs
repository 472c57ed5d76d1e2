//! `demo`: the whole story on one machine with nothing else running. Every claim that it prints, it has checked.

mod daemon;
mod prove;
mod story;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::story::{Expect, Request};
use super::print::{amount, count, printable};
use super::sandbox::prepare;
use super::work::stop_on_signal;
use crate::sandbox::{Sandbox, SandboxOptions};

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Print a summary as one line of JSON, and nothing else
    #[arg(long)]
    json: bool,
    /// Leave everything running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

const DATABASE: &str = "shop";
/// Far more than a slow machine needs. Without a limit, a demo that hangs would wait for ever.
const PATIENCE: Duration = Duration::from_secs(600);

/// What has been checked, printed as it comes.
struct Claims {
    quiet: bool,
    all: Vec<(String, bool)>,
}

impl Claims {
    fn say(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }

    fn check(&mut self, claim: impl Into<String>, holds: bool) {
        let claim = claim.into();
        self.say(&format!("  {} {claim}", if holds { "ok  " } else { "FAIL" }));
        self.all.push((claim, holds));
    }

    fn hold(&self) -> bool {
        self.all.iter().all(|(_, holds)| *holds)
    }
}

pub(super) async fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    let (sandbox, app_url, holds) = tokio::select! {
        played = play(args) => played?,
        // When the future of the play is dropped, so is the sandbox, which removes what it has made.
        () = stop.cancelled() => return Ok(ExitCode::FAILURE),
    };
    if args.keep {
        serve(&sandbox, &app_url, &stop).await?;
    }
    sandbox.stop().await?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Play the story; returns the sandbox it was played in, and whether every claim held.
async fn play(args: &DemoArgs) -> anyhow::Result<(Sandbox, String, bool)> {
    let mut claims = Claims { quiet: args.json, all: Vec::new() };
    claims.say("exportbox demo: insert a row, get a file\n\nStarting a private PostgreSQL, S3 and mailbox …");
    let sandbox = Sandbox::start(SandboxOptions::default()).await?;
    let app_url = prepare(&sandbox, DATABASE).await?;
    let admin = sandbox.connect(DATABASE).await?;
    claims.say("Filling a shop with 1,200,000 orders …");
    let shop = story::Shop::open(&sandbox, &app_url, DATABASE, &admin).await?;
    let daemon = daemon::Process::start(&sandbox, DATABASE)?;
    claims.say(&format!("The daemon runs as process {} and logs to {}.\n\nThe application works:", daemon.pid(), daemon.log().display()));

    let requests = shop.play(&mut claims, &daemon).await?;
    claims.say("");
    let rows = wait_until_final(&shop, &requests, &daemon, args.json).await?;

    claims.say("\nWhat became of the requests:");
    for (request, row) in requests.iter().zip(&rows) {
        judge(&mut claims, request, row);
    }
    shop.check_rollback_and_cancel(&mut claims, &requests).await?;

    claims.say("\nThe mails, and their links:");
    let mails = prove::mails(&mut claims, &sandbox, &shop, &requests).await?;
    claims.say("");
    prove::downloads(&mut claims, &shop, &requests, &mails).await?;
    let stopped = daemon.stop().await?;
    claims.check("the daemon stops on SIGTERM with exit code 0", stopped);

    let holds = claims.hold();
    if args.json {
        println!("{}", summary(&claims, &requests, &rows, &mails));
    } else {
        println!("\n{} of {} claims hold.", claims.all.iter().filter(|(_, holds)| *holds).count(), claims.all.len());
    }
    Ok((sandbox, app_url, holds))
}

async fn serve(sandbox: &Sandbox, app_url: &str, stop: &CancellationToken) -> anyhow::Result<()> {
    let daemon = daemon::Process::start(sandbox, DATABASE)?;
    eprintln!(
        "\nStill running, until Ctrl-C:\n  psql as superuser  {}\n  as the application psql '{app_url}'\n  mailbox            {}/\n  daemon's log       {}\n  Try: select * from exportbox.exports;",
        sandbox.postgres.psql_command(DATABASE),
        sandbox.ses.endpoint(),
        daemon.log().display()
    );
    stop.cancelled().await;
    daemon.stop().await?;
    Ok(())
}

fn judge(claims: &mut Claims, request: &Request, row: &Value) {
    let state = row["state"].as_str().unwrap_or("?");
    let error = row["error"].as_str().map(|error| format!(": {}", printable(error))).unwrap_or_default();
    match &request.expect {
        Expect::Completed => claims.check(format!("{}: {state}, {}{error}", request.label, amount(row)), state == "completed"),
        Expect::Dead(class) => {
            let holds = state == "dead" && row["error_class"] == *class && row["attempts"] == 1;
            claims.check(format!("{}: {state} at its first attempt{error}", request.label), holds);
        }
        Expect::Cancelled => claims.check(format!("{}: {state}", request.label), state == "cancelled"),
    }
}

/// Read the views again and again, as a DBA would: with a bar on a terminal, and elsewhere with a line now and then.
async fn wait_until_final(
    shop: &story::Shop<'_>,
    requests: &[Request],
    daemon: &daemon::Process,
    quiet: bool,
) -> anyhow::Result<Vec<Value>> {
    let bars = if quiet { MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()) } else { MultiProgress::new() };
    let style = |template| ProgressStyle::with_template(template).context("progress template");
    let all = bars.add(ProgressBar::new(requests.len() as u64));
    all.set_style(style("  exports  [{bar:30}] {pos}/{len}  {msg}")?);
    let large = bars.add(ProgressBar::new(story::LARGE_ROWS));
    large.set_style(style("  large    [{bar:30}] {human_pos}/{human_len} rows  {per_sec}")?);
    let (started, mut last_said) = (Instant::now(), Instant::now());
    loop {
        let rows = shop.exports(requests).await?;
        let finished = rows.iter().filter(|row| matches!(row["state"].as_str(), Some("completed" | "dead" | "cancelled"))).count();
        let running = rows.iter().filter(|row| row["state"] == "running").count();
        let of_large =
            requests.iter().zip(&rows).find(|(request, _)| request.is_large).map_or(0, |(_, row)| row["rows"].as_i64().unwrap_or(0));
        all.set_position(finished as u64);
        all.set_message(format!("{running} running"));
        large.set_position(of_large.unsigned_abs());
        if bars.is_hidden() && !quiet && last_said.elapsed() > Duration::from_secs(2) {
            println!("  {finished} of {} exports done, {running} running, {} rows of the large one", requests.len(), count(of_large));
            last_said = Instant::now();
        }
        if finished == requests.len() {
            all.finish_and_clear();
            large.finish_and_clear();
            return Ok(rows);
        }
        anyhow::ensure!(
            started.elapsed() < PATIENCE,
            "the exports are not done after {} s; the daemon's log:\n{}",
            PATIENCE.as_secs(),
            daemon.tail()
        );
        anyhow::ensure!(daemon.is_alive(), "the daemon ended by itself; its log:\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn summary(claims: &Claims, requests: &[Request], rows: &[Value], mails: &[prove::Mail]) -> Value {
    json!({
        "ok": claims.hold(),
        "claims": claims.all.iter().map(|(claim, holds)| json!({"claim": claim, "holds": holds})).collect::<Vec<_>>(),
        "exports": requests.iter().zip(rows).map(|(request, row)| json!({"label": request.label, "export": row})).collect::<Vec<_>>(),
        "mails": mails.iter().map(prove::Mail::to_json).collect::<Vec<_>>(),
    })
}
