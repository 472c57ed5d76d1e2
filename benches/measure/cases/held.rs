//! Under a held snapshot: the queue while another session keeps a snapshot from before, which nothing can be vacuumed past.

use anyhow::Context;

use super::queue::{bare_jobs_per_second, jobs_per_second};
use crate::Wanted;
use crate::line::{Goal, Line};
use crate::stand::{Database, Stand};
use crate::{fill, in_turn, work};

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    let database = stand.database().await?;
    work::make_bare_queue(&database.admin).await?;
    let jobs = wanted.sized(200_000);
    let (mut rounds, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=wanted.rounds {
        let mut figures = [0.0; 4];
        for at in in_turn(round) {
            let is_held = at == 0;
            fill::empty(&database.admin).await?;
            fill::due(&database.admin, jobs).await?;
            let held = held_if(is_held, &stand, &database).await?;
            figures[at] = jobs_per_second(&database, jobs).await?;
            drop(held);
            work::fill_bare_queue(&database.admin, jobs).await?;
            let held = held_if(is_held, &stand, &database).await?;
            figures[2 + at] = bare_jobs_per_second(&database, jobs).await?;
            drop(held);
        }
        let [figure, fresh, bare_figure, bare_fresh] = figures;
        eprintln!("          round {round}: {figure:.0} jobs/s, fresh {fresh:.0}; bare {bare_figure:.0}, fresh {bare_fresh:.0}");
        rounds.push((figure, fresh));
        bare.push((bare_figure, bare_fresh));
    }
    Ok(vec![
        Line::new("held snapshot", "jobs/s", &rounds, Goal::RatioAtLeast(0.9)),
        Line::new("held snapshot, bare SQL", "jobs/s", &bare, Goal::None),
    ])
}

/// A session that goes on seeing the tables as they are now, until it is dropped.
async fn held_if(is_held: bool, stand: &Stand, database: &Database) -> anyhow::Result<Option<tokio_postgres::Client>> {
    if !is_held {
        return Ok(None);
    }
    let client = stand.connect(&database.admin_url).await.context("connect for the snapshot")?;
    client.batch_execute("begin isolation level repeatable read; select count(*) from exportbox.job").await.context("hold a snapshot")?;
    Ok(Some(client))
}
