//! What is done now and then. By one process of all: pruning what is old enough, removing the files of what was pruned, and aborting uploads that
//! nobody finishes. By each: asking for the mail quota.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::task::AbortOnDropHandle;

use super::maintain::Maintainer;
use crate::admin::Admin;
use crate::database::DatabaseError;
use crate::job::FailureClass;
use crate::message::Messenger;
use crate::queue::{Chore, LeftoverFile};

/// Exports that one statement prunes. It is short, because the process may have only one connection.
const BATCH: i32 = 200;
/// What could not be finished is tried again after this long.
pub(super) const RETRY: Duration = Duration::from_secs(60);
/// Files that are removed at once.
const AT_ONCE: usize = 8;
/// The longest that one chore goes on before sweeping has its turn.
const TURN: Duration = Duration::from_secs(30);
/// Time between two questions for the quota.
const QUOTA: Duration = Duration::from_secs(3600);

/// Which uploads in parts are aborted, as nobody finishes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonedUploads {
    /// Those below this prefix,
    pub prefix: String,
    /// begun so long ago.
    pub age: Duration,
}

impl Maintainer {
    /// Do the chores that are due. A chore that was not finished becomes due again, for any process. Returns after how long this process should look.
    pub(super) async fn do_chores(&self) -> Result<Option<Duration>, DatabaseError> {
        let (mut again, mut failed) = (None, None);
        for chore in self.queue.take_chores().await? {
            let done = match chore {
                Chore::Prune => self.prune().await,
                Chore::Leftovers => self.remove_leftovers().await,
                Chore::Uploads => self.abort_abandoned().await,
            };
            if !matches!(done, Ok(true)) {
                self.queue.postpone_chore(chore, RETRY).await?;
                again = Some(RETRY);
            }
            // The other chores are done all the same.
            if let Err(error) = done {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(again), Err)
    }

    /// Delete what is old enough. True: nothing more is.
    async fn prune(&self) -> Result<bool, DatabaseError> {
        let retention = &*self.retention;
        if !retention.prunes() {
            return Ok(true);
        }
        let (mut exports, begun) = (0, Instant::now());
        let finished = loop {
            let said = self.admin.prune(retention, BATCH, false).await?;
            let count = |name: &str| said[name].as_i64().unwrap_or_default();
            let pruned = count("exports") + count("notices");
            exports += count("exports");
            if pruned == 0 {
                break true;
            }
            step!("worker.pruned");
            if self.is_closing() || begun.elapsed() > TURN {
                break false;
            }
        };
        if exports > 0 {
            tracing::info!(exports, "pruned what is old enough");
            return Ok(self.remove_leftovers().await? && finished);
        }
        Ok(finished)
    }

    /// Remove the files of pruned exports. True: none is left.
    async fn remove_leftovers(&self) -> Result<bool, DatabaseError> {
        let begun = Instant::now();
        loop {
            let files = self.queue.leftovers().await?;
            if files.is_empty() {
                return Ok(true);
            }
            let found = files.len();
            let remove = |file: LeftoverFile| async move { self.store.delete_in(&file.bucket, &file.key).await.map(|()| file) };
            let removed: Vec<_> = stream::iter(files).map(remove).buffer_unordered(AT_ONCE).collect().await;
            let (gone, failed): (Vec<_>, Vec<_>) = removed.into_iter().partition(Result::is_ok);
            step!("worker.removed_leftovers");
            let gone: Vec<LeftoverFile> = gone.into_iter().flatten().collect();
            self.queue.forget_leftovers(&gone).await?;
            tracing::debug!(files = gone.len(), "removed files of pruned exports");
            if let Some(Err(failure)) = failed.into_iter().next() {
                let files = found - gone.len();
                tracing::warn!(files, error.class = %failure.class, retry_s = RETRY.as_secs(), "could not remove files of pruned exports, trying again later");
                return Ok(false);
            }
            if self.is_closing() || begun.elapsed() > TURN {
                return Ok(false);
            }
        }
    }

    /// Abort uploads that were begun long ago, unless an attempt that has not ended may use them.
    async fn abort_abandoned(&self) -> Result<bool, DatabaseError> {
        let Some(wanted) = &self.abandoned_uploads else { return Ok(true) };
        let found = match self.store.unfinished(&wanted.prefix, wanted.age).await {
            Ok(found) => found,
            // `doctor` tells about the missing right; until then the bucket's lifecycle rule removes such uploads.
            Err(failure) if failure.class == FailureClass::StoreAccess => return Ok(true),
            Err(failure) => {
                tracing::debug!(error.class = %failure.class, "could not look for unfinished uploads");
                return Ok(false);
            }
        };
        let tokens: Vec<_> = found.iter().map(|upload| upload.token).collect();
        if tokens.is_empty() {
            return Ok(true);
        }
        let live = self.queue.live_leases(&tokens).await?;
        let mut aborted = 0;
        for upload in found.iter().filter(|upload| !live.contains(&upload.token)) {
            match self.store.abort(&upload.key, &upload.id).await {
                Ok(()) => aborted += 1,
                Err(failure) => tracing::debug!(error.class = %failure.class, lease.token = %upload.token, "could not abort an upload"),
            }
        }
        tracing::info!(uploads = aborted, "aborted uploads that nobody finished");
        Ok(true)
    }
}

/// Ask for the mail provider's daily quota now and each hour, until the handle is dropped. Nothing waits for it; the health view shows it.
pub(super) fn spawn_quota(admin: Admin, messenger: Arc<Messenger>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            record_quota(&admin, &messenger).await;
            tokio::time::sleep(QUOTA).await;
        }
    }))
}

/// Ask for it once. A provider that has no quota, or does not tell it, changes nothing.
pub(super) async fn record_quota(admin: &Admin, messenger: &Messenger) {
    match messenger.quota().await {
        Some(Ok(quota)) => {
            if let Err(error) = admin.record_mail_quota(quota.most_a_day, quota.sent).await {
                tracing::debug!(%error, "the mail quota could not be noted");
            }
        }
        Some(Err(code)) => tracing::info!(code, "SES does not tell its quota; ses:GetAccount allows it"),
        None => {}
    }
}
