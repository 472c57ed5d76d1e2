//! Beside history: queue and enqueue in tables that hold a long life, against the same in a database of the same server that holds nothing.

use super::enqueue::{self, BULK, SINGLE};
use super::queue::jobs_per_second;
use crate::line::{Goal, Line};
use crate::stand::Stand;
use crate::{Wanted, fill, in_turn};

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
        let mut rates = [0.0; 2];
        for which in in_turn(round) {
            let database = [&old, &fresh][which];
            if which == 1 {
                fill::empty(&database.admin).await?;
            }
            fill::due(&database.admin, jobs).await?;
            rates[which] = jobs_per_second(database, jobs).await?;
        }
        let [figure, floor] = rates;
        eprintln!("          round {round}: {figure:.0} jobs/s, fresh {floor:.0}");
        worked.push((figure, floor));
    }
    let mut lines = vec![Line::new("beside history, queue", "jobs/s", &worked, GOAL)];
    // After the jobs, as what is requested here stays.
    for (case, transaction) in [("beside history, enqueue, single", SINGLE), ("beside history, enqueue, bulk of 1,000", BULK)] {
        let mut rounds = Vec::new();
        for round in 1..=wanted.rounds {
            let mut rates = [0.0; 2];
            for which in in_turn(round) {
                let database = [&old, &fresh][which];
                match which {
                    0 => fill::settled(&database.admin, fill::EVERY_TABLE).await?,
                    _ => enqueue::begun_anew(database).await?,
                }
                (rates[which], _) = enqueue::requests_per_second(&stand, database, transaction, wanted).await?;
            }
            let [figure, floor] = rates;
            eprintln!("          {case}, round {round}: {figure:.0} requests/s, fresh {floor:.0}");
            rounds.push((figure, floor));
        }
        lines.push(Line::new(case, "requests/s", &rounds, GOAL));
    }
    Ok(lines)
}
