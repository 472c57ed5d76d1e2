//! Where queries run: whether the server answers, whether the login may become the roles of the exports, and which exporter makes which files.

use std::collections::BTreeMap;

use super::{Doctor, Finding, Known, cut_off};
use crate::export::{ExporterSetting, Selection};
use crate::job::{DEFAULT_SOURCE, ExpectedExporter, Failure};
use crate::source::SourceFacts;

impl Doctor {
    pub(super) async fn places(&self, known: &mut Known) -> Vec<Finding> {
        let mut by_source: BTreeMap<&str, Vec<String>> = BTreeMap::from([(DEFAULT_SOURCE, Vec::new())]);
        for runs_as in &known.runs_as {
            let roles = by_source.entry(&runs_as.source).or_default();
            if !roles.contains(&runs_as.role) {
                roles.push(runs_as.role.clone());
            }
        }
        let (mut source, mut missing, mut unknown, mut checked) = (None, Vec::new(), None, 0);
        let mut findings = Vec::new();
        for (name, roles) in &by_source {
            let facts = self.inspect(name, roles).await;
            match facts {
                None => findings.push(cut_off("source", self.limits.patience)),
                Some(Err(failure)) if *name == DEFAULT_SOURCE => findings.push(Finding::failed("source", &failure)),
                Some(Err(failure)) => unknown = Some((name.to_string(), failure)),
                Some(Ok(facts)) => {
                    checked += facts.roles.len();
                    missing.extend(self.missing(name, &facts));
                    if *name == DEFAULT_SOURCE {
                        findings.push(source_is(&facts));
                        source = Some(facts);
                    }
                }
            }
        }
        let roles = if let Some((name, failure)) = unknown {
            let other = Finding::failed("roles", &failure);
            Finding { finding: format!("source {name}: {}", other.finding), ..other }
        } else if missing.is_empty() {
            match (checked, known.server.is_some()) {
                (_, false) => Finding::skipped("roles", "the database was not reached"),
                (0, true) => Finding::ok("roles", "no report and no query needs a role so far"),
                (checked, true) => Finding::ok("roles", format!("the login may become all {checked} that exports run as")),
            }
        } else {
            let granted = missing.join(", ");
            Finding::fail(
                "roles",
                format!("the login may not become {granted}: their exports wait"),
                format!("grant {granted} to the daemon's login"),
            )
        };
        findings.push(roles);
        known.source = source;
        findings.push(self.aws_s3(known));
        findings.push(self.exporter(known));
        findings.push(self.reports(known).await);
        findings
    }

    /// `None`: it took too long.
    async fn inspect(&self, name: &str, roles: &[String]) -> Option<Result<SourceFacts, Failure>> {
        let inspecting = async { self.sources.named(name)?.inspect(roles).await };
        tokio::time::timeout(self.limits.patience, inspecting).await.ok()
    }

    fn missing(&self, name: &str, facts: &SourceFacts) -> Vec<String> {
        let has_own_login = |role: &str| self.sources.named(name).is_ok_and(|source| source.has_login_for(role));
        let missing = facts.roles.iter().filter(|role| !role.may_become && !has_own_login(&role.role));
        missing.map(|role| role.role.clone()).collect()
    }

    fn aws_s3(&self, known: &Known) -> Finding {
        let only = self.options.exporter == ExporterSetting::AwsS3;
        let Some(source) = &known.source else { return Finding::skipped("aws_s3", "the source was not reached") };
        let Some(found) = &source.aws_s3 else {
            let said = "the source has no aws_s3";
            return if only {
                Finding::fail("aws_s3", said, "run create extension aws_s3 cascade, or set EXPORTBOX_EXPORTER=copy")
            } else {
                Finding::ok("aws_s3", format!("{said}; files are streamed"))
            };
        };
        if let Some(fault) = source.server.fault_with_aws_s3() {
            return Finding::warn("aws_s3", fault, "upgrade the engine, or set EXPORTBOX_EXPORTER=copy until then");
        }
        let version =
            source.server.aws_s3.as_ref().map_or_else(|| "not of an extension".to_string(), |version| format!("version {version}"));
        if !found.takes_key {
            let fix = "run alter extension aws_s3 update; reports with a key of their own are streamed until then";
            return Finding::warn("aws_s3", format!("there, {version}, and takes no key of a report's own"), fix);
        }
        Finding::ok("aws_s3", format!("there, {version}"))
    }

    /// Whether the database writes the files of each report, or they are streamed.
    async fn reports(&self, known: &Known) -> Finding {
        if known.server.is_none() || known.refused.is_some() {
            return Finding::skipped("reports", "the database was not reached, or its schema is not this program's");
        }
        match tokio::time::timeout(self.limits.patience, self.admin.report_exporters()).await {
            Err(_) => cut_off("reports", self.limits.patience),
            Ok(Err(error)) => Finding::refused("reports", &error),
            Ok(Ok(known)) => {
                let selection = Selection::of(&self.options);
                reports(known.into_iter().map(|(report, known)| (report, selection.expected(known))).collect())
            }
        }
    }

    fn exporter(&self, known: &Known) -> Finding {
        let Some(source) = &known.source else { return Finding::skipped("exporter", "the source was not reached") };
        let may_login = source.aws_s3.map(|found| found.usable);
        match (self.options.exporter, may_login, &self.options.region) {
            (ExporterSetting::Copy, ..) => Finding::ok("exporter", "copy: every file is streamed, as EXPORTBOX_EXPORTER says"),
            (ExporterSetting::Auto, None, _) => Finding::ok("exporter", "auto takes copy: the source has no aws_s3"),
            (ExporterSetting::Auto, Some(_), None) => {
                Finding::warn("exporter", "auto takes copy: the bucket's region is not known, which aws_s3 needs", "set AWS_REGION")
            }
            (ExporterSetting::Auto, Some(true), Some(_)) => Finding::ok(
                "exporter",
                "auto takes aws_s3 for sealed reports and for roles that may call it, and copy for compressed files and all others",
            ),
            (ExporterSetting::Auto, Some(false), Some(_)) => Finding::ok(
                "exporter",
                "auto takes aws_s3 for roles that may call it, and copy for compressed files and all others: the login may not call it",
            ),
            (ExporterSetting::AwsS3, _, None) => Finding::fail("exporter", "aws_s3 needs to know the bucket's region", "set AWS_REGION"),
            (ExporterSetting::AwsS3, None, _) => Finding::fail(
                "exporter",
                "aws_s3 is asked for, and the source has none",
                "set EXPORTBOX_EXPORTER=auto, or create the extension",
            ),
            (ExporterSetting::AwsS3, Some(_), Some(_)) => {
                Finding::ok("exporter", "aws_s3 for every file, as EXPORTBOX_EXPORTER says; requests that it cannot serve wait")
            }
        }
    }
}

/// Worth doing: aws_s3 could make these files, and somebody may have thought that it does.
const UNSEALED: [&str; 4] = ["not_sealed", "changed", "open_schema", "types"];

/// Each report with what would export it, those alike together.
fn reports(expected: Vec<(String, ExpectedExporter)>) -> Finding {
    const NAME: &str = "reports";
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut fixes = Vec::new();
    for (report, expected) in expected {
        if UNSEALED.contains(&expected.reason.as_str()) {
            fixes.extend(expected.what_to_do.clone().filter(|fix| !fixes.contains(fix)));
        }
        alike.entry(expected.in_words()).or_default().push(report);
    }
    let said: Vec<String> = alike.iter().map(|(words, reports)| format!("{} {words}", reports.join(", "))).collect();
    match (said.is_empty(), fixes.is_empty()) {
        (true, _) => Finding::ok(NAME, "no report takes requests"),
        (false, true) => Finding::ok(NAME, said.join(". ")),
        (false, false) => Finding::warn(NAME, said.join(". "), fixes.join("; ")),
    }
}

fn source_is(facts: &SourceFacts) -> Finding {
    let kind = if facts.server.is_standby { "a standby" } else { "a primary" };
    Finding::ok("source", format!("queries run on {kind}, {}", facts.server.name()))
}
