//! The only place that builds pools and clients, and the order in which they start and stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::tls;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admin::{Admin, DrainCounts, Remaining};
use crate::config::{Settings, SourceSettings};
use crate::database::{ConnectionLimits, DatabaseError, DatabaseUrl, Pool};
use crate::doctor::{self, Doctor};
use crate::export::{ExportOptions, Exporter};
use crate::http::{self, CannotListen, Http};
use crate::mail::{Mailer, Transport};
use crate::message::Messenger;
use crate::queue::{FreeSlots, Queue};
use crate::source::{DEFAULT_SOURCE, Source, Sources};
use crate::store::{Store, StoreOptions};
use crate::worker::{Budget, Handler, Tally, Worker};

/// A process that works. What it works with beside the job tables is built when there is something to do.
pub struct Daemon {
    settings: Settings,
    queue: Queue,
    admin: Admin,
    source: Source,
    aws: Aws,
    /// Over SMTP and into directories; over SES it needs what `aws` says.
    mailer: Option<Mailer>,
    handler: Option<Arc<dyn Handler>>,
}

/// The SDK's settings, for S3 and for SES. Reading them, and with them every certificate that this machine trusts, costs more than asking whether
/// anything is due.
enum Aws {
    /// The process' own.
    Environment,
    /// Those of whoever started it.
    Given(Box<(SdkConfig, SdkConfig)>),
}

impl Daemon {
    /// Connects to the database, and refuses one whose schema is not ours, and settings that cannot work.
    ///
    /// # Errors
    /// The database's, or a setting that only shows now.
    pub async fn start(settings: Settings) -> anyhow::Result<Daemon> {
        Daemon::start_over(settings, Aws::Environment).await
    }

    /// The same with AWS settings that are already there, for S3 and for SES.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_with(settings: Settings, s3: &SdkConfig, ses: &SdkConfig) -> anyhow::Result<Daemon> {
        Daemon::start_over(settings, Aws::Given(Box::new((s3.clone(), ses.clone())))).await
    }

    async fn start_over(settings: Settings, aws: Aws) -> anyhow::Result<Daemon> {
        let pool = pool(&settings);
        let (queue, admin) = (Queue::new(pool.clone(), settings.policy.clone()), Admin::new(pool));
        let limits = admin.arrive().await?;
        let source = Source::new(settings.source.clone()).with_logins(&settings.source_for);
        check_connections(&settings, limits, &source).await?;
        let mailer = mailer_without_aws(&settings)?;
        Ok(Daemon { settings, queue, admin, source, aws, mailer, handler: None })
    }

    /// The same with a handler of the caller's own, in place of exports and mails.
    pub fn handling(self, handler: Arc<dyn Handler>) -> Daemon {
        Daemon { handler: Some(handler), ..self }
    }

    /// This process' name in the tables.
    pub fn name(&self) -> &str {
        self.queue.worker()
    }

    /// Whether there is a limit for exports at once over all processes.
    pub fn is_capped(&self) -> bool {
        self.settings.policy.source_slots.is_some()
    }

    /// Answer `/metrics`, `/health` and `/ready` until what is returned is dropped.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn listen(&self, address: &str, stop: CancellationToken) -> Result<Http, CannotListen> {
        http::serve(address, self.admin.clone(), stop).await
    }

    /// Work until told to stop.
    ///
    /// # Errors
    /// What waiting cannot mend.
    pub async fn run(self, stop: CancellationToken) -> Result<Tally, DatabaseError> {
        let Settings { direct, database, work, .. } = &self.settings;
        if direct.is_none() && database.is_pooled() {
            let poll_s = work.poll.as_secs();
            tracing::warn!(
                poll_s,
                "not listening, as no wake comes through a pooler: looks every EXPORTBOX_POLL; or set EXPORTBOX_DIRECT_URL"
            );
        }
        let (queue, direct, slots) = (self.queue.clone(), direct.as_ref().unwrap_or(database).clone(), work.slots);
        let worker = self.worker().await;
        worker.run(queue.listen(&direct, slots), stop).await
    }

    /// Work until nothing is due, and say what is left.
    ///
    /// # Errors
    /// The database cannot be reached, refuses the login, or its schema is not ours.
    pub async fn drain(self, budget: Budget, stop: CancellationToken) -> Result<(Tally, Remaining), DatabaseError> {
        let (started, admin, source_slots) = (Instant::now(), self.admin.clone(), self.settings.policy.source_slots);
        let tally = if self.has_nothing_to_do().await {
            Tally { budget_spent: budget.time_left(started) == Some(Duration::ZERO), ..Tally::default() }
        } else {
            self.worker().await.drain(budget, stop).await?
        };
        let Tally { claimed, exported, mailed, dead, .. } = tally;
        let (max_runtime, time_left) = (budget.max_runtime, budget.time_left(started));
        let leftover = admin.record_drain(&DrainCounts { claimed, exported, mailed, dead, max_runtime, time_left, source_slots }).await?;
        Ok((tally, leftover))
    }

    /// Most drains find nothing, and one look says so. What cannot be asked is left to the worker, which knows what is worth waiting for.
    async fn has_nothing_to_do(&self) -> bool {
        let work = &self.settings.work;
        let room = FreeSlots { exports: work.slots, deliveries: work.mail_slots };
        work.notices.tells_nobody() && self.queue.next_due(room, None).await.is_ok_and(|next| next.is_quiet())
    }

    /// With all its parts.
    async fn worker(self) -> Worker {
        let Daemon { settings, queue, admin, source, aws, mailer, handler } = self;
        let (s3, ses) = match aws {
            Aws::Given(given) => *given,
            Aws::Environment => {
                let sdk = aws_config().await;
                (sdk.clone(), sdk)
            }
        };
        let store = store(&settings, &s3);
        let sources = all_sources(source, &settings.named_sources);
        let exporter = Exporter::new(sources.clone(), store.clone(), export_options(&settings, &s3));
        let mailer = mailer.unwrap_or_else(|| mailer_over_ses(&settings, &ses));
        let messenger = Messenger::new(store.clone(), mailer, settings.link_ttl);
        let worker = Worker::new(queue, admin, sources, store, exporter, messenger, settings.work);
        match handler {
            Some(handler) => worker.handling(handler),
            None => worker,
        }
    }
}

/// A process with these settings can never have the connections that it may need.
#[derive(Debug, thiserror::Error)]
#[error("EXPORTBOX_SLOTS={slots} {refusal}")]
pub struct DoesNotFit {
    slots: usize,
    refusal: String,
}

/// Everything that a daemon with these settings would work with, for `doctor`. Nothing is connected yet.
///
/// # Errors
/// A setting that only shows now.
pub async fn doctor(settings: Settings) -> anyhow::Result<Doctor> {
    let sdk = aws_config().await;
    doctor_with(settings, doctor::CheckLimits::default(), &sdk, &sdk)
}

/// The same with AWS settings that are already there, and limits of the caller's own.
///
/// # Errors
/// As `doctor`.
pub fn doctor_with(settings: Settings, limits: doctor::CheckLimits, s3: &SdkConfig, ses: &SdkConfig) -> anyhow::Result<Doctor> {
    let source = Source::new(settings.source.clone()).with_logins(&settings.source_for);
    Ok(Doctor {
        admin: Admin::new(pool(&settings)),
        place: settings.database.to_string(),
        has_direct: settings.direct.is_some(),
        is_pooled: settings.database.is_pooled(),
        connections: connections_needed(&settings),
        sources: all_sources(source, &settings.named_sources),
        store: store(&settings, s3),
        options: export_options(&settings, s3),
        mailer: mailer_without_aws(&settings)?.unwrap_or_else(|| mailer_over_ses(&settings, ses)),
        link_ttl: settings.link_ttl,
        limits,
    })
}

fn pool(settings: &Settings) -> Pool {
    Pool::for_worker(&settings.database, process_name(), settings.policy.lease, settings.policy.connections)
}

fn store(settings: &Settings, s3: &SdkConfig) -> Store {
    let options = StoreOptions {
        bucket: settings.bucket.clone(),
        public_endpoint: settings.public_s3_endpoint.clone(),
        object_life: settings.object_life,
    };
    Store::new(s3, options)
}

fn export_options(settings: &Settings, s3: &SdkConfig) -> ExportOptions {
    ExportOptions {
        exporter: settings.exporter,
        prefix: settings.prefix.clone(),
        region: s3.region().map(ToString::to_string),
        part_size: settings.part_size,
        split: settings.split,
    }
}

/// The most connections of one process: to the outbox, and to the source where that is another login.
fn connections_needed(settings: &Settings) -> (i64, Option<i64>) {
    let exports = i64::try_from(settings.work.slots).unwrap_or(i64::MAX);
    let bookkeeping = i64::try_from(settings.policy.connections).unwrap_or(i64::MAX);
    // Behind a pooler only exports keep a connection of the server, and what is short shares them.
    let own = if settings.database.is_pooled() { bookkeeping } else { bookkeeping + 1 };
    if settings.source.is_same_login(&settings.database) { (own + exports, None) } else { (own, Some(exports)) }
}

/// Refuse what can never fit, and say so when it does not fit at this moment.
async fn check_connections(settings: &Settings, outbox: ConnectionLimits, source: &Source) -> anyhow::Result<()> {
    let slots = settings.work.slots;
    let (at_outbox, at_source) = connections_needed(settings);
    let mut places = vec![("outbox", at_outbox, outbox)];
    if let Some(exports) = at_source {
        match source.limits().await {
            Ok(limits) => places.push(("source", exports, limits)),
            // It may be back when the first export comes, which is tried again if not.
            Err(failure) => tracing::warn!(error.class = %failure.class, "the source cannot be asked how many connections it has"),
        }
    }
    // A file that is split does without what it cannot get.
    let helpers = i64::try_from(settings.split.backends.saturating_sub(1)).unwrap_or(i64::MAX);
    let on = if at_source.is_some() { "source" } else { "outbox" };
    for (place, needed, limits) in places {
        if let Some(refusal) = limits.refusal(needed) {
            return Err(DoesNotFit { slots, refusal }.into());
        }
        let needed = if place == on { needed + helpers } else { needed };
        let Some(tightest) = limits.tightest() else { continue };
        let (used, limit) = (tightest.used, tightest.most);
        if limits.is_short_of(needed) {
            tracing::warn!(
                place,
                connections.used = used,
                connections.limit = limit,
                connections.needed = needed,
                "fewer connections are free than this process may need: when none is left, exports are tried again later"
            );
        } else {
            tracing::info!(place, connections.used = used, connections.limit = limit, connections.needed = needed, "connections suffice");
        }
    }
    Ok(())
}

/// `host:pid:random`: made new at each start, so that a restarted process never inherits the leases of the one before.
fn process_name() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_string()));
    let host: String = host.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect();
    let random = Uuid::new_v4().simple().to_string();
    format!("{}:{}:{}", if host.is_empty() { "exportbox" } else { &host }, std::process::id(), &random[..12])
}

/// The SDK's own settings, over one HTTP client.
pub async fn aws_config() -> SdkConfig {
    aws_config_with(|loader| loader).await
}

/// The same with settings of the caller's own on top.
pub async fn aws_config_with(more: impl FnOnce(ConfigLoader) -> ConfigLoader) -> SdkConfig {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https();
    more(aws_config::defaults(BehaviorVersion::latest()).http_client(http)).load().await
}

/// The default source and those with names of their own.
fn all_sources(default: Source, named: &[(String, DatabaseUrl)]) -> Sources {
    let named = named.iter().map(|(name, database)| (name.clone(), Source::new(database.clone())));
    Sources::new(std::iter::once((DEFAULT_SOURCE.to_string(), default)).chain(named))
}

/// The places where queries run, for a command that tries one. Nothing is connected yet.
pub fn sources(settings: &SourceSettings) -> Sources {
    all_sources(Source::new(settings.default.clone()).with_logins(&settings.for_roles), &settings.others)
}

/// Over SMTP or into a directory; none where mails go over SES, which needs the SDK's settings.
fn mailer_without_aws(settings: &Settings) -> anyhow::Result<Option<Mailer>> {
    let sender = settings.sender.clone();
    Ok(match &settings.mail {
        Transport::Ses => None,
        Transport::Smtp(server) => Some(Mailer::smtp(server.clone(), sender).context("EXPORTBOX_MAIL")?),
        Transport::File(dir) => Some(Mailer::file(dir, sender)),
    })
}

fn mailer_over_ses(settings: &Settings, aws: &SdkConfig) -> Mailer {
    // A retried time-out is a second mail: the queue retries, where "unknown" is a state.
    let config = aws_sdk_sesv2::config::Builder::from(aws).retry_config(aws_config::retry::RetryConfig::disabled()).build();
    Mailer::ses(aws_sdk_sesv2::Client::from_conf(config), settings.sender.clone(), settings.ses_configuration_set.clone())
}
