//! `doctor`: what is wrong, and what to do about it, on one screen.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::print::printable;
use super::{exit_code, usage};
use crate::config::{DatabaseArgs, Settings, WorkArgs};
use crate::daemon;
use crate::doctor::{CheckStatus, Diagnosis, Finding};

#[derive(Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn doctor(database: &DatabaseArgs, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::resolve(database, &args.work).map_err(usage)?;
    let report = daemon::doctor(settings).await?.check().await;
    if args.json {
        let [ok, warnings, failures, skipped] =
            [CheckStatus::Ok, CheckStatus::Warn, CheckStatus::Fail, CheckStatus::Skipped].map(|status| report.count(status));
        println!("{}", json!({ "checks": report.findings, "ok": ok, "warn": warnings, "fail": failures, "skipped": skipped }));
    } else {
        report.findings.iter().for_each(print);
        println!("\n{}", sum(&report));
    }
    Ok(code(report))
}

fn print(finding: &Finding) {
    let status = match finding.status {
        CheckStatus::Ok => "ok",
        CheckStatus::Warn => "WARN",
        CheckStatus::Fail => "FAIL",
        CheckStatus::Skipped => "-",
    };
    println!("{status:<4}  {:<13}  {}", finding.name, printable(&finding.finding));
    if let Some(fix) = &finding.fix {
        println!("{:21}→ {}", "", printable(fix));
    }
}

fn sum(report: &Diagnosis) -> String {
    match (report.count(CheckStatus::Fail), report.count(CheckStatus::Warn)) {
        (0, 0) => "nothing to do".into(),
        (0, warnings) => format!("it works; to do: {warnings}"),
        (failures, warnings) => format!("wrong: {failures}; to do beside that: {warnings}"),
    }
}

/// What would stop a daemon at its start has the exit code of that daemon.
fn code(report: Diagnosis) -> ExitCode {
    if report.count(CheckStatus::Fail) == 0 {
        return ExitCode::SUCCESS;
    }
    report.refused.map_or(ExitCode::FAILURE, |refused| exit_code(&anyhow::Error::new(refused)))
}
