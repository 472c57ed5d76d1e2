//! Logs: one line per thing that happened, ids only, on standard error. JSON for machines, one readable line for people.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line.
    Human,
    /// One JSON object a line.
    Json,
}

/// Settings of the log.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Level, or a filter such as exportbox=debug,warn
    #[arg(long = "log", env = "EXPORTBOX_LOG", default_value = "info", global = true, value_name = "FILTER")]
    pub filter: String,
    /// human or json
    #[arg(long, env = "EXPORTBOX_LOG_FORMAT", default_value = "human", global = true)]
    pub log_format: LogFormat,
}

/// Levels of other people's crates that would print payloads: the SDK logs whole requests at debug, signatures included.
const QUIET: [&str; 12] = [
    "s3s",
    "s3s_fs",
    "refinery_core",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "aws_sdk_s3",
    "aws_sdk_sesv2",
    "aws_runtime",
    "aws_config",
    "hyper",
    "tokio_postgres",
    "lettre",
];

/// Start logging. Call once.
///
/// # Errors
/// The filter cannot be read.
pub fn init(args: &LogArgs) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&args.filter).map_err(|_| {
        anyhow::anyhow!("EXPORTBOX_LOG: write a level (error, warn, info, debug, trace) or a filter such as exportbox=debug,warn")
    })?;
    for target in QUIET {
        filter = filter.add_directive(format!("{target}=warn").parse()?);
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    // A panic's message may quote what was being handled; where it happened is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") {
            // The reader of a pipe has gone, as `head` does: 128 + SIGPIPE, as a shell would say.
            std::process::exit(141);
        }
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "exportbox itself failed (panic)");
    }));
    Ok(())
}
