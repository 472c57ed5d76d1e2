//! A long round of everything at once: `make chaos SEED=n MINUTES=m`. Real processes, one database, a seeded schedule of faults, and at the end
//! a checker that shares no code with the daemon. `docs/guarantees/chaos.md` says what each fault is and what is proved.
//!
//! Without `CHAOS_SEED` and `CHAOS_MINUTES` it is the short round that `cargo test` and CI run: seed 7, under a minute of faults.
#![expect(clippy::unwrap_used, reason = "a round that cannot go on panics, and fails")]

mod checker;
mod clients;
mod faults;
mod ledger;
mod network;
mod round;
mod schedule;
mod settle;
mod tally;
mod workers;
mod world;

use std::process::ExitCode;
use std::time::Duration;

/// What one round is: the schedule follows from it alone.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What all dice are rolled from.
    pub seed: u64,
    /// How long faults go on.
    pub faults_for: Duration,
}

fn main() -> ExitCode {
    if !is_asked_for(std::env::args().skip(1)) {
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: f64| match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")),
        _ => default,
    };
    let settings =
        Settings { seed: number("CHAOS_SEED", 7.0) as u64, faults_for: Duration::from_secs_f64(60.0 * number("CHAOS_MINUTES", 0.75)) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clean = runtime.block_on(round::play(settings));
    // What still waits for a process or a socket must not keep the verdict.
    runtime.shutdown_timeout(Duration::from_secs(5));
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `cargo test WORD` hands its words and flags to every test program: ours is the one test called `chaos`.
fn is_asked_for(mut arguments: impl Iterator<Item = String>) -> bool {
    const WITH_VALUE: [&str; 6] = ["--test-threads", "--color", "--format", "--logfile", "--shuffle-seed", "-Z"];
    let (mut words, mut matched) = (0, 0);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" | "--ignored" | "--bench" => return false,
            "--skip" if arguments.next().is_some_and(|word| "chaos".contains(&word)) => return false,
            flag if WITH_VALUE.contains(&flag) => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            word => {
                words += 1;
                matched += usize::from("chaos".contains(word));
            }
        }
    }
    words == 0 || matched > 0
}
