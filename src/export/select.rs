//! Selects the exporter that makes a file.

use std::str::FromStr;

use crate::format::FileFormat;
use crate::job::{ExportJob, Failure, FailureClass, Verdict};
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
    setting: ExporterSetting,
    has_region: bool,
    session: &Session,
    job: &ExportJob,
    file: &FileFormat,
) -> Result<Selected, Failure> {
    let unfit = file.unfit_for_aws_s3();
    match setting {
        ExporterSetting::Copy => Ok(Selected::Copy),
        ExporterSetting::Auto if unfit.is_some() || !has_region => Ok(Selected::Copy),
        ExporterSetting::Auto => Ok(in_database(session, job).await?.unwrap_or(Selected::Copy)),
        ExporterSetting::AwsS3 if !has_region => Err(unusable("aws_s3 needs to know the bucket's region; set AWS_REGION.")),
        ExporterSetting::AwsS3 => match unfit {
            Some(why) => Err(unusable(&format!("{why}; run a daemon with EXPORTBOX_EXPORTER=auto or copy for such requests."))),
            None => in_database(session, job).await?.map_err(unusable),
        },
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
