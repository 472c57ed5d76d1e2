//! What is left of the mail provider's daily quota, for who asks the health view. Nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::message::Messenger;
use crate::queue::Queue;

const EVERY: Duration = Duration::from_secs(3600);

/// Ask now and each hour, until the handle is dropped.
pub(super) fn spawn(queue: Queue, messenger: Arc<Messenger>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            note(&queue, &messenger).await;
            tokio::time::sleep(EVERY).await;
        }
    }))
}

/// Ask once. A provider that has no quota, or does not tell it, leaves things as they are.
pub(super) async fn note(queue: &Queue, messenger: &Messenger) {
    match messenger.quota().await {
        Some(Ok(quota)) => {
            if let Err(error) = queue.record_mail_quota(quota.most_a_day, quota.sent).await {
                tracing::debug!(%error, "the mail quota could not be noted");
            }
        }
        Some(Err(code)) => tracing::info!(code, "SES does not tell its quota; ses:GetAccount allows it"),
        None => {}
    }
}
