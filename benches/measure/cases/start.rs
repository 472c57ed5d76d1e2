//! The program itself: its size, and how long it takes to start, against psql's.

use anyhow::Context;
use tokio::process::Command;

use crate::Wanted;
use crate::line::{Goal, Line};
use crate::process;
use crate::stand::{PROGRAM, Stand};

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let size = std::fs::metadata(PROGRAM).context("look at the program")?.len() as f64 / 1e6;
    let stand = Stand::start(&[]).await?;
    let mut rounds = Vec::new();
    for _ in 0..wanted.sized(wanted.rounds * 8) {
        let ms = async |command: Command| anyhow::Ok(process::run(quiet(command)).await?.seconds * 1e3);
        rounds.push((ms(Command::new(PROGRAM)).await?, ms(stand.client_program("psql")?).await?));
    }
    Ok(vec![
        Line::alone("start, size of the program", "MB", vec![size], Goal::None),
        Line::new("start, --version", "ms", &rounds, Goal::None),
    ])
}

fn quiet(mut command: Command) -> Command {
    command.arg("--version").stdout(std::process::Stdio::null());
    command
}
