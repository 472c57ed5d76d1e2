//! Gathers mails about failures from what has died. They are sent by message jobs, like any mail.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::database::DatabaseError;
use crate::job::Recipient;
use crate::queue::Queue;

/// The longest time between two runs: jobs may have died in another process that does not tell anybody.
const LONGEST: Duration = Duration::from_secs(300);
/// Time until a run that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Who is told of failures. The default: nobody.
#[derive(Debug, Clone, Default)]
pub struct NoticeOptions {
    to_recipients: bool,
    window: Duration,
    operators: Vec<Recipient>,
    every: Duration,
}

impl NoticeOptions {
    /// `to_recipients`: the recipients of an export that died are told so, in at most one mail per `window`. `operators` get a digest of what died,
    /// one per `every`.
    pub fn new(to_recipients: bool, window: Duration, operators: impl IntoIterator<Item = String>, every: Duration) -> NoticeOptions {
        NoticeOptions { to_recipients, window, operators: operators.into_iter().map(Recipient::new).collect(), every }
    }

    /// Whether nothing is told to anybody.
    pub fn tells_nobody(&self) -> bool {
        !self.to_recipients && self.operators.is_empty()
    }

    /// How long until the next digest can be made: half a minute after its period is over, as `gather_digest` has it.
    fn next_digest(&self) -> Duration {
        if self.operators.is_empty() {
            return LONGEST;
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(Duration::from_secs(30));
        let into_the_period = since_1970.as_millis() % self.every.as_millis().max(1);
        self.every.saturating_sub(Duration::from_millis(u64::try_from(into_the_period).unwrap_or_default()))
    }
}

/// Gathers the mails. Clones share the requests for another run.
#[derive(Clone)]
pub(super) struct Gatherer {
    queue: Queue,
    options: NoticeOptions,
    wanted: Arc<Notify>,
}

impl Gatherer {
    pub(super) fn new(queue: Queue, options: NoticeOptions) -> Gatherer {
        Gatherer { queue, options, wanted: Arc::default() }
    }

    /// Something died, so there may be somebody to tell: run once more. Several calls during one run are one more run.
    pub(super) fn request(&self) {
        self.wanted.notify_one();
    }

    /// Queue what is to be told now. Returns whether there was anything.
    pub(super) async fn gather(&self) -> Result<bool, DatabaseError> {
        let options = &self.options;
        let mut any = false;
        if options.to_recipients {
            any |= self.queue.gather_failures(options.window).await? > 0;
        }
        if !options.operators.is_empty() {
            any |= self.queue.gather_digest(&options.operators, options.every).await? > 0;
        }
        if any {
            step!("worker.gathered");
        }
        Ok(any)
    }

    /// Gather beside the work until what is returned is dropped: at the start, when something died, and when a digest is due. `wake` is told when
    /// there are mails to send. `None`: nobody is to be told of anything.
    pub(super) fn spawn(&self, wake: Arc<Notify>) -> Option<AbortOnDropHandle<()>> {
        if self.options.tells_nobody() {
            return None;
        }
        let gatherer = self.clone();
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let next = match gatherer.gather().await {
                    Ok(any) => {
                        if any {
                            wake.notify_one();
                        }
                        gatherer.options.next_digest().min(LONGEST)
                    }
                    Err(error) => {
                        tracing::debug!(%error, "could not gather notices");
                        RETRY
                    }
                };
                tokio::select! {
                    () = gatherer.wanted.notified() => {}
                    () = tokio::time::sleep(next) => {}
                }
            }
        })))
    }
}
