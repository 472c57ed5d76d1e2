//! Whether the database writes a report's files or the daemon streams them, and `report seal`, which lets the database do it.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::super::print::printable;
use crate::admin::Admin;
use crate::config::ExporterArgs;
use crate::daemon::aws_config;
use crate::export::{ExpectedExporter, Selection};

#[derive(Args)]
pub(in super::super) struct SealReportArgs {
    /// Name of the report
    name: String,
    /// An older version; default: the current one
    #[arg(long)]
    version: Option<i32>,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    exporter: ExporterArgs,
}

/// What the daemon's settings make of what the database says. The region is looked for only where it decides.
pub(super) async fn expected<'a>(args: &ExporterArgs, known: impl Iterator<Item = &'a mut ExpectedExporter>) {
    let mut known: Vec<&mut ExpectedExporter> = known.collect();
    let decides = known.iter().any(|known| known.is_in_database());
    let has_region = !decides || aws_config().await.region().is_some();
    let selection = Selection { setting: args.exporter, has_region, backends: args.split };
    for known in &mut known {
        **known = selection.expected(known.clone());
    }
}

/// A line, and one more with what to do about it.
pub(super) fn print(label: &str, expected: &ExpectedExporter) {
    println!("{label}{}", printable(&expected.in_words()));
    if let Some(what_to_do) = &expected.what_to_do {
        println!("{:width$}→ {}", "", printable(what_to_do), width = label.chars().count());
    }
}

pub(super) async fn seal(admin: &Admin, args: &SealReportArgs) -> anyhow::Result<ExitCode> {
    let sealed = admin.seal_report(&args.name, args.version).await?;
    let mut known = admin.report_exporter(&args.name, args.version, None).await?;
    expected(&args.exporter, known.iter_mut()).await;
    if args.json {
        println!("{}", json!({"report": args.name, "sealed": sealed, "export": known}));
    } else {
        println!("{}: sealed as exportbox.{sealed}()", printable(&args.name));
        known.iter().for_each(|known| print("  ", known));
    }
    Ok(ExitCode::SUCCESS)
}
