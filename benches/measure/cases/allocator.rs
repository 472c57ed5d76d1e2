//! The allocator: others that are put before the system's own without a rebuild. The floor is the same work with the system's in the same
//! round. Only told; what is not installed is left out (in Debian: libjemalloc2, libmimalloc2.0).

use std::path::Path;

use super::{large, small};
use crate::Wanted;
use crate::line::{Costs, Goal, Line};
use crate::orders;
use crate::process::Ran;
use crate::sink::Sink;
use crate::stand::Stand;

/// What their library is called.
const OTHERS: [(&str, &str); 2] = [("jemalloc", "libjemalloc.so.2"), ("mimalloc", "libmimalloc.so.2")];

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let found: Vec<_> = OTHERS.into_iter().filter_map(|(name, file)| Some((name, library(file)?))).collect();
    let small = Work::Small { stand: small::start().await?, sink: Sink::start().await?, requests: wanted.sized(5_000) };
    let mut lines = small.compared("small exports", &found, wanted.rounds).await?;
    drop(small);
    let large = Work::Large { stand: Stand::start(&[]).await?, sink: Sink::start().await? };
    orders::build(large.stand(), wanted.sized(large::ROWS / 4)).await?;
    lines.extend(large.compared("large exports", &found, wanted.rounds).await?);
    Ok(lines)
}

/// What is done with each of them.
enum Work {
    Small { stand: Stand, sink: Sink, requests: usize },
    Large { stand: Stand, sink: Sink },
}

impl Work {
    fn stand(&self) -> &Stand {
        match self {
            Work::Small { stand, .. } | Work::Large { stand, .. } => stand,
        }
    }

    async fn compared(&self, what: &str, found: &[(&str, String)], rounds: usize) -> anyhow::Result<Vec<Line>> {
        let mut runs: Vec<Vec<(Ran, Ran)>> = vec![Vec::new(); found.len()];
        // The first one warms the caches.
        self.run("").await?;
        for round in 0..rounds {
            eprintln!("          {what}, round {} of {rounds}", round + 1);
            let usual = self.run("").await?;
            for (runs, (_, library)) in runs.iter_mut().zip(found) {
                runs.push((self.run(library).await?, usual));
            }
        }
        let line = |((name, _), runs): (&(&str, String), Vec<(Ran, Ran)>)| {
            let seconds: Vec<_> = runs.iter().map(|(other, usual)| (other.seconds, usual.seconds)).collect();
            let peak_mib = runs.iter().map(|(other, _)| other.peak_mib).reduce(f64::max);
            Line::new(format!("allocator: {name}, {what}"), "s", &seconds, Goal::None).costing(Costs { peak_mib, ..Costs::default() })
        };
        Ok(found.iter().zip(runs).map(line).collect())
    }

    async fn run(&self, library: &str) -> anyhow::Result<Ran> {
        match self {
            Work::Small { stand, sink, requests } => {
                small::work(stand, *requests, 8, &[&sink.as_both()[..], &[("LD_PRELOAD", library)]].concat()).await
            }
            Work::Large { stand, sink } => {
                large::export(stand, "csv", "none", &[&sink.as_both()[..], &[("LD_PRELOAD", library)]].concat()).await
            }
        }
    }
}

/// Where distributions put libraries.
fn library(file: &str) -> Option<String> {
    let dirs = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    dirs.iter().map(|dir| format!("{dir}/{file}")).find(|path| Path::new(path).exists())
}
