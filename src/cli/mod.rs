//! The commands. Each group is one file; this one reads the arguments and turns errors into exit codes.
//!
//! Must not know: how anything is done. A command builds what it needs through the daemon or `admin`, and prints what it is told. What it
//! prints on standard output is for its caller, JSON where that was asked for; everything else goes to standard error.

#[cfg(feature = "sandbox")]
mod demo;
mod doctor;
mod explain;
mod filter;
mod generate;
mod health;
mod migrate;
mod operate;
mod pause;
mod print;
mod prune;
mod report;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schedule;
mod show;
mod status;
mod terminal;
mod watch;
mod work;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::generate::command;

use crate::config::DatabaseArgs;
use crate::daemon::DoesNotFit;
use crate::database::DatabaseError;
use crate::secret::hushed;
use crate::telemetry::{self, LogArgs};

/// Wrong usage or configuration.
const EXIT_USAGE: u8 = 2;
/// A drain stopped by its budget with due work left.
const EXIT_BUDGET: u8 = 10;
/// A drain in which at least one job died.
const EXIT_DEAD: u8 = 11;
/// The database is not reachable, read-only, or its schema is not ours (sysexits' EX_UNAVAILABLE).
const EXIT_UNAVAILABLE: u8 = 69;

/// What every exit code means where a command says nothing else.
const EXIT_CODES: &str = "Exit codes of every command: 0 done; 1 it could not be done, the last line says why; 2 wrong usage or configuration \
    (a refused login or a missing grant is configuration); 69 the database cannot be reached, only reads, or has another schema than this program's.";

/// Insert a row in the same transaction as your business data, and get a file.
///
/// Try it with nothing else running: exportbox demo
#[derive(Parser)]
#[command(name = "exportbox", version, max_term_width = 120, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the schema up to date
    Migrate(migrate::MigrateArgs),
    /// Work until told to stop
    ///
    /// Exit codes: 0 stopped by SIGTERM or SIGINT; 2 usage or configuration; 69 the database could not be reached at the start, or has another
    /// schema. Later it waits for the database, however long that takes.
    Run(Box<work::RunArgs>),
    /// Work until nothing is due, then exit: for cron and scheduled tasks
    ///
    /// Exit codes: 0 nothing due is left; 10 stopped by its budget or a signal with due work left, or other processes hold all
    /// EXPORTBOX_SOURCE_SLOTS; 11 drained, and at least one job died; 2 usage or configuration, also when a wrong setting holds due work up;
    /// 69 database not reachable, read-only, or its schema not ours.
    Drain(Box<work::DrainArgs>),
    /// Show what is due, running, dead and on hold, and the newest exports
    Status(status::StatusArgs),
    /// Show everything about one export: what happened when, its files and mails
    ///
    /// Exit codes: 1 there is no such export, or this login may not see it.
    Show(show::ShowArgs),
    /// Follow one export until it is final, with a progress bar
    ///
    /// Exit codes: 0 it is completed; 1 it is dead or cancelled, a mail was not delivered, or this login sees no such export.
    Watch(watch::WatchArgs),
    /// Say why each job of an export is where it is, and what to do about it
    ///
    /// Exit codes: 1 there is no such export, or this login may not see it.
    Explain(explain::ExplainArgs),
    /// Check that the database answers and its schema fits: the health check of containers, needs no shell
    Health(health::HealthArgs),
    /// Start nothing more of a scope: all, exports, deliveries, report:NAME or source:NAME. Without a scope, list what is paused
    ///
    /// What runs goes on.
    ///
    /// Exit codes: 1 there is nothing of that name.
    Pause(pause::PauseArgs),
    /// End a pause
    ///
    /// Exit codes: 1 it was not paused.
    Resume(pause::ResumeArgs),
    /// Put the waiting jobs of an export before or behind others
    ///
    /// Exit codes: 1 nothing of it waits with another priority.
    Priority(pause::PriorityArgs),
    /// Stop exports and their mails: by id, or all that a filter names
    ///
    /// Exit codes: 1 there is nothing to cancel, or it is not yours; 2 the filter is empty.
    Cancel(filter::ManyArgs),
    /// Give dead and cancelled jobs a fresh start: by the export's id, or all that a filter names
    ///
    /// Exit codes: 1 there is nothing to requeue, or it is not yours; 2 the filter is empty.
    Requeue(operate::RequeueArgs),
    /// Mail a new link to the file of a completed export, without a new export
    ///
    /// Exit codes: 1 there is no file to link to, nobody to send it to, or the export is not yours.
    Relink(operate::RelinkArgs),
    /// List the dead letters: what failed for good, why, and what to do about it
    Dead(operate::DeadArgs),
    /// Check everything that work depends on, and say what to do about what is wrong
    ///
    /// Exit codes: 0 all fine, or only warnings; 1 something is wrong; 2 and 69 as drain would.
    Doctor(Box<doctor::DoctorArgs>),
    /// Take a person's address out of requests, deliveries and events, and remove the files made for it alone
    ///
    /// Exit codes: 1 it is no address, or it is under a legal hold.
    Erase(operate::EraseArgs),
    /// The catalogue of reports: named queries with parameters, limits and a role
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Schedules: what is requested when, by cron expression and time zone
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Delete exports that have been final for long enough; `run` and `drain` do so by themselves
    Prune(prune::PruneArgs),
    /// Print the completions of a shell: exportbox completions bash > /etc/bash_completion.d/exportbox
    Completions(generate::CompletionsArgs),
    /// Print a man page: exportbox man drain | man -l -
    Man(generate::ManArgs),
    /// Show the whole story on this machine with nothing else running
    ///
    /// Exit codes: 1 something that the demo claims does not hold.
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Run a private PostgreSQL, S3 and mailbox to develop an application against
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Upload standard input, as the sandbox's aws_s3 asks for it
    #[cfg(feature = "sandbox")]
    #[command(hide = true)]
    S3Put {
        /// What to upload where, hex of JSON
        spec: String,
    },
}

/// A setting is wrong: exit code 2.
#[derive(Debug)]
struct Usage(anyhow::Error);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Usage {}

fn usage(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Usage(error))
}

/// Whether an argument that may be a file or a name is a file: `.toml` is meant as one, also where there is none.
fn is_file(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|ending| ending == "toml") || Path::new(what).is_file()
}

/// Read the arguments, run the command, return its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let said = error.to_string();
            let kept = hushed(&said);
            if kept == said || !error.use_stderr() {
                error.exit();
            }
            // The message quotes what was not understood, and that may be a URL with a password.
            eprint!("{kept}");
            return EXIT_USAGE.into();
        }
    };
    #[cfg(all(feature = "sandbox", debug_assertions))]
    let _armed = match crate::failpoint::arm() {
        Ok(armed) => armed,
        Err(error) => {
            eprintln!("exportbox: {error}");
            return EXIT_USAGE.into();
        }
    };
    if let Err(error) = telemetry::init(&cli.log) {
        eprintln!("exportbox: {error:#}");
        return EXIT_USAGE.into();
    }
    // Each thread may keep an arena of freed buffers, and most of the work is waiting: on large machines, more threads would only cost memory.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("exportbox: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(dispatch(cli));
    // A blocked read of standard input must not keep the process.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| {
        eprintln!("exportbox: {error:#}");
        exit_code(&error)
    })
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let database = &cli.database;
    match cli.command {
        Command::Migrate(args) => migrate::migrate(database, &args).await,
        Command::Run(args) => work::run(database, &args).await,
        Command::Drain(args) => work::drain(database, &args).await,
        Command::Explain(args) => explain::explain(database, &args).await,
        Command::Status(args) => status::status(database, &args).await,
        Command::Show(args) => show::show(database, &args).await,
        Command::Watch(args) => watch::watch(database, &args).await,
        Command::Health(args) => health::health(database, &args).await,
        Command::Doctor(args) => doctor::doctor(database, &args).await,
        Command::Cancel(args) => operate::cancel(database, &args).await,
        Command::Requeue(args) => operate::requeue(database, &args).await,
        Command::Pause(args) => pause::pause(database, &args).await,
        Command::Resume(args) => pause::resume(database, &args).await,
        Command::Priority(args) => pause::priority(database, &args).await,
        Command::Relink(args) => operate::relink(database, &args).await,
        Command::Dead(args) => operate::dead(database, &args).await,
        Command::Erase(args) => operate::erase(database, &args).await,
        Command::Report(command) => report::report(database, &command).await,
        Command::Schedule(command) => schedule::schedule(database, &command).await,
        Command::Prune(args) => prune::prune(database, &args).await,
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::demo(&args).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::sandbox(&args).await,
        #[cfg(feature = "sandbox")]
        Command::S3Put { spec } => crate::sandbox::aws_s3::s3_put(&spec).await.map(|()| ExitCode::SUCCESS),
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<Usage>()) {
        return EXIT_USAGE.into();
    }
    if error.chain().any(|cause| cause.is::<DoesNotFit>()) {
        return EXIT_USAGE.into();
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<DatabaseError>()) {
        Some(DatabaseError::Unavailable(_) | DatabaseError::Busy(_) | DatabaseError::ReadOnly | DatabaseError::Schema(_)) => {
            EXIT_UNAVAILABLE.into()
        }
        Some(DatabaseError::Login(_) | DatabaseError::Privilege(_) | DatabaseError::Pooler(_) | DatabaseError::Usage { .. }) => {
            EXIT_USAGE.into()
        }
        _ => ExitCode::FAILURE,
    }
}
