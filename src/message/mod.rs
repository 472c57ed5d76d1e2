//! A message job: one mail to one recipient.
//!
//! Must not know: the queue. What the mail says is read as JSON, and each origin has a file here that writes it. The message is stamped `sending`
//! right before the provider is called, and what this room returns says whether the mail left, did not, or may have.

pub mod compose;
mod export;
pub mod notice;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use self::compose::Composed;
use crate::job::{Attempt, Envelope, Failure, FailureClass, Origin, Outcome, Receipt, StopReason, Verdict};
use crate::mail::{Mailer, Message, Quota};
use crate::store::{Link, Store};

/// Sends mails.
pub struct Messenger {
    store: Store,
    mailer: Mailer,
    link_ttl: Duration,
}

/// A mail that can be sent.
struct Prepared {
    composed: Composed,
    /// The export that it speaks of, if it is one.
    about: Option<Uuid>,
    /// The link in it that dies first.
    link: Option<Link>,
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
        let Some(content) = &envelope.content else { return Outcome::Moot };
        let Prepared { composed, about, link } = match attempt.stop.race(self.prepare(envelope, content)).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(failure)) => return failure.into(),
            Err(reason) => return reason.into(),
        };
        if let Some(reason) = attempt.stop.reason() {
            return reason.into();
        }
        step!("message.prepared");
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
        step!("message.stamped");
        let Composed { subject, text, html } = composed;
        let (delivery_id, to) = (envelope.message_id, envelope.recipient.clone());
        match self.mailer.send(&Message { delivery_id, export_id: about, to, subject, text, html }).await {
            Ok(message_id) => {
                step!("message.accepted");
                let (link_expires_at, link_cut_by) = link.map(|link| (link.expires_at, link.cut_by)).unzip();
                let link_cut_by = link_cut_by.flatten();
                Outcome::Sent(Receipt { provider: self.mailer.provider(), message_id, link_expires_at, link_cut_by })
            }
            Err(failure) => failure.into(),
        }
    }

    /// Write the mail, as its origin has it.
    async fn prepare(&self, envelope: &Envelope, content: &Value) -> Result<Prepared, Failure> {
        match envelope.origin {
            Origin::Export => self.announce(envelope, read(content)?).await,
            Origin::Failure => Ok(notice::of_failures(&read(content)?)),
            Origin::Digest => Ok(notice::of_digest(&read(content)?)),
        }
    }
}

/// What `sql/message/load_message.sql` made of the tables.
fn read<T: DeserializeOwned>(content: &Value) -> Result<T, Failure> {
    T::deserialize(content)
        .map_err(|error| Failure::new(FailureClass::Internal, Verdict::Retry, "What the mail says could not be read.").with_detail(error))
}
