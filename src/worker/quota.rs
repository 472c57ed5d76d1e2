//! What is left of the mail provider's daily quota, for who asks the health view. Nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::admin::Admin;
use crate::message::Messenger;

const EVERY: Duration = Duration::from_secs(3600);

/// Ask now and each hour, until the handle is dropped.
pub(super) fn spawn(admin: Admin, messenger: Arc<Messenger>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            note(&admin, &messenger).await;
            tokio::time::sleep(EVERY).await;
        }
    }))
}

/// Ask once. A provider that has no quota, or does not tell it, leaves things as they are.
pub(super) async fn note(admin: &Admin, messenger: &Messenger) {
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
