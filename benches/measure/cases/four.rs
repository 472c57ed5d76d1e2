//! Four large exports at once in one process, against four `psql` COPYs at once: figure and floor end with their last.

use std::time::Instant;

use futures_util::future::try_join_all;

use super::large::{MEMORY, ROWS};
use crate::Wanted;
use crate::costs;
use crate::line::{Costs, Goal, Line};
use crate::orders;
use crate::process;
use crate::sink::Sink;
use crate::stand::Stand;

const AT_ONCE: usize = 4;

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    // A quarter of the rows each: as much work as one large export, and the memory of four.
    orders::build(&stand, wanted.sized(ROWS / AT_ONCE)).await?;
    let sink = Sink::start().await?;
    let set = [&sink.as_both()[..], &[("EXPORTBOX_SLOTS", "4")]].concat();
    let (mut rounds, mut peaks, mut costs) = (Vec::new(), Vec::new(), Costs::default());
    // The first round warms the caches.
    for round in 0..=wanted.rounds {
        for _ in 0..AT_ONCE {
            orders::request(&stand, orders::ALL, "csv", "none").await?;
        }
        let server = costs::family_cpu_us(stand.server_pid());
        let ran = orders::drain(&stand, &set).await?;
        let mb = orders::newest_bytes(&stand).await? * AT_ONCE as f64 / 1e6;
        let server_cpu = costs::family_cpu_us(stand.server_pid()).zip(server).map(|(now, before)| (now - before) / mb);
        let begun = Instant::now();
        let floors = (0..AT_ONCE).map(|_| orders::psql(&stand, orders::ALL, "with (format csv, header)")).collect::<Result<Vec<_>, _>>()?;
        try_join_all(floors.into_iter().map(process::run)).await?;
        let floor = begun.elapsed().as_secs_f64();
        eprintln!("          round {round} of {}: {:.2} s, psql {floor:.2} s", wanted.rounds, ran.seconds);
        if round > 0 {
            rounds.push((ran.seconds, floor));
            peaks.push(ran.peak_mib);
            costs = Costs { cpu_us: Some(ran.cpu_us / mb), server_cpu_us: server_cpu, ..Costs::default() };
        }
    }
    Ok(vec![
        Line::new("four large at once", "s", &rounds, Goal::RatioAtMost(1.1)).costing(costs),
        Line::alone("four large at once, memory", "MiB", peaks, Goal::AtMost(MEMORY)).worst(),
    ])
}
