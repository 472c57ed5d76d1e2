//! `report test`, and the planning that `report add` does first: on the source where the query will run, with the rights that it will have.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Map, Value, json};

use super::super::print::{count, printable, table};
use super::super::{is_file, usage};
use super::{exporter, file, no_such_report};
use crate::admin::{Admin, Registered, ReportDefinition};
use crate::config::{DatabaseArgs, ExporterArgs, SourceArgs};
use crate::export::{self, ExpectedExporter, Rehearsal, Rehearsed};
use crate::source::{DEFAULT_SOURCE, Sources};

/// Planning takes moments, unless it waits for a lock.
const PLANNING: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(in super::super) struct TestReportArgs {
    /// A file, or the name of a registered report
    #[arg(value_name = "FILE.toml|NAME")]
    what: String,
    /// A parameter's value; once for each
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Rows to show; 0 plans and runs nothing
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    rows: u32,
    /// The longest that it may take
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
    /// Print as one line of JSON, with the whole plan
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    exporter: ExporterArgs,
}

/// Refuse a query that cannot run: on its source, with the rights of its role, its parameters unset.
pub(super) async fn plan(sources: &Sources, definition: &ReportDefinition) -> anyhow::Result<Rehearsed> {
    let rehearsal = Rehearsal {
        query: definition.query.clone(),
        run_as: definition.run_as.clone(),
        params: Vec::new(),
        rows: 0,
        timeout: PLANNING,
        split_key: definition.split_key.clone(),
    };
    rehearse(sources, definition.source.as_deref(), &rehearsal).await
}

async fn rehearse(sources: &Sources, source: Option<&str>, rehearsal: &Rehearsal) -> anyhow::Result<Rehearsed> {
    let said = |failure: crate::source::Failure| {
        // Whoever registers a query may read what the server says of it.
        let detail = failure.detail.as_deref().map(|detail| format!("\n  {}", printable(detail))).unwrap_or_default();
        anyhow!("{}{detail}", failure.sentence)
    };
    let source = sources.named(source.unwrap_or(DEFAULT_SOURCE)).map_err(said)?;
    export::rehearse(source, rehearsal).await.map_err(said)
}

pub(super) async fn test(database: &DatabaseArgs, admin: &Admin, args: &TestReportArgs) -> anyhow::Result<ExitCode> {
    let sources = crate::daemon::sources(&super::sources(database, &args.sources)?);
    let given = given(&args.params).map_err(usage)?;
    let definition = find(admin, &args.what).await?;
    let params = admin.read_report_params(&definition.name, &definition.params, &given).await?;
    let rehearsal = Rehearsal {
        query: definition.query.clone(),
        run_as: definition.run_as.clone(),
        params: params.clone(),
        rows: args.rows,
        timeout: args.timeout,
        split_key: definition.split_key.clone(),
    };
    let seen = rehearse(&sources, definition.source.as_deref(), &rehearsal).await.with_context(|| args.what.clone())?;
    let mut known = exporter_of(admin, &args.what, &definition, &seen.types).await?;
    exporter::expected(&args.exporter, known.iter_mut()).await;
    let root = &seen.plan[0]["Plan"];
    let source = definition.source.as_deref().unwrap_or(DEFAULT_SOURCE);
    if args.json {
        let columns: Vec<Value> = seen.columns.iter().map(|(name, of_type)| json!({"name": name, "type": of_type})).collect();
        let params: Map<String, Value> = params.into_iter().map(|(name, value)| (name, value.into())).collect();
        println!(
            "{}",
            json!({"report": definition.name, "run_as": definition.run_as, "source": source, "params": params, "columns": columns,
                "cost": root["Total Cost"], "estimated_rows": root["Plan Rows"], "plan": root, "first_rows": seen.first_rows, "export": known})
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("report   {}, as {} on {source}", printable(&definition.name), printable(&definition.run_as));
    let columns: Vec<String> = seen.columns.iter().map(|(name, of_type)| format!("{} {of_type}", printable(name))).collect();
    println!("columns  {}", columns.join(", "));
    println!("plan     cost {}, about {} rows", root["Total Cost"], count(root["Plan Rows"].as_i64().unwrap_or_default()));
    print_plan(root, 1);
    known.iter().for_each(|known| exporter::print("export   ", known));
    if args.rows == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nFIRST ROWS ({})", seen.first_rows.len());
    let header: Vec<String> = seen.columns.iter().map(|(name, _)| printable(name)).collect();
    let cell = |row: &Value, name: &str| match &row[name] {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    };
    let rows: Vec<Vec<String>> = seen.first_rows.iter().map(|row| seen.columns.iter().map(|(name, _)| cell(row, name)).collect()).collect();
    if !header.is_empty() {
        table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// One line for each node of the plan.
fn print_plan(node: &Value, depth: usize) {
    let word = |name: &str, before: &str| node[name].as_str().map(|word| format!("{before}{}", printable(word))).unwrap_or_default();
    println!(
        "{:depth$}{}{}{}",
        "",
        word("Node Type", ""),
        word("Index Name", " using "),
        word("Relation Name", " on "),
        depth = 7 + 2 * depth
    );
    node["Plans"].as_array().into_iter().flatten().for_each(|below| print_plan(below, depth + 1));
}

/// `month=2026-01-01`; what stands after the first equals sign is the value.
fn given(params: &[String]) -> anyhow::Result<Value> {
    let mut given = Map::new();
    for param in params {
        let (name, value) = param.split_once('=').with_context(|| format!("--param {param}: write NAME=VALUE"))?;
        given.insert(name.to_string(), value.into());
    }
    Ok(Value::Object(given))
}

/// What registering this file would come to.
async fn checked(admin: &Admin, what: &str, definition: &ReportDefinition, types: &[Vec<u32>]) -> anyhow::Result<Vec<Registered>> {
    let checked = admin.register_reports(std::slice::from_ref(definition), types, true).await;
    checked.map_err(|(_, error)| anyhow::Error::new(error).context(what.to_string()))
}

/// What would export it: a file as if it were registered now.
async fn exporter_of(admin: &Admin, what: &str, definition: &ReportDefinition, types: &[u32]) -> anyhow::Result<Option<ExpectedExporter>> {
    if is_file(what) {
        let registered = checked(admin, what, definition, &[types.to_vec()]).await?;
        return Ok(registered.into_iter().find_map(|registered| registered.expected));
    }
    Ok(admin.report_exporter(&definition.name, None, Some(types)).await?)
}

/// A file is checked as `report add` would; a name is looked up.
async fn find(admin: &Admin, what: &str) -> anyhow::Result<ReportDefinition> {
    if is_file(what) {
        let definition = file::read(Path::new(what)).map_err(usage)?;
        checked(admin, what, &definition, &[]).await?;
        return Ok(definition);
    }
    let report = admin.report(what, None).await?.with_context(|| no_such_report(what))?;
    let word = |name: &str| report[name].as_str().map(ToString::to_string);
    Ok(ReportDefinition {
        name: what.to_string(),
        query: word("query").context("the query is for members of exportbox_operator: ask as one of them")?,
        run_as: word("run_as").unwrap_or_default(),
        params: report["params"].clone(),
        source: word("source"),
        split_key: word("split_key"),
        ..ReportDefinition::default()
    })
}
