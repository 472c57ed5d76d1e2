//! `make bench`: whole behaviours of exportbox, each against its floor in the same run, interleaved. docs/performance.md explains the figures.
//!
//! `make bench CASE=queue` runs the cases whose name holds the text; `ROUNDS=n` sets how often each is measured, `SCALE=0.1` how large.

mod cases;
mod costs;
mod fill;
mod line;
mod orders;
mod process;
mod proxy;
mod sink;
mod stand;
mod table;
mod work;

use std::process::ExitCode;
use std::time::Instant;

use self::line::Line;

/// How a run is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// How often each figure and its floor are measured, in turn.
    pub rounds: usize,
    /// Factor of the documented sizes. Other than 1 only to try things out: results are marked.
    pub scale: f64,
}

impl Wanted {
    /// A documented size at the wanted scale.
    pub fn sized(self, size: usize) -> usize {
        ((size as f64 * self.scale) as usize).max(1)
    }
}

/// Which of figure (0) and floor (1) comes first: it changes from round to round, so that neither always runs in the other's wake.
pub fn in_turn(round: usize) -> [usize; 2] {
    if round.is_multiple_of(2) { [1, 0] } else { [0, 1] }
}

fn variable<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number; leave it out, or write {name}=3"))
        }
        _ => otherwise,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = std::env::var("CASE").unwrap_or_default();
    let wanted = Wanted { rounds: variable("ROUNDS", 5), scale: variable("SCALE", 1.0) };
    // A whole name means that case alone: queue is not enqueue.
    let is_name = cases::all().iter().any(|case| case.name == filter);
    let is_chosen = |case: &cases::Case| if is_name { case.name == filter } else { case.name.contains(&filter) };
    let chosen: Vec<_> = cases::all().into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        let names: Vec<_> = cases::all().iter().map(|case| case.name).collect();
        eprintln!("no case is named like {filter:?}; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    let (begun, of) = (Instant::now(), chosen.len());
    let mut lines: Vec<Line> = Vec::new();
    for (number, case) in chosen.into_iter().enumerate() {
        eprintln!("[{:>5.0} s] {} of {of}: {} - {}", begun.elapsed().as_secs_f64(), number + 1, case.name, case.about);
        // A task of its own: a case that panics is one failed line, and the others run.
        match tokio::spawn((case.run)(wanted)).await {
            Ok(Ok(measured)) => {
                measured.iter().for_each(|line| eprintln!("          {}", table::short(line)));
                lines.extend(measured);
            }
            Ok(Err(error)) => lines.push(Line::failed(case.name, &format!("{error:#}"))),
            Err(error) => lines.push(Line::failed(case.name, &error.to_string())),
        }
        // After each: what was measured is kept, whatever becomes of the rest.
        table::write_results(&lines).expect("target/bench can be written");
    }
    println!("{}", table::table(&lines, wanted));
    println!("{} s in all; also in {}", begun.elapsed().as_secs(), table::RESULTS);
    if lines.iter().any(|line| line.failure.is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
