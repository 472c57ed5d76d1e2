//! Idle cost: what one process with its default settings does while there is nothing to do, and what 50 do.

use std::time::Duration;

use anyhow::Context;
use tokio::process::Child;
use tokio::time::sleep;

use crate::Wanted;
use crate::costs::{cpu_us, family_cpu_us, resident_mib};
use crate::line::{Costs, Goal, Line, median};
use crate::stand::Stand;

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for processes in [1, 50] {
        // A server of their own: nobody else's statements, and nobody who has just gone.
        let stand = Stand::start(&[]).await?;
        let mut children = Vec::new();
        for number in 1..=processes {
            children.push(stand.run(&[]).await.with_context(|| format!("start process {number} of {processes}"))?);
        }
        lines.extend(watched(&stand, children, wanted).await?);
    }
    Ok(lines)
}

async fn watched(stand: &Stand, mut children: Vec<Child>, wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let pids: Vec<u32> = children.iter().filter_map(Child::id).collect();
    let processes = children.len() as f64;
    let cpu = || pids.iter().map(|pid| cpu_us(*pid)).sum::<Option<f64>>();
    // What a start costs comes to its end.
    sleep(Duration::from_secs(wanted.sized(30) as u64)).await;
    stand.statements().await?;
    let (before, server_before) = (cpu(), family_cpu_us(stand.server_pid()));
    let watch = Duration::from_secs(wanted.sized(120) as u64);
    sleep(watch).await;
    let (after, server_after) = (cpu(), family_cpu_us(stand.server_pid()));
    let share = watch.as_secs_f64() / 60.0 * processes;
    let per_minute = |after: Option<f64>, before: Option<f64>| after.zip(before).map(|(after, before)| (after - before) / share);
    let whose = if pids.len() == 1 { "one process".to_owned() } else { format!("each of {}", pids.len()) };
    let statements = stand.statements_of(&format!("{whose}, a minute"), share).await?;
    let costs = Costs {
        statements: Some(statements),
        cpu_us: per_minute(after, before),
        server_cpu_us: per_minute(server_after, server_before),
        ..Costs::default()
    };
    let memory: Vec<f64> = pids.iter().filter_map(|pid| resident_mib(*pid)).collect();
    for child in &mut children {
        anyhow::ensure!(child.try_wait()?.is_none(), "a process ended while it was watched");
        child.kill().await.context("end a process")?;
    }
    let memory_costs = Costs { peak_mib: median(&memory), ..Costs::default() };
    Ok(vec![
        Line::alone(format!("idle, {whose}, a minute"), "statements", vec![statements], Goal::AtMost(1.0)).costing(costs),
        Line::alone(format!("idle, {whose}, memory"), "MiB", memory, Goal::AtMost(15.0)).costing(memory_costs),
    ])
}
