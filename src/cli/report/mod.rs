//! `report add|list|show|disable|seal|test`: the catalogue, from files fit for version control.

mod exporter;
mod file;
mod rehearse;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::exporter::SealReportArgs;
use self::rehearse::TestReportArgs;
use super::health::admin;
use super::print::{field, printable, table};
use super::usage;
use crate::admin::{Admin, ReportDefinition};
use crate::config::{DatabaseArgs, ExporterArgs, SourceArgs, SourceSettings};
use crate::database::DatabaseError;
use crate::export::ExpectedExporter;

#[derive(Subcommand)]
pub(super) enum ReportCommand {
    /// Register reports from files, after planning each query where it will run, with the rights of its role
    ///
    /// The same file again changes nothing.
    ///
    /// Exit codes: 1 a report is refused; 2 a file, a setting or a grant is wrong.
    Add(AddReportArgs),
    /// List the reports that this login may see
    List(ListReportsArgs),
    /// Show one report with its parameters, limits and query
    Show(ShowReportArgs),
    /// Take no new requests for a report; `report add` enables it again
    Disable(ReportNameArgs),
    /// Let the database itself export a report, with the rights of the report's role: the daemon's login calls aws_s3 on it
    ///
    /// Whoever seals must be a member of the role that the report runs as.
    ///
    /// Exit codes: 1 the report cannot be sealed.
    Seal(SealReportArgs),
    /// Try a report without exporting: its columns, its plan and its first rows
    Test(TestReportArgs),
}

#[derive(Args)]
pub(super) struct AddReportArgs {
    /// Files that hold one report each
    #[arg(required = true, value_name = "FILE.toml")]
    files: Vec<PathBuf>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    exporter: ExporterArgs,
}

#[derive(Args)]
pub(super) struct ListReportsArgs {
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    exporter: ExporterArgs,
}

#[derive(Args)]
pub(super) struct ReportNameArgs {
    /// Name of the report
    name: String,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ShowReportArgs {
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

pub(super) async fn report(database: &DatabaseArgs, command: &ReportCommand) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    admin.check_schema().await?;
    match command {
        ReportCommand::Add(args) => add(database, &admin, args).await,
        ReportCommand::List(args) => list(&admin, args).await,
        ReportCommand::Show(args) => show(&admin, args).await,
        ReportCommand::Disable(args) => disable(&admin, args).await,
        ReportCommand::Seal(args) => exporter::seal(&admin, args).await,
        ReportCommand::Test(args) => rehearse::test(database, &admin, args).await,
    }
}

fn sources(database: &DatabaseArgs, args: &SourceArgs) -> anyhow::Result<SourceSettings> {
    let database = database.database().map_err(usage)?;
    SourceSettings::resolve(&database, args).map_err(usage)
}

/// A refusal that says which file it is about.
fn refused(definitions: &[(PathBuf, ReportDefinition)], (name, error): (String, DatabaseError)) -> anyhow::Error {
    match definitions.iter().find(|(_, definition)| definition.name == name) {
        Some((path, _)) => anyhow::Error::new(error).context(path.display().to_string()),
        None => error.into(),
    }
}

async fn add(database: &DatabaseArgs, admin: &Admin, args: &AddReportArgs) -> anyhow::Result<ExitCode> {
    let sources = crate::daemon::sources(&sources(database, &args.sources)?);
    let mut read: Vec<(PathBuf, ReportDefinition)> = Vec::new();
    for path in &args.files {
        let definition = file::read(path).map_err(usage)?;
        if let Some((other, _)) = read.iter().find(|(_, known)| known.name == definition.name) {
            return Err(usage(anyhow!("{}: the report \"{}\" is in {}, too", path.display(), definition.name, other.display())));
        }
        read.push((path.clone(), definition));
    }
    let definitions: Vec<ReportDefinition> = read.iter().map(|(_, definition)| definition.clone()).collect();
    // The database checks all files first: an error in one of them is told before any query is planned.
    admin.register_reports(&definitions, &[], true).await.map_err(|error| refused(&read, error))?;
    let mut types = Vec::new();
    for (path, definition) in &read {
        types.push(rehearse::plan(&sources, definition).await.with_context(|| path.display().to_string())?.types);
    }
    let mut registered = admin.register_reports(&definitions, &types, args.dry_run).await.map_err(|error| refused(&read, error))?;
    exporter::expected(&args.exporter, registered.iter_mut().filter_map(|registered| registered.expected.as_mut())).await;
    let results: Vec<Value> = registered
        .iter()
        .zip(&read)
        .map(|(registered, (path, definition))| {
            let result = match (registered.is_unchanged, args.dry_run) {
                (true, _) => "unchanged",
                (false, true) => "would register",
                (false, false) => "registered",
            };
            json!({"file": path, "report": definition.name, "version": registered.version, "result": result, "export": registered.expected})
        })
        .collect();
    if args.json {
        println!("{}", json!({ "reports": results }));
    } else {
        for (result, registered) in results.iter().zip(&registered) {
            println!("{}: {} version {}", field(result, "report"), field(result, "result"), result["version"]);
            registered.expected.iter().for_each(|expected| exporter::print("  ", expected));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(admin: &Admin, args: &ListReportsArgs) -> anyhow::Result<ExitCode> {
    let mut reports = admin.reports().await?;
    let mut exporters = admin.report_exporters().await?;
    exporter::expected(&args.exporter, exporters.iter_mut().map(|(_, expected)| expected)).await;
    let exporters: BTreeMap<String, ExpectedExporter> = exporters.into_iter().collect();
    for report in &mut reports {
        report["export"] = json!(report["name"].as_str().and_then(|name| exporters.get(name)));
    }
    if args.json {
        println!("{}", json!({ "reports": reports }));
        return Ok(ExitCode::SUCCESS);
    }
    if reports.is_empty() {
        println!("no reports that this login may see: register one with exportbox report add FILE.toml");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| {
            let params = report["params"].as_object().map(|params| params.keys().cloned().collect::<Vec<_>>().join(", "));
            let state = if report["disabled_at"].is_null() { "" } else { "disabled" };
            let description = report["description"].as_str().and_then(|text| text.lines().next()).map(printable);
            vec![
                field(report, "name"),
                field(report, "version"),
                state.to_string(),
                field(report, "run_as"),
                exporters.get(&field(report, "name")).map(ExpectedExporter::brief).unwrap_or_default(),
                params.unwrap_or_default(),
                description.unwrap_or_default(),
            ]
        })
        .collect();
    table(&["REPORT", "VERSION", "STATE", "RUNS AS", "EXPORTED", "PARAMETERS", "DESCRIPTION"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn no_such_report(name: &str) -> String {
    format!("there is no report \"{name}\" of that version, or this login may not see it; list them with: exportbox report list")
}

/// Label and column of what is shown one a line.
const SHOWN: [(&str, &str); 16] = [
    ("version", "version"),
    ("disabled", "disabled_at"),
    ("about", "description"),
    ("runs as", "run_as"),
    ("on source", "source"),
    ("requesters", "requesters"),
    ("formats", "formats"),
    ("max rows", "max_rows"),
    ("max bytes", "max_bytes"),
    ("timeout", "timeout"),
    ("domains", "recipient_domains"),
    ("recipients", "max_recipients"),
    ("kept for", "object_life"),
    ("KMS key", "kms_key"),
    ("prefix", "prefix"),
    ("split by", "split_key"),
];

async fn show(admin: &Admin, args: &ShowReportArgs) -> anyhow::Result<ExitCode> {
    let mut report = admin.report(&args.name, args.version).await?.with_context(|| no_such_report(&args.name))?;
    let mut known = admin.report_exporter(&args.name, args.version, None).await?;
    exporter::expected(&args.exporter, known.iter_mut()).await;
    report["export"] = json!(known);
    if args.json {
        println!("{report}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("report      {}", field(&report, "name"));
    for (label, column) in SHOWN.iter().filter(|(_, column)| !report[*column].is_null()) {
        let value = match &report[*column] {
            Value::Array(words) => words.iter().filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(", "),
            _ => field(&report, column),
        };
        println!("{label:<10}  {value}");
    }
    known.iter().for_each(|known| exporter::print("exported    ", known));
    println!("registered  {} UTC by {}", field(&report, "created_at"), field(&report, "created_by"));
    if let Some(params) = report["params"].as_object().filter(|params| !params.is_empty()) {
        println!("\nPARAMETERS");
        let rows: Vec<Vec<String>> = params
            .iter()
            .map(|(name, declared)| {
                let needed = if declared["required"] == true { "required".to_string() } else { field(declared, "default") };
                let range = [("min", "from "), ("max", "to "), ("values", "one of ")]
                    .iter()
                    .filter(|(key, _)| !declared[*key].is_null())
                    .map(|(key, word)| format!("{word}{}", field(declared, key)))
                    .collect::<Vec<_>>()
                    .join(" ");
                let description = declared["description"].as_str().map(printable).unwrap_or_default();
                vec![name.clone(), field(declared, "type"), needed, range, description]
            })
            .collect();
        table(&["NAME", "TYPE", "DEFAULT", "ALLOWED", "DESCRIPTION"], &rows);
    }
    match report["query"].as_str() {
        Some(query) => {
            println!("\nQUERY");
            query.trim_matches('\n').lines().for_each(|line| println!("  {}", printable(line)));
        }
        None => println!("\nThe query is for members of exportbox_operator."),
    }
    Ok(ExitCode::SUCCESS)
}

async fn disable(admin: &Admin, args: &ReportNameArgs) -> anyhow::Result<ExitCode> {
    let version = admin.disable_report(&args.name).await?;
    if args.json {
        println!("{}", json!({"report": args.name, "version": version, "result": "disabled"}));
    } else {
        println!("{}: version {version} takes no new requests; those already made go on", args.name);
    }
    Ok(ExitCode::SUCCESS)
}
