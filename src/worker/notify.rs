//! Mails about failures, beside the work: claiming, beating and settling never wait for them. One mail at a time, after those that carry files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::DatabaseError;
use crate::job::Recipient;
use crate::message::Messenger;
use crate::queue::{ClaimedNotice, NOTICE_LEASE, Queue};

/// The longest time between two looks: another process may have died, or tells nobody.
const LOOK: Duration = Duration::from_secs(300);
/// The shortest.
const PAUSE: Duration = Duration::from_secs(1);
/// What could not be done now is tried again after this long.
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
    /// `to_recipients`: whoever waits for an export that died is told so, in one mail a `window` at most. `operators` get a digest of what died
    /// `every` so often.
    pub fn new(to_recipients: bool, window: Duration, operators: impl IntoIterator<Item = String>, every: Duration) -> NoticeOptions {
        NoticeOptions { to_recipients, window, operators: operators.into_iter().map(Recipient::new).collect(), every }
    }

    /// Whether nothing is told to anybody.
    pub fn tells_nobody(&self) -> bool {
        !self.to_recipients && self.operators.is_empty()
    }
}

/// Sends what is to be told. Clones share the wish to be woken.
#[derive(Clone)]
pub(super) struct Notifier {
    queue: Queue,
    messenger: Arc<Messenger>,
    options: NoticeOptions,
    wanted: Arc<Notify>,
}

/// A notifier at work.
pub(super) struct Notifying {
    last: CancellationToken,
    task: JoinHandle<()>,
}

impl Notifier {
    pub(super) fn new(queue: Queue, messenger: Arc<Messenger>, options: NoticeOptions) -> Notifier {
        Notifier { queue, messenger, options, wanted: Arc::default() }
    }

    /// Something died: there may be somebody to tell. However often this is called meanwhile, it is one more look.
    pub(super) fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Look at the start, when something died, and when something is due, until `stop`. `None`: nobody is to be told of anything.
    pub(super) fn spawn(&self, stop: CancellationToken) -> Option<Notifying> {
        if self.options.tells_nobody() {
            return None;
        }
        let (notifier, last) = (self.clone(), CancellationToken::new());
        let asked = last.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = notifier.queue.forget_notices().await {
                tracing::debug!(%error, "could not forget old notices");
            }
            loop {
                let is_last = asked.is_cancelled();
                let next = match notifier.turn(&stop).await {
                    // What is due and locked by somebody is no reason to ask without a pause.
                    Ok(next) => next.map_or(LOOK, |next| next.clamp(PAUSE, LOOK)),
                    Err(error) => {
                        tracing::debug!(%error, "could not look for notices");
                        RETRY
                    }
                };
                if is_last || stop.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = asked.cancelled() => {}
                    () = stop.cancelled() => {}
                    () = notifier.wanted.notified() => {}
                    () = tokio::time::sleep(next) => {}
                }
            }
        });
        Some(Notifying { last, task })
    }

    /// Send what is due; returns how long until there is more.
    async fn turn(&self, stop: &CancellationToken) -> Result<Option<Duration>, DatabaseError> {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let options = &self.options;
        if options.to_recipients {
            self.queue.gather_failures(options.window).await?;
        }
        let digest_every = Some(options.every).filter(|_| !options.operators.is_empty());
        if let Some(every) = digest_every {
            self.queue.gather_digest(&options.operators, every).await?;
        }
        while !stop.is_cancelled() && self.send_one().await? {}
        self.queue.next_notice(digest_every).await
    }

    /// False: nothing is due.
    async fn send_one(&self) -> Result<bool, DatabaseError> {
        let asked = Instant::now();
        let notice = match self.queue.claim_notice().await? {
            ClaimedNotice::Taken(notice) => notice,
            ClaimedNotice::GivenUp => return Ok(true),
            ClaimedNotice::None => return Ok(false),
        };
        if asked.elapsed() > NOTICE_LEASE / 2 {
            // The claim took so long that somebody else may take it for lost before the provider has answered: left to that.
            return Ok(true);
        }
        let (id, sent) = (notice.id, self.messenger.notify(&notice).await);
        let class = sent.as_ref().and_then(|sent| sent.as_ref().err()).map(|failure| failure.class.as_str());
        match self.queue.settle_notice(notice, sent).await {
            Ok(status) => {
                tracing::info!(notice.id = %id, status = status.as_deref().unwrap_or("lease lost"), error.class = class, "told of failures")
            }
            Err(error) => tracing::error!(notice.id = %id, %error, "a notice's end could not be written; it comes back by itself"),
        }
        Ok(true)
    }
}

impl Notifying {
    /// One more look, unless the process was told to stop; then wait for its end, but not longer than this.
    pub(super) async fn done(self, at_most: Duration) {
        self.last.cancel();
        if tokio::time::timeout(at_most, self.task).await.is_err() {
            tracing::warn!("not everybody could be told of failures in time; the next process goes on");
        }
    }
}
