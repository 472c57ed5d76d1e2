//! Logs: one line per thing that happened, ids only, on standard error. JSON for machines, one readable line for people.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

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
    /// A level (error, warn, info, debug, trace), or a filter such as exportbox=debug,warn
    #[arg(long = "log", env = "EXPORTBOX_LOG", default_value = "info", global = true, value_name = "FILTER")]
    pub filter: String,
    /// human or json
    #[arg(long, env = "EXPORTBOX_LOG_FORMAT", default_value = "human", global = true)]
    pub log_format: LogFormat,
}

/// The log as a layer that writes to `writer`. The tests put the same one over everything that they do.
///
/// # Errors
/// The filter cannot be read.
pub fn lines<S, W>(args: &LogArgs, ansi: bool, writer: W) -> anyhow::Result<impl Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&args.filter).map_err(|_| {
        anyhow::anyhow!("EXPORTBOX_LOG: write a level (error, warn, info, debug, trace) or a filter such as exportbox=debug,warn")
    })?;
    // Other people's crates print whole requests at their talkative levels, with keys and signed queries: of those only warnings are let
    // through, whatever the filter says.
    // guard: own lines
    let ours = filter_fn(|line| line.target().starts_with("exportbox") || *line.level() <= tracing::Level::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match args.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Human => lines.with_ansi(ansi).with_target(false).boxed(),
    };
    Ok(lines.with_filter(filter.and(ours)))
}

/// Start logging. Call once.
///
/// # Errors
/// The filter cannot be read.
pub fn init(args: &LogArgs) -> anyhow::Result<()> {
    let lines = lines(args, std::io::stderr().is_terminal(), std::io::stderr)?;
    // Already started: a test in the same process did.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    // A panic's message may quote what was being handled; where it happened is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") {
            // The reader of a pipe has gone, as `head` does: 128 + SIGPIPE, as a shell would say.
            std::process::exit(141);
        }
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        // guard: no message
        tracing::error!(at, "exportbox itself failed (panic)");
    }));
    Ok(())
}
