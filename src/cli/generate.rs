//! `completions` and `man`: made from the same definition as `--help`, so that they cannot disagree with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, usage};

const PROGRAM: &str = "exportbox";

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell; its script goes to standard output
    shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArgs {
    /// The command whose page to print, such as drain or report add; without it the program's own
    command: Vec<String>,
    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// The definition of all commands and their settings, for whoever makes a reference from it.
#[must_use]
pub fn command() -> Command {
    Cli::command()
}

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), PROGRAM, &mut script);
    print(&script)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut program = Cli::command();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(program, dir)).context("write the pages")?;
        return Ok(ExitCode::SUCCESS);
    }
    program.build();
    let mut command: &Command = &program;
    for name in &args.command {
        let known = command.find_subcommand(name);
        command = known.with_context(|| format!("there is no command {name}; exportbox --help lists them")).map_err(usage)?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    print(&page)
}

/// Write to standard output. A reader that closes it early is no error.
fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}
