//! Which exporter makes a file.

use std::str::FromStr;

use crate::job::{Compression, ExportJob, Failure, FailureClass, Verdict};
use crate::source::Session;

/// `EXPORTBOX_EXPORTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExporterChoice {
    /// `aws_s3` where the server has it, the role may call it and the format allows it, else `copy`.
    Auto,
    /// Only in the database.
    AwsS3,
    /// Only by streaming.
    Copy,
}

impl FromStr for ExporterChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<ExporterChoice, String> {
        match text {
            "auto" => Ok(ExporterChoice::Auto),
            "aws_s3" => Ok(ExporterChoice::AwsS3),
            "copy" => Ok(ExporterChoice::Copy),
            _ => Err("use auto, aws_s3 or copy".into()),
        }
    }
}

/// The exporter of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exporter {
    AwsS3,
    Copy,
}

impl Exporter {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Exporter::AwsS3 => "aws_s3",
            Exporter::Copy => "copy",
        }
    }
}

fn unusable(sentence: &str) -> Failure {
    Failure::new(FailureClass::AwsS3Config, Verdict::Postpone, sentence)
}

/// Choose for one export. The query always runs with its own role's rights: where that role may not call aws_s3, `auto` streams.
pub(super) async fn choose(choice: ExporterChoice, has_region: bool, session: &Session, job: &ExportJob) -> Result<Exporter, Failure> {
    let compressed = job.compression != Compression::None;
    let lacks_key = |takes_key: bool| job.terms.kms_key.is_some() && !takes_key;
    match choice {
        ExporterChoice::Copy => Ok(Exporter::Copy),
        ExporterChoice::Auto if compressed || !has_region => Ok(Exporter::Copy),
        ExporterChoice::Auto => match session.may_use_aws_s3().await? {
            Some(found) if found.usable && !lacks_key(found.takes_key) => Ok(Exporter::AwsS3),
            _ => Ok(Exporter::Copy),
        },
        ExporterChoice::AwsS3 if !has_region => Err(unusable("aws_s3 needs to know the bucket's region; set AWS_REGION.")),
        ExporterChoice::AwsS3 if compressed => {
            Err(unusable("aws_s3 cannot compress; run a daemon with EXPORTBOX_EXPORTER=auto or copy for such requests."))
        }
        ExporterChoice::AwsS3 => match session.may_use_aws_s3().await? {
            Some(found) if found.usable && lacks_key(found.takes_key) => {
                Err(unusable("This server's aws_s3 takes no key of a report's own; update the extension, or set EXPORTBOX_EXPORTER=auto."))
            }
            Some(found) if found.usable => Ok(Exporter::AwsS3),
            Some(_) => Err(unusable("The role of this export may not call aws_s3; grant it, or set EXPORTBOX_EXPORTER=auto.")),
            None => Err(unusable("The source database has no aws_s3; create the extension, or set EXPORTBOX_EXPORTER=copy.")),
        },
    }
}
