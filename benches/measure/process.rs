//! One run of a program from its start to its end: how long, how much CPU, how much memory.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Command;

use super::costs;

/// How often its memory is looked at. The system keeps the peak itself, so only what is reached after the last look is missed.
const LOOK: Duration = Duration::from_millis(20);

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ran {
    /// From the start of the process to its end.
    pub seconds: f64,
    /// Its CPU, microseconds. Only right while nothing else that was started here ends.
    pub cpu_us: f64,
    /// Its most resident memory, MiB.
    pub peak_mib: f64,
}

/// Run a program to its end. One that fails is an error.
pub async fn run(mut command: Command) -> anyhow::Result<Ran> {
    let (cpu, begun) = (costs::ended_children_cpu_us(), Instant::now());
    let mut child = command.spawn().context("start a program")?;
    let pid = child.id().context("find the process")?;
    let mut peak_mib = 0.0;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = tokio::time::sleep(LOOK) => peak_mib = costs::peak_mib(pid).unwrap_or(0.0).max(peak_mib),
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    anyhow::ensure!(status.success(), "{} ended with {status}", command.as_std().get_program().display());
    let cpu_us = costs::ended_children_cpu_us().zip(cpu).map_or(0.0, |(now, before)| now - before);
    Ok(Ran { seconds, cpu_us, peak_mib })
}
