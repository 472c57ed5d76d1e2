//! The settings: flags and environment variables of the same name, checked before anything starts. `--help` is the reference.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::admin::Retention;
use crate::database::DatabaseUrl;
use crate::export::{ExporterSetting, SplitOptions};
use crate::mail::{Sender, Transport};
use crate::queue::Policy;
use crate::secret::Secret;
use crate::source::DEFAULT_SOURCE;
use crate::worker::{AbandonedUploads, NoticeOptions, WorkOptions};

/// From so many slots on, of exports or of mails, bookkeeping has a second connection.
const MANY_SLOTS: usize = 16;

/// Where the job tables are. All that the commands for people need.
#[derive(Args, Clone)]
pub struct DatabaseArgs {
    /// The database that holds the outbox: postgres://user:password@host:5432/database, with libpq's sslmode up to verify-full,
    /// sslrootcert, sockets and several hosts. Without it, DATABASE_URL is used
    #[arg(long, env = "EXPORTBOX_DATABASE_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub database_url: Option<Secret>,
    /// A pooler in transaction mode (PgBouncer, RDS Proxy, Supavisor) stands before the outbox's database. Then no statement has a name, no
    /// session has settings, and no wake arrives unless EXPORTBOX_DIRECT_URL is set
    #[arg(long, env = "EXPORTBOX_POOLED", value_parser = clap::builder::BoolishValueParser::new(), global = true)]
    pub pooled: bool,
    /// The outbox's database without the pooler: for the one connection that waits for wakes, and for migrate
    #[arg(long, env = "EXPORTBOX_DIRECT_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub direct_url: Option<Secret>,
}

/// Secrets are in the URL.
impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseArgs(…)")
    }
}

impl DatabaseArgs {
    /// The database.
    ///
    /// # Errors
    /// Neither variable is set, or the URL is wrong.
    pub fn database(&self) -> anyhow::Result<DatabaseUrl> {
        let url = self.database_url.clone().filter(|url| !url.is_empty()).or_else(|| std::env::var("DATABASE_URL").ok().map(Secret::from));
        let url = url.context(
            "no database: set EXPORTBOX_DATABASE_URL (or DATABASE_URL), for example postgres://user:password@host:5432/database",
        )?;
        Ok(DatabaseUrl::parse(url.reveal()).context("EXPORTBOX_DATABASE_URL")?.behind_pooler(self.pooled))
    }

    /// The database past a pooler, if that way is known.
    ///
    /// # Errors
    /// The URL is wrong.
    pub fn direct(&self) -> anyhow::Result<Option<DatabaseUrl>> {
        let url = self.direct_url.as_ref().filter(|url| !url.is_empty());
        url.map(|url| DatabaseUrl::parse(url.reveal()).context("EXPORTBOX_DIRECT_URL")).transpose()
    }
}

/// Where queries run.
#[derive(Args, Clone)]
pub struct SourceArgs {
    /// The database where queries run, for example a replica. Default: the outbox's database
    #[arg(long, env = "EXPORTBOX_SOURCE_URL", hide_env_values = true, value_name = "URL")]
    pub source_url: Option<Secret>,
    /// A login of its own for the queries of one role: they run over this URL. Separate several pairs by spaces
    #[arg(long, env = "EXPORTBOX_SOURCE_FOR", hide_env_values = true, value_name = "ROLE=URL", value_delimiter = ' ')]
    pub source_for: Vec<Secret>,
    /// More databases, for reports that name one as their source: "replica=postgres://… archive=postgres://…", separated by spaces
    #[arg(long, env = "EXPORTBOX_SOURCES", hide_env_values = true, value_name = "NAME=URL …")]
    pub sources: Option<Secret>,
}

/// URLs hold secrets.
impl fmt::Debug for SourceArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceArgs(…)")
    }
}

/// Where queries run, checked.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// For every report that names no source, and for ad-hoc queries.
    pub default: DatabaseUrl,
    /// The same place over logins of their own, by role.
    pub for_roles: Vec<(String, DatabaseUrl)>,
    /// By name.
    pub others: Vec<(String, DatabaseUrl)>,
}

impl SourceSettings {
    /// Check the settings; `database` is where queries run unless they say otherwise.
    ///
    /// # Errors
    /// Which one is wrong. Never holds a URL.
    pub fn resolve(database: &DatabaseUrl, args: &SourceArgs) -> anyhow::Result<SourceSettings> {
        let default = match args.source_url.as_ref().filter(|url| !url.is_empty()) {
            Some(url) => DatabaseUrl::parse(url.reveal()).context("EXPORTBOX_SOURCE_URL")?,
            None => database.clone(),
        };
        let for_roles = args.source_for.iter().map(Secret::reveal).filter(|pair| !pair.is_empty()).map(|pair| {
            let (role, url) = pair.split_once('=').filter(|(role, _)| !role.is_empty()).context("EXPORTBOX_SOURCE_FOR: write ROLE=URL")?;
            Ok((role.to_string(), DatabaseUrl::parse(url).context("EXPORTBOX_SOURCE_FOR")?))
        });
        let for_roles = for_roles.collect::<anyhow::Result<Vec<_>>>()?;
        let mut others: Vec<(String, DatabaseUrl)> = Vec::new();
        for entry in args.sources.as_ref().map(Secret::reveal).unwrap_or_default().split_whitespace() {
            let (name, url) = entry.split_once('=').context("EXPORTBOX_SOURCES: write NAME=URL, with spaces between the sources")?;
            let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
            ensure!(plain, "EXPORTBOX_SOURCES: a name has lower-case letters, digits, \"_\" and \"-\"; then = and the URL");
            ensure!(name != DEFAULT_SOURCE, "EXPORTBOX_SOURCES: the source \"default\" is EXPORTBOX_SOURCE_URL");
            ensure!(others.iter().all(|(known, _)| known != name), "EXPORTBOX_SOURCES: \"{name}\" is there twice");
            others.push((name.to_string(), DatabaseUrl::parse(url).with_context(|| format!("EXPORTBOX_SOURCES: {name}"))?));
        }
        Ok(SourceSettings { default, for_roles, others })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 90s, 15m or 24h".to_string())
}

/// An age, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

fn age(text: &str) -> Result<Age, String> {
    if text == "forever" {
        return Ok(Age(None));
    }
    humantime::parse_duration(text).map(|length| Age(Some(length))).map_err(|_| "write a duration such as 90d, or forever".to_string())
}

/// How long what is final is kept.
#[derive(Args, Debug, Clone)]
pub struct RetentionArgs {
    /// How long completed exports are kept, with their mails, attempts and files: a duration such as 90d, or forever
    #[arg(long, env = "EXPORTBOX_KEEP_COMPLETED", value_parser = age, default_value = "forever", value_name = "AGE")]
    pub keep_completed: Age,
    /// The same for exports that are dead, or that have a dead mail
    #[arg(long, env = "EXPORTBOX_KEEP_DEAD", value_parser = age, default_value = "forever", value_name = "AGE")]
    pub keep_dead: Age,
    /// The same for exports that were cancelled, or that have a cancelled mail
    #[arg(long, env = "EXPORTBOX_KEEP_CANCELLED", value_parser = age, default_value = "forever", value_name = "AGE")]
    pub keep_cancelled: Age,
    /// What deletes the files of exports that are not kept any more: rows (this program, with their rows) or lifecycle (the bucket's own
    /// rule)
    #[arg(long, env = "EXPORTBOX_DELETE_OBJECTS", default_value = "rows", value_parser = ["rows", "lifecycle"])]
    pub delete_objects: String,
}

impl RetentionArgs {
    /// The rules.
    pub fn rules(&self) -> Retention {
        Retention {
            completed: self.keep_completed.0,
            dead: self.keep_dead.0,
            cancelled: self.keep_cancelled.0,
            leave_objects: self.delete_objects == "lifecycle",
        }
    }
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
    /// auto, aws_s3 (inside the database) or copy (streamed through this process)
    #[arg(long, env = "EXPORTBOX_EXPORTER", default_value = "auto")]
    pub exporter: ExporterSetting,
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
    /// Backends for one export of a report with a split key, 1 to 16; with 1 there is never more than one. All exports of a process share
    /// those beyond the first. When none of them is free, an export goes on with fewer
    #[arg(long, env = "EXPORTBOX_SPLIT", default_value_t = 2)]
    pub split: usize,
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

/// The settings of a worker, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the job tables are.
    pub database: DatabaseUrl,
    /// The same past a pooler, if that way is known.
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
        ensure!((1..=16).contains(&args.split), "EXPORTBOX_SPLIT must be 1 to 16");
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
            exporter: args.exporter,
            mail,
            sender,
            ses_configuration_set: args.ses_configuration_set.clone(),
            link_ttl: args.link_ttl,
            object_life: args.object_life,
            part_size: args.part_size * 1024 * 1024,
            split: SplitOptions { backends: args.split, ..SplitOptions::default() },
            public_s3_endpoint: args.public_s3_endpoint.clone(),
            policy: Policy {
                lease: args.lease,
                export_timeout: args.timeout,
                export_attempts: args.export_attempts,
                delivery_attempts: args.mail_attempts,
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
