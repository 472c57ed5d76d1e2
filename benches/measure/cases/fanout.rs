//! Fan-out: one export with 50 recipients, and a thousand such. S3 and SES stand in this process; the program is another.

use std::time::Instant;

use anyhow::Context;

use crate::Wanted;
use crate::costs::{cpu_us, family_cpu_us, peak_mib};
use crate::line::{Costs, Goal, Line, median};
use crate::stand::Stand;

const RECIPIENTS: usize = 50;

/// What one recipient has cost.
#[derive(Debug, Clone, Copy)]
struct Each {
    statements: f64,
    ms: f64,
    cpu_us: Option<f64>,
    server_cpu_us: Option<f64>,
}

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    stand.sandbox.ses.set_max_24_hour_send(-1.0);
    let mut program = stand.run(&[]).await?;
    let pid = program.id().context("exportbox run has ended")?;
    // The first one connects and prepares.
    exported(&stand, pid, 1).await?;
    let mut single = Vec::new();
    for _ in 0..wanted.rounds {
        single.push(exported(&stand, pid, 1).await?);
    }
    let many = wanted.sized(1000);
    eprintln!("          one export was measured, now {many}");
    let all = exported(&stand, pid, many).await?;
    let peak = peak_mib(pid);
    program.kill().await.context("end exportbox run")?;

    let of = |pick: fn(&Each) -> f64| single.iter().map(pick).collect::<Vec<f64>>();
    let statements = of(|each| each.statements);
    let costs = |each: Each| Costs {
        statements: Some(each.statements),
        cpu_us: each.cpu_us,
        server_cpu_us: each.server_cpu_us,
        peak_mib: peak,
        ..Costs::default()
    };
    let flat = (all.statements, median(&statements).context("no round was measured")?);
    Ok(vec![
        Line::alone("fan-out, one export, a recipient", "statements", statements, Goal::None),
        Line::alone("fan-out, one export, a recipient's time", "ms", of(|each| each.ms), Goal::None),
        Line::new(format!("fan-out, {many} exports, a recipient"), "statements", &[flat], Goal::RatioAtMost(1.1)).costing(costs(all)),
        Line::alone(format!("fan-out, {many} exports, a recipient's time"), "ms", vec![all.ms], Goal::None),
    ])
}

/// Request so many in one statement and wait until every mail is with the provider.
async fn exported(stand: &Stand, pid: u32, exports: usize) -> anyhow::Result<Each> {
    let app = stand.connect(&stand.app_url()).await.context("connect the application")?;
    stand.statements().await?;
    let cpu = || (cpu_us(pid), family_cpu_us(stand.server_pid()));
    let (before, begun) = (cpu(), Instant::now());
    let insert = format!(
        "insert into exportbox.outbox (query, recipients)
         select 'select 1 as one', array(select 'user' || n || '@example.com' from generate_series(1, {RECIPIENTS}) as n) from generate_series(1, {exports})"
    );
    app.batch_execute(&insert).await.context("request exports")?;
    stand.until("select not exists (select from exportbox.job where state in ('pending', 'running'))").await?;
    let (took, after) = (begun.elapsed(), cpu());
    let recipients = (exports * RECIPIENTS) as f64;
    let statements = stand.statements_of(&format!("a recipient of {exports} exports"), recipients).await?;
    let undelivered: i64 = stand.admin.query_one("select count(*) from exportbox.message where status <> 'accepted'", &[]).await?.get(0);
    anyhow::ensure!(undelivered == 0, "{undelivered} mails were not taken");
    let each = |after: Option<f64>, before: Option<f64>| after.zip(before).map(|(after, before)| (after - before) / recipients);
    Ok(Each {
        statements,
        ms: took.as_secs_f64() * 1e3 / recipients,
        cpu_us: each(after.0, before.0),
        server_cpu_us: each(after.1, before.1),
    })
}
