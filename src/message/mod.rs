//! A delivery job: one recipient, one mail, one honest link.
//!
//! Must not know: the queue. The delivery is stamped `sending` right before the provider is called, and what this room returns says whether
//! the mail left, did not, or may have. Checks that the file is there before it mails a link to it.

pub mod compose;
pub mod notice;

use std::time::Duration;

use chrono::TimeDelta;

use self::compose::{Announcement, PartLink, compose};
use crate::job::{Attempt, Envelope, Failure, FailureClass, Outcome, Receipt, StopReason, Verdict};
use crate::mail::{Mailer, Message, Quota};
use crate::store::{Link, Store};

/// Sends mails.
pub struct Messenger {
    store: Store,
    mailer: Mailer,
    link_ttl: Duration,
}

impl Messenger {
    /// A messenger; `link_ttl` is how long links live unless the request says otherwise.
    pub fn new(store: Store, mailer: Mailer, link_ttl: Duration) -> Messenger {
        Messenger { store, mailer, link_ttl }
    }

    /// What is left of the provider's daily quota. `None`: it has none. An error is the provider's code for why it does not tell.
    pub async fn quota(&self) -> Option<Result<Quota, String>> {
        self.mailer.quota().await
    }

    /// Run one attempt to its end. Once the provider is called nothing interrupts it: stopping there would only make the mail ambiguous.
    pub async fn deliver(&self, attempt: &Attempt, envelope: &Envelope) -> Outcome {
        let preparing = self.prepare(attempt, envelope);
        let (message, link) = match attempt.stop.race(preparing).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(failure)) => return failure.into(),
            Err(reason) => return reason.into(),
        };
        if let Some(reason) = attempt.stop.reason() {
            return reason.into();
        }
        step!("delivery.prepared");
        // From here on a crash leaves a mail that may have been sent, and the row says so.
        // guard: stamp
        if let Err(failure) = attempt.notes.sending().await {
            return failure.into();
        }
        // guard: own clock
        if !attempt.clock.is_held() {
            // The stamp took so long that the lease may be gone, and with it the right to send: whoever reaps it decides.
            return StopReason::LeaseLost.into();
        }
        step!("delivery.stamped");
        match self.mailer.send(&message).await {
            Ok(message_id) => {
                step!("delivery.accepted");
                let provider = self.mailer.provider();
                Outcome::Sent(Receipt { provider, message_id, link_expires_at: link.expires_at, link_cut_by: link.cut_by })
            }
            Err(failure) => failure.into(),
        }
    }

    async fn prepare(&self, attempt: &Attempt, envelope: &Envelope) -> Result<(Message, Link), Failure> {
        let manifest = &envelope.manifest;
        let wish = envelope.link_ttl.unwrap_or(self.link_ttl);
        if manifest.bucket != self.store.bucket() {
            // A bucket that is not there is a wrong setting for everybody.
            self.store.probe().await?;
            let sentence = "The file lies in another bucket than this daemon's; run one with that EXPORTBOX_BUCKET, or request it again.";
            return Err(Failure::new(FailureClass::StoreConfig, Verdict::Postpone, sentence));
        }
        let mut links = Vec::with_capacity(manifest.parts.len());
        for part in &manifest.parts {
            let stored = self.store.head(&part.key).await?;
            if stored.is_none() {
                // A HEAD cannot tell a missing bucket from a missing object: the first is a wrong setting and must bury nothing.
                self.store.probe().await?;
            }
            if stored.map(|head| head.bytes) != u64::try_from(part.bytes).ok() {
                let sentence = "The stored file is gone or has changed, so no link to it is mailed. Request the export again.";
                return Err(Failure::new(FailureClass::FileGone, Verdict::Bury, sentence));
            }
            let filename = part_name(&manifest.filename, links.len(), manifest.parts.len());
            let (stored_at, life) = (envelope.stored_at, envelope.object_life);
            links.push(self.store.link(&part.key, wish, &filename, &manifest.content_type, stored_at, life).await?);
        }
        // By the clock that the links were signed by.
        let asked_until = self.store.now() + TimeDelta::from_std(wish).unwrap_or_default();
        // All were signed within a moment; the shortest life is the honest one.
        let announced = links.iter().min_by_key(|link| link.expires_at).cloned();
        let link = announced.ok_or_else(|| Failure::new(FailureClass::Internal, Verdict::Bury, "The export has no stored file."))?;
        let announcement = Announcement {
            export_id: attempt.export_id,
            report: envelope.report.clone(),
            filename: manifest.filename.clone(),
            rows: Some(manifest.rows),
            bytes: manifest.bytes(),
            as_of: manifest.as_of,
            links: links
                .iter()
                .zip(&manifest.parts)
                .zip(1..)
                .map(|((link, part), index)| PartLink { url: link.url.clone(), part: index, bytes: part.bytes })
                .collect(),
            expires_at: link.expires_at,
            asked_until,
            cut_by: link.cut_by,
            checksum: manifest.parts.first().and_then(|part| part.checksum.clone()),
            subject: envelope.subject.clone(),
            message: envelope.message.clone(),
        };
        let composed = compose(&announcement);
        let message = Message {
            delivery_id: envelope.delivery_id,
            export_id: Some(attempt.export_id),
            to: envelope.recipient.clone(),
            subject: composed.subject,
            text: composed.text,
            html: composed.html,
        };
        Ok((message, link))
    }
}

/// Parts are saved under names that sort: `orders.csv.part01`, …
fn part_name(filename: &str, index: usize, parts: usize) -> String {
    if parts == 1 { filename.to_string() } else { format!("{filename}.part{:02}", index + 1) }
}
