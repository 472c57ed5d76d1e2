//! Enqueue: pgbench's business transaction that also requests, against the same transaction with the same row in a plain table.

use std::fs;
use std::process::Stdio;

use anyhow::Context;

use crate::line::{Costs, Goal, Line, median};
use crate::stand::{Database, Stand};
use crate::{Wanted, costs, fill, in_turn};

const CLIENTS: &str = "4";
/// Of pgbench: ten branches of 100,000 accounts.
const BUSINESS: &str = "10";

/// A transaction that requests.
#[derive(Debug, Clone, Copy)]
pub struct Transaction {
    rows: &'static str,
    name: &'static str,
    requests: f64,
}

/// One request beside the business.
pub const SINGLE: Transaction = Transaction { rows: ONE, name: "single", requests: 1.0 };
/// A thousand requests in one insert.
pub const BULK: Transaction = Transaction { rows: THOUSAND, name: "bulk", requests: 1000.0 };

const TRANSACTION: &str = include_str!("../enqueue/transaction.sql");
const ONE: &str = r#"values ('bench-report', '{"month": "2026-11-01"}', '{ann@example.com}')"#;
const THOUSAND: &str = "select 'bench-report', jsonb_build_object('month', date '2020-01-01' + n), array['user' || n || '@example.com'] from generate_series(1, 1000) as n";

const OURS: &str = "exportbox.outbox";
const PLAIN: &str = "public.bench_plain";

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    let database = stand.database().await?;
    prepare(&stand, &database).await?;
    let mut lines = Vec::new();
    for (case, transaction, has_sleeper, goal) in [
        ("enqueue, single", SINGLE, false, Goal::RatioAtLeast(0.85)),
        ("enqueue, single, somebody sleeps", SINGLE, true, Goal::None),
        ("enqueue, bulk of 1,000", BULK, false, Goal::RatioAtLeast(0.6)),
    ] {
        let sleeper = if has_sleeper { Some(sleeper(&stand, &database).await?) } else { None };
        let (mut rounds, mut server) = (Vec::new(), Vec::new());
        for round in 1..=wanted.rounds {
            let mut rates = [0.0; 2];
            for which in in_turn(round) {
                begun_anew(&database).await?;
                let cpu_us;
                (rates[which], cpu_us) = rate(&stand, &database, transaction, [OURS, PLAIN][which], wanted).await?;
                server.extend(cpu_us.filter(|_| which == 0));
            }
            let [figure, floor] = rates;
            eprintln!("          {case}, round {round}: {figure:.0} requests/s, {floor:.0} plain rows/s");
            rounds.push((figure, floor));
        }
        drop(sleeper);
        database.admin.batch_execute("delete from exportbox.worker").await.context("forget the sleeper")?;
        lines.push(Line::new(case, "requests/s", &rounds, goal).costing(Costs { server_cpu_us: median(&server), ..Costs::default() }));
    }
    Ok(lines)
}

/// The business tables, the plain one, and a report to request.
pub async fn prepare(stand: &Stand, database: &Database) -> anyhow::Result<()> {
    let mut pgbench = stand.client_program("pgbench")?;
    pgbench.args(["--initialize", "--quiet", "--scale", BUSINESS, &database.admin_url]).stdout(Stdio::null()).stderr(Stdio::piped());
    let made = pgbench.output().await.context("start pgbench; it comes with PostgreSQL's server or its contrib package")?;
    anyhow::ensure!(made.status.success(), "pgbench --initialize: {}", String::from_utf8_lossy(&made.stderr));
    database.admin.batch_execute(include_str!("../enqueue/setup.sql")).await.context("prepare the tables of enqueue")
}

/// Requests in a second, and the server's CPU for one.
pub async fn requests_per_second(
    stand: &Stand,
    database: &Database,
    transaction: Transaction,
    wanted: Wanted,
) -> anyhow::Result<(f64, Option<f64>)> {
    rate(stand, database, transaction, OURS, wanted).await
}

/// Four clients for ten seconds.
async fn rate(
    stand: &Stand,
    database: &Database,
    transaction: Transaction,
    table: &str,
    wanted: Wanted,
) -> anyhow::Result<(f64, Option<f64>)> {
    let script = stand.sandbox.dir().join(format!("{}.sql", transaction.name));
    fs::write(&script, TRANSACTION.replace(":requests", table).replace(":rows", transaction.rows)).context("write a script for pgbench")?;
    let seconds = wanted.sized(10).to_string();
    let mut pgbench = stand.client_program("pgbench")?;
    pgbench.args(["--no-vacuum", "--protocol", "prepared", "--define", &format!("scale={BUSINESS}"), "--client", CLIENTS, "--jobs", "2"]);
    pgbench.args(["--time", &seconds, "--file"]).arg(&script).arg(&database.app_url);
    let before = costs::family_cpu_us(stand.server_pid());
    let ran = pgbench.output().await.context("start pgbench")?;
    let after = costs::family_cpu_us(stand.server_pid());
    let said = String::from_utf8_lossy(&ran.stdout);
    anyhow::ensure!(ran.status.success(), "pgbench, {}: {}", transaction.name, String::from_utf8_lossy(&ran.stderr));
    let told = |before: &str| -> Option<f64> { said.split_once(before)?.1.split_whitespace().next()?.parse().ok() };
    let rate = told("tps = ").with_context(|| format!("pgbench tells no rate: {said}"))? * transaction.requests;
    let requests = told("number of transactions actually processed: ").map(|transactions| transactions * transaction.requests);
    let cpu_us = requests.zip(after.zip(before)).map(|(requests, (after, before))| (after - before) / requests);
    Ok((rate, cpu_us))
}

/// Both tables with next to nothing in them, and the business' own tidied up.
pub async fn begun_anew(database: &Database) -> anyhow::Result<()> {
    fill::empty(&database.admin).await?;
    let few = "truncate public.bench_plain, pgbench_history; insert into public.bench_plain (query) select 'select 1' from generate_series(1, 1000)";
    database.admin.batch_execute(few).await.context("empty the plain table")?;
    fill::due(&database.admin, 1000).await?;
    fill::settled(&database.admin, "public.bench_plain, pgbench_accounts, pgbench_branches, pgbench_tellers").await
}

/// A session that every insert wakes, as it never does anything about it.
async fn sleeper(stand: &Stand, database: &Database) -> anyhow::Result<tokio_postgres::Client> {
    let client = stand.connect(&database.admin_url).await.context("connect the sleeper")?;
    client.batch_execute("listen bench_sleeper; select public.sleeper('bench_sleeper')").await.context("fall asleep")?;
    Ok(client)
}
