//! Empty drain: the whole process with nothing due, against `psql -c 'select 1'`.

use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

use crate::Wanted;
use crate::line::{Costs, Goal, Line};
use crate::stand::Stand;

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    let ours = || stand.program(&["drain"], &[]);
    let floor = || {
        let mut psql = stand.client_program("psql")?;
        psql.args([&stand.admin_url(), "-X", "-c", "select 1"]).stdout(Stdio::null());
        anyhow::Ok(psql)
    };
    // The first ones warm the caches.
    seconds(ours()).await?;
    seconds(floor()?).await?;
    stand.statements().await?;
    let mut rounds = Vec::new();
    for _ in 0..wanted.sized(wanted.rounds * 8) {
        rounds.push((seconds(ours()).await? * 1e3, seconds(floor()?).await? * 1e3));
    }
    let statements = stand.statements().await? / rounds.len() as f64;
    let costs = Costs { statements: Some(statements), ..Costs::default() };
    Ok(vec![
        Line::new("empty drain, wall", "ms", &rounds, Goal::RatioAtMost(2.0)).costing(costs),
        Line::alone("empty drain, statements", "statements", vec![statements], Goal::AtMost(5.0)),
    ])
}

async fn seconds(mut command: Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let status = command.status().await?;
    anyhow::ensure!(status.success(), "it ended with {status}");
    Ok(begun.elapsed().as_secs_f64())
}
