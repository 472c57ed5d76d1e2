//! Queue: preloaded jobs with a handler that does nothing, against the same work as bare SQL.

use std::time::Instant;

use crate::Wanted;
use crate::line::{Costs, Goal, Line, median};
use crate::proxy::Proxy;
use crate::stand::{Database, Stand};
use crate::{costs, fill, work};

/// Jobs in flight at once: as many as a process may have.
pub const SLOTS: usize = 256;

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    let database = stand.database().await?;
    work::make_bare_queue(&database.admin).await?;
    let jobs = wanted.sized(100_000);
    let (mut rounds, mut ours, mut server) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=wanted.rounds {
        fill::empty(&database.admin).await?;
        fill::due(&database.admin, jobs).await?;
        let before = cpu(&stand);
        let figure = jobs_per_second(&database, jobs).await?;
        let after = cpu(&stand);
        ours.extend(after.0.zip(before.0).map(|(after, before)| (after - before) / jobs as f64));
        server.extend(after.1.zip(before.1).map(|(after, before)| (after - before) / jobs as f64));
        work::fill_bare_queue(&database.admin, jobs).await?;
        let floor = bare_jobs_per_second(&database, jobs).await?;
        eprintln!("          round {round}: {figure:.0} jobs/s, {floor:.0} bare");
        rounds.push((figure, floor));
    }
    let (statements, round_trips) = counted(&stand, &database, jobs.div_ceil(10)).await?;
    let costs = Costs {
        statements: Some(statements),
        round_trips: Some(round_trips),
        cpu_us: median(&ours),
        server_cpu_us: median(&server),
        ..Costs::default()
    };
    Ok(vec![Line::new("queue", "jobs/s", &rounds, Goal::RatioAtLeast(0.6)).costing(costs)])
}

/// Work off what is due, timed.
pub async fn jobs_per_second(database: &Database, jobs: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let worked = work::by_exportbox(&database.daemon_url, SLOTS).await?;
    let took = begun.elapsed();
    anyhow::ensure!(worked == jobs, "{worked} of {jobs} jobs were worked");
    Ok(worked as f64 / took.as_secs_f64())
}

/// The same by bare SQL.
pub async fn bare_jobs_per_second(database: &Database, jobs: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let worked = work::by_bare_sql(&database.admin).await?;
    let took = begun.elapsed();
    anyhow::ensure!(worked == jobs, "{worked} of {jobs} bare jobs were worked");
    Ok(worked as f64 / took.as_secs_f64())
}

/// Statements and round trips per job, in a pass that nobody times.
async fn counted(stand: &Stand, database: &Database, jobs: usize) -> anyhow::Result<(f64, f64)> {
    fill::empty(&database.admin).await?;
    fill::due(&database.admin, jobs).await?;
    let proxy = Proxy::start(stand.sandbox.postgres.port()).await?;
    stand.statements().await?;
    let worked = work::by_exportbox(&proxy.url(&database.daemon_url), SLOTS).await?;
    anyhow::ensure!(worked == jobs, "{worked} of {jobs} jobs were worked through the proxy");
    Ok((stand.statements_of("a job", jobs as f64).await?, proxy.round_trips() as f64 / jobs as f64))
}

/// Of this process, whose handler does nothing, and of the server.
fn cpu(stand: &Stand) -> (Option<f64>, Option<f64>) {
    (costs::cpu_us(std::process::id()), costs::family_cpu_us(stand.server_pid()))
}
