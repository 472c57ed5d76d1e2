//! Selects the exporter that makes a file.

use std::str::FromStr;

use super::ExportOptions;
use crate::format::FileFormat;
use crate::job::{ExpectedExporter, ExportJob, Failure, FailureClass, Verdict};
use crate::source::{Sealed, Session};

/// `EXPORTBOX_EXPORTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExporterSetting {
    /// `aws_s3` where the server has it, the role may call it and the format allows it, else `copy`.
    Auto,
    /// Only in the database.
    AwsS3,
    /// Only by streaming.
    Copy,
}

impl FromStr for ExporterSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<ExporterSetting, String> {
        match text {
            "auto" => Ok(ExporterSetting::Auto),
            "aws_s3" => Ok(ExporterSetting::AwsS3),
            "copy" => Ok(ExporterSetting::Copy),
            _ => Err("use auto, aws_s3 or copy".into()),
        }
    }
}

/// What the settings say of the exporter, whatever the database can do.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// Which exporter.
    pub setting: ExporterSetting,
    /// The region of bucket and database is known.
    pub has_region: bool,
    /// Backends for one file whose report has a split key.
    pub backends: usize,
}

/// Why the settings have a file streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streamed {
    Setting,
    Split,
    NoRegion,
    Unfit(&'static str),
}

impl Streamed {
    /// A word for programs, and a half sentence for people.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Streamed::Setting => ("setting", "EXPORTBOX_EXPORTER is copy"),
            Streamed::Split => ("split", "several backends make its files, which only streaming can (EXPORTBOX_SPLIT)"),
            Streamed::NoRegion => ("no_region", "aws_s3 needs to know the bucket's region, and these settings do not say it"),
            Streamed::Unfit(why) => ("unfit", why),
        }
    }

    /// Why an export that only aws_s3 may make waits.
    fn refusal(self) -> Failure {
        match self {
            Streamed::NoRegion => unusable("aws_s3 needs to know the bucket's region; set AWS_REGION."),
            other => unusable(&format!("{}; run a daemon with EXPORTBOX_EXPORTER=auto or copy for such requests.", other.words().1)),
        }
    }
}

impl Selection {
    /// By the options of a daemon.
    pub fn of(options: &ExportOptions) -> Selection {
        Selection { setting: options.exporter, has_region: options.region.is_some(), backends: options.split.backends }
    }

    /// Why a file is streamed whatever the database can do. `None`: the database decides.
    fn streamed(self, may_split: bool, unfit: Option<&'static str>) -> Option<Streamed> {
        match self.setting {
            ExporterSetting::Copy => Some(Streamed::Setting),
            // What is split is streamed: aws_s3 writes with one backend.
            ExporterSetting::Auto if may_split => Some(Streamed::Split),
            _ if !self.has_region => Some(Streamed::NoRegion),
            _ => unfit.map(Streamed::Unfit),
        }
    }

    /// What these settings make of what the database says of a report.
    pub fn expected(self, known: ExpectedExporter) -> ExpectedExporter {
        let only_aws_s3 = self.setting == ExporterSetting::AwsS3;
        match self.streamed(known.has_split_key && self.backends > 1, None) {
            Some(why) => {
                let (reason, sentence) = why.words();
                let what_to_do = (why == Streamed::NoRegion).then(|| "set AWS_REGION".to_string());
                let exporter = (!only_aws_s3).then_some("copy");
                ExpectedExporter { exporter, reason: reason.into(), sentence: sentence.into(), what_to_do, ..known }
            }
            None if only_aws_s3 && !known.is_in_database() => {
                ExpectedExporter { exporter: None, sentence: format!("EXPORTBOX_EXPORTER is aws_s3, and {}", known.sentence), ..known }
            }
            None => known,
        }
    }
}

/// The exporter of one attempt.
pub(super) enum Selected {
    /// As the export's role, or as the daemon's login over the report's sealed function.
    AwsS3(Option<Sealed>),
    Copy,
}

impl Selected {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Selected::AwsS3(_) => "aws_s3",
            Selected::Copy => "copy",
        }
    }
}

fn unusable(sentence: &str) -> Failure {
    Failure::new(FailureClass::AwsS3Config, Verdict::Postpone, sentence)
}

/// Select the exporter of one attempt. The query always runs with its own role's rights: a sealed report as its function, whose result the daemon's
/// login exports; anything else only where its role itself may call aws_s3. Otherwise `auto` streams.
pub(super) async fn select(
    selection: Selection,
    may_split: bool,
    session: &Session,
    job: &ExportJob,
    file: &FileFormat,
) -> Result<Selected, Failure> {
    match (selection.setting, selection.streamed(may_split, file.unfit_for_aws_s3())) {
        (ExporterSetting::AwsS3, Some(why)) => Err(why.refusal()),
        (_, Some(_)) => Ok(Selected::Copy),
        (ExporterSetting::AwsS3, None) => in_database(session, job).await?.map_err(unusable),
        (_, None) => Ok(in_database(session, job).await?.unwrap_or(Selected::Copy)),
    }
}

/// The in-database exporter, or why it cannot be used.
async fn in_database(session: &Session, job: &ExportJob) -> Result<Result<Selected, &'static str>, Failure> {
    let found = session.may_use_aws_s3().await?;
    // What the login may not export, nobody need have sealed.
    let sealed = if found.as_ref().is_some_and(|found| found.usable_by_login) { session.sealed(job).await? } else { None };
    Ok(match found {
        None => Err("The source database has no aws_s3; create the extension, or set EXPORTBOX_EXPORTER=copy."),
        Some(found) if sealed.is_none() && !found.usable => Err(
            "The role of this export may not call aws_s3, and it is not a sealed report; seal it with exportbox.seal_report, or set EXPORTBOX_EXPORTER=auto.",
        ),
        Some(found) if job.terms.kms_key.is_some() && !found.takes_key => {
            Err("This server's aws_s3 takes no key of a report's own; update the extension, or set EXPORTBOX_EXPORTER=auto.")
        }
        Some(_) => Ok(Selected::AwsS3(sealed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(exporter: &'static str, has_split_key: bool) -> ExpectedExporter {
        let (reason, sentence) = if exporter == "aws_s3" { ("sealed", "it is sealed") } else { ("not_sealed", "it is not sealed") };
        ExpectedExporter { exporter: Some(exporter), reason: reason.into(), sentence: sentence.into(), what_to_do: None, has_split_key }
    }

    #[test]
    fn the_settings_come_before_what_the_database_says() {
        use ExporterSetting::{Auto, AwsS3, Copy};
        for (setting, has_region, backends, in_database, has_split_key, exporter, reason) in [
            (Auto, true, 2, true, false, Some("aws_s3"), "sealed"),
            (Auto, true, 2, false, false, Some("copy"), "not_sealed"),
            (Auto, false, 2, true, false, Some("copy"), "no_region"),
            (Auto, true, 2, true, true, Some("copy"), "split"),
            (Auto, true, 1, true, true, Some("aws_s3"), "sealed"),
            (Copy, true, 2, true, false, Some("copy"), "setting"),
            (AwsS3, true, 2, true, true, Some("aws_s3"), "sealed"),
            (AwsS3, true, 2, false, false, None, "not_sealed"),
            (AwsS3, false, 2, true, false, None, "no_region"),
        ] {
            let selection = Selection { setting, has_region, backends };
            let expected = selection.expected(known(if in_database { "aws_s3" } else { "copy" }, has_split_key));
            assert_eq!((expected.exporter, expected.reason.as_str()), (exporter, reason), "{selection:?}");
        }
        let selection = Selection { setting: Auto, has_region: true, backends: 1 };
        assert_eq!(selection.streamed(false, Some("aws_s3 cannot compress")), Some(Streamed::Unfit("aws_s3 cannot compress")));
    }
}
