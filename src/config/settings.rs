//! The settings of a worker, checked: what is wrong is said before anything starts.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::{DatabaseArgs, SourceSettings, WorkArgs};
use crate::database::DatabaseUrl;
use crate::export::{ExporterSetting, SplitOptions};
use crate::mail::{Sender, Transport};
use crate::queue::Policy;
use crate::worker::{AbandonedUploads, NoticeOptions, WorkOptions};

/// A process with this many slots for exports, or for mails, has a second connection to the job tables.
const MANY_SLOTS: usize = 16;

/// The settings of a worker, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the job tables are.
    pub database: DatabaseUrl,
    /// The same without the pooler, if that URL is set.
    pub direct: Option<DatabaseUrl>,
    /// Where queries run.
    pub source: DatabaseUrl,
    /// Where else, for reports that name their source.
    pub named_sources: Vec<(String, DatabaseUrl)>,
    /// The same place over logins of their own, by role.
    pub source_for: Vec<(String, DatabaseUrl)>,
    /// Where files go.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: String,
    /// Which exporter.
    pub exporter: ExporterSetting,
    /// How mails leave.
    pub mail: Transport,
    /// Who sends them.
    pub sender: Sender,
    /// SES configuration set.
    pub ses_configuration_set: Option<String>,
    /// How long links live.
    pub link_ttl: Duration,
    /// How long objects live.
    pub object_life: Option<Duration>,
    /// First part size, bytes.
    pub part_size: u64,
    /// Files that several backends make.
    pub split: SplitOptions,
    /// The endpoint in links.
    pub public_s3_endpoint: Option<String>,
    /// The rules of claiming.
    pub policy: Policy,
    /// How the process works.
    pub work: WorkOptions,
}

impl Settings {
    /// Check everything that can be checked without asking anybody.
    ///
    /// # Errors
    /// The first setting that is wrong, and what to write.
    pub fn resolve(database: &DatabaseArgs, args: &WorkArgs) -> anyhow::Result<Settings> {
        let (database, direct) = (database.database()?, database.direct()?);
        let SourceSettings { default: source, for_roles: source_for, others: named_sources } =
            SourceSettings::resolve(&database, &args.sources)?;
        let bucket = args.bucket.clone().filter(|bucket| !bucket.is_empty()).context("no bucket: set EXPORTBOX_BUCKET")?;
        let mail = args.mail.as_ref().context("no mail transport: set EXPORTBOX_MAIL to ses, smtp://host:port or file:DIR")?;
        let mail: Transport = mail.reveal().parse().context("EXPORTBOX_MAIL")?;
        let sender = args.mail_from.as_deref().context("no sender: set EXPORTBOX_MAIL_FROM, for example exports@example.com")?;
        let sender: Sender = sender.parse().context("EXPORTBOX_MAIL_FROM")?;
        ensure!((1..=256).contains(&args.slots), "EXPORTBOX_SLOTS must be 1 to 256");
        ensure!(
            args.source_slots.is_none_or(|slots| (1..=10_000).contains(&slots)),
            "EXPORTBOX_SOURCE_SLOTS must be 1 to 10000, or not set"
        );
        ensure!((1..=16).contains(&args.exporter.split), "EXPORTBOX_SPLIT must be 1 to 16");
        ensure!((1..=256).contains(&args.mail_slots), "EXPORTBOX_MAIL_SLOTS must be 1 to 256");
        let day = Duration::from_secs(24 * 3600);
        ensure!((Duration::from_secs(1)..=day).contains(&args.lease), "EXPORTBOX_LEASE must be 1s to 24h");
        ensure!(
            !args.heartbeat.is_zero() && args.heartbeat <= args.lease / 3,
            "EXPORTBOX_HEARTBEAT must be at most a third of EXPORTBOX_LEASE, so that one lost beat loses no lease"
        );
        ensure!((Duration::from_millis(100)..=day).contains(&args.poll), "EXPORTBOX_POLL must be 100ms to 24h");
        let week = 7 * day;
        ensure!((Duration::from_secs(1)..=week).contains(&args.timeout), "EXPORTBOX_TIMEOUT must be 1s to 7d");
        ensure!(
            (Duration::from_secs(60)..=week).contains(&args.link_ttl),
            "EXPORTBOX_LINK_TTL must be 1m to 7d; no signed link lives longer"
        );
        ensure!((1..=100).contains(&args.export_attempts), "EXPORTBOX_EXPORT_ATTEMPTS must be 1 to 100");
        ensure!((1..=100).contains(&args.mail_attempts), "EXPORTBOX_MAIL_ATTEMPTS must be 1 to 100");
        ensure!((5..=5120).contains(&args.part_size), "EXPORTBOX_PART_SIZE must be 5 to 5120 (MiB)");
        let day_or_less = Duration::from_secs(60)..=day;
        ensure!(day_or_less.contains(&args.failure_window), "EXPORTBOX_FAILURE_WINDOW must be 1m to 24h");
        ensure!(day_or_less.contains(&args.digest_every), "EXPORTBOX_DIGEST_EVERY must be 1m to 24h");
        let operators: Vec<String> = args.operators.iter().map(|address| address.trim().to_string()).filter(|a| !a.is_empty()).collect();
        ensure!(
            operators.iter().all(|address| !address.contains('<') && address.parse::<Sender>().is_ok()),
            "EXPORTBOX_OPERATORS: write plain addresses with commas between, such as ops@example.com,ann@example.com"
        );
        if args.prefix.starts_with('/') || args.prefix.chars().any(|c| c.is_control() || c.is_whitespace()) {
            bail!("EXPORTBOX_PREFIX must not begin with a slash or hold spaces");
        }
        Ok(Settings {
            database,
            direct,
            source,
            source_for,
            named_sources,
            bucket,
            prefix: args.prefix.clone(),
            exporter: args.exporter.exporter,
            mail,
            sender,
            ses_configuration_set: args.ses_configuration_set.clone(),
            link_ttl: args.link_ttl,
            object_life: args.object_life,
            part_size: args.part_size * 1024 * 1024,
            split: SplitOptions { backends: args.exporter.split, ..SplitOptions::default() },
            public_s3_endpoint: args.public_s3_endpoint.clone(),
            policy: Policy {
                lease: args.lease,
                export_timeout: args.timeout,
                export_attempts: args.export_attempts,
                message_attempts: args.mail_attempts,
                hold_unknown: args.unknown == "hold",
                source_slots: args.source_slots,
                connections: if args.slots.max(args.mail_slots) < MANY_SLOTS { 1 } else { 2 },
                ..Policy::default()
            },
            work: WorkOptions {
                slots: args.slots,
                mail_slots: args.mail_slots,
                poll: args.poll,
                heartbeat: args.heartbeat,
                grace: args.grace,
                retention: args.retention.rules(),
                abandoned_uploads: args.keep_uploads.0.map(|age| AbandonedUploads { prefix: args.prefix.clone(), age }),
                notices: NoticeOptions::new(args.failure_notice == "recipients", args.failure_window, operators, args.digest_every),
            },
        })
    }
}
