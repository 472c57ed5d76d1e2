//! The only place that builds pools and clients, and the order in which they start and stop.
//!
//! `clients.rs` builds each of them from the settings, `connections.rs` says whether there are connections for them, and `doctor.rs` hands the same
//! parts to the doctor. Must not know: how anything is done.

mod clients;
mod connections;
mod doctor;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use tokio_util::sync::CancellationToken;

use self::clients::{all_sources, export_options, mailer_over_ses, mailer_without_aws, pool, store};
pub use self::clients::{aws_config, aws_config_with, sources};
pub use self::connections::DoesNotFit;
use self::connections::check_connections;
pub use self::doctor::{doctor, doctor_with};
use crate::admin::{Admin, DrainCounts, Remaining};
use crate::config::Settings;
use crate::database::DatabaseError;
use crate::export::Exporter;
use crate::http::{self, CannotListen, Http};
use crate::mail::Mailer;
use crate::message::Messenger;
use crate::queue::{FreeSlots, Queue};
use crate::source::Source;
use crate::worker::{Budget, Handler, Tally, Worker};

/// A process that works. Its clients (store, mail, sources) are built only when there is something to do.
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
    /// Only what does not get better by waiting: a refused login, a schema that is not ours.
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

    /// Most drains find nothing to do, and one statement is enough to know that. When the database cannot be asked, the worker decides whether to
    /// wait for it.
    async fn has_nothing_to_do(&self) -> bool {
        let work = &self.settings.work;
        let free = FreeSlots { exports: work.slots, messages: work.mail_slots };
        work.notices.tells_nobody() && self.queue.next_due(free, None).await.is_ok_and(|next| next.is_quiet())
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
