//! How a process works.

use std::fmt;
use std::time::Duration;

use clap::Args;

use super::SourceArgs;
use super::retention::{Age, RetentionArgs, age};
use crate::export::ExporterSetting;
use crate::secret::Secret;

/// What decides about the exporter of a file: for daemons, and for those who ask what a daemon would do.
#[derive(Args, Debug, Clone)]
pub struct ExporterArgs {
    /// auto, aws_s3 (inside the database) or copy (streamed through the daemon)
    #[arg(long, env = "EXPORTBOX_EXPORTER", default_value = "auto")]
    pub exporter: ExporterSetting,
    /// Backends for one export of a report with a split key, 1 to 16; with 1 there is never more than one. All exports of a process share
    /// those beyond the first. When none of them is free, an export goes on with fewer
    #[arg(long, env = "EXPORTBOX_SPLIT", default_value_t = 2)]
    pub split: usize,
}

/// How `run` and `drain` work. AWS settings are the SDK's own: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_S3, …
#[derive(Args, Clone)]
pub struct WorkArgs {
    /// Where queries run.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// The bucket for the files. Required
    #[arg(long, env = "EXPORTBOX_BUCKET")]
    pub bucket: Option<String>,
    /// What every key in the bucket begins with
    #[arg(long, env = "EXPORTBOX_PREFIX", default_value = "exports")]
    pub prefix: String,
    /// Which exporter.
    #[command(flatten)]
    pub exporter: ExporterArgs,
    /// How mails leave: ses, smtp://user:password@host:port, smtps://… or file:DIR. Required
    #[arg(long, env = "EXPORTBOX_MAIL", hide_env_values = true, value_name = "TRANSPORT")]
    pub mail: Option<Secret>,
    /// The sender of the mails, for example: Exports <exports@example.com>. Required
    #[arg(long, env = "EXPORTBOX_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<String>,
    /// An SES configuration set, for events and dedicated addresses
    #[arg(long, env = "EXPORTBOX_SES_CONFIGURATION_SET", value_name = "NAME")]
    pub ses_configuration_set: Option<String>,
    /// Exports at once in this process, 1 to 256. Each running export has a connection to the source
    #[arg(long, env = "EXPORTBOX_SLOTS", default_value_t = 4)]
    pub slots: usize,
    /// Exports at once over all processes, 1 to 10000, so that no more long queries run on the source. Give all processes the same number.
    /// Default: no limit
    #[arg(long, env = "EXPORTBOX_SOURCE_SLOTS")]
    pub source_slots: Option<i32>,
    /// Mails at once in this process, 1 to 256
    #[arg(long, env = "EXPORTBOX_MAIL_SLOTS", default_value_t = 8)]
    pub mail_slots: usize,
    /// How long a job stays with a worker that gives no sign of life, 1s to 24h
    #[arg(long, env = "EXPORTBOX_LEASE", value_parser = duration, default_value = "90s")]
    pub lease: Duration,
    /// Time between two signs of life; at most a third of the lease
    #[arg(long, env = "EXPORTBOX_HEARTBEAT", value_parser = duration, default_value = "15s")]
    pub heartbeat: Duration,
    /// The longest sleep of an idle worker, give or take a fifth; 100ms to 24h
    #[arg(long, env = "EXPORTBOX_POLL", value_parser = duration, default_value = "90s")]
    pub poll: Duration,
    /// The longest that one attempt of an export may take, 1s to 7d; its report or its request may allow less
    #[arg(long, env = "EXPORTBOX_TIMEOUT", value_parser = duration, default_value = "1h")]
    pub timeout: Duration,
    /// How long running work may go on after SIGTERM
    #[arg(long, env = "EXPORTBOX_GRACE", value_parser = duration, default_value = "30s")]
    pub grace: Duration,
    /// How long links work, 1m to 7d, unless the request says otherwise
    #[arg(long, env = "EXPORTBOX_LINK_TTL", value_parser = duration, default_value = "24h")]
    pub link_ttl: Duration,
    /// The age at which the bucket's lifecycle rule deletes objects, so that no mail promises more. Default: none
    #[arg(long, env = "EXPORTBOX_OBJECT_LIFE", value_parser = duration, value_name = "DURATION")]
    pub object_life: Option<Duration>,
    /// What becomes of a mail that may have been sent: resend it (the recipient may get two) or hold it for a person
    #[arg(long, env = "EXPORTBOX_UNKNOWN", default_value = "resend", value_parser = ["resend", "hold"])]
    pub unknown: String,
    /// Attempts of an export before it is dead, 1 to 100; its request may ask for fewer
    #[arg(long, env = "EXPORTBOX_EXPORT_ATTEMPTS", default_value_t = 5)]
    pub export_attempts: i16,
    /// Attempts of a mail before it is dead, 1 to 100
    #[arg(long, env = "EXPORTBOX_MAIL_ATTEMPTS", default_value_t = 8)]
    pub mail_attempts: i16,
    /// Who is told by mail that an export died: off (nobody), or recipients (those of the export)
    #[arg(long, env = "EXPORTBOX_FAILURE_NOTICE", default_value = "off", value_parser = ["off", "recipients"])]
    pub failure_notice: String,
    /// A recipient gets at most one mail about failures in this time, 1m to 24h; what fails meanwhile is collected
    #[arg(long, env = "EXPORTBOX_FAILURE_WINDOW", value_parser = duration, default_value = "10m")]
    pub failure_window: Duration,
    /// Addresses that get a digest of what died, separated by commas. Default: no digest
    #[arg(long, env = "EXPORTBOX_OPERATORS", hide_env_values = true, value_name = "ADDRESS,…", value_delimiter = ',')]
    pub operators: Vec<String>,
    /// Time between two digests, 1m to 24h; when nothing died, none is sent
    #[arg(long, env = "EXPORTBOX_DIGEST_EVERY", value_parser = duration, default_value = "1h")]
    pub digest_every: Duration,
    /// Size of the first parts of a large upload in MiB, 5 to 5120. 5 is enough for files of up to 50 GB; larger files need larger parts
    /// and more memory
    #[arg(long, env = "EXPORTBOX_PART_SIZE", default_value_t = 5, value_name = "MIB")]
    pub part_size: u64,
    /// Retention.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// The age at which unfinished uploads below the prefix are aborted, or forever. An attempt lasts 7d at most: take more than that where
    /// other installations use the same prefix
    #[arg(long, env = "EXPORTBOX_KEEP_UPLOADS", value_parser = age, default_value = "8d", value_name = "AGE")]
    pub keep_uploads: Age,
    /// The S3 endpoint in links, when recipients reach it under another name than this process
    #[arg(long, env = "EXPORTBOX_PUBLIC_S3_ENDPOINT", value_name = "URL")]
    pub public_s3_endpoint: Option<String>,
}

/// URLs hold secrets.
impl fmt::Debug for WorkArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkArgs(…)")
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 90s, 15m or 24h".to_string())
}
