//! Beside history: queue and enqueue in tables that hold a long life, against the same in a database of the same server that holds nothing.

use super::enqueue::{self, BULK, SINGLE};
use super::queue::jobs_per_second;
use crate::line::{Goal, Line};
use crate::stand::Stand;
use crate::{Wanted, fill};

const GOAL: Goal = Goal::RatioAtLeast(0.9);

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    let (fresh, old) = (stand.database().await?, stand.another_database("old").await?);
    for database in [&fresh, &old] {
        enqueue::prepare(&stand, database).await?;
    }
    fill::history(&old.admin, wanted).await?;
    let (jobs, mut worked) = (wanted.sized(100_000), Vec::new());
    for round in 1..=wanted.rounds {
        fill::due(&old.admin, jobs).await?;
        let figure = jobs_per_second(&old, jobs).await?;
        fill::empty(&fresh.admin).await?;
        fill::due(&fresh.admin, jobs).await?;
        let floor = jobs_per_second(&fresh, jobs).await?;
        eprintln!("          round {round}: {figure:.0} jobs/s, fresh {floor:.0}");
        worked.push((figure, floor));
    }
    let mut lines = vec![Line::new("beside history, queue", "jobs/s", &worked, GOAL)];
    // After the jobs, as what is requested here stays.
    for (case, transaction) in [("beside history, enqueue, single", SINGLE), ("beside history, enqueue, bulk of 1,000", BULK)] {
        let mut rounds = Vec::new();
        for round in 1..=wanted.rounds {
            fill::settled(&old.admin, fill::EVERY_TABLE).await?;
            let (figure, _) = enqueue::requests_per_second(&stand, &old, transaction, wanted).await?;
            enqueue::begun_anew(&fresh).await?;
            let (floor, _) = enqueue::requests_per_second(&stand, &fresh, transaction, wanted).await?;
            eprintln!("          {case}, round {round}: {figure:.0} requests/s, fresh {floor:.0}");
            rounds.push((figure, floor));
        }
        lines.push(Line::new(case, "requests/s", &rounds, GOAL));
    }
    Ok(lines)
}
