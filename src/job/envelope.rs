//! What a delivery job works with.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Manifest, Recipient};

/// A delivery, with what its mail says.
pub struct Envelope {
    /// The delivery's id, carried by the mail.
    pub delivery_id: Uuid,
    /// To whom.
    pub recipient: Recipient,
    /// The report's name; none for an ad-hoc query.
    pub report: Option<String>,
    /// The requester's subject.
    pub subject: Option<String>,
    /// The requester's message.
    pub message: Option<String>,
    /// How long the link shall live; none: the setting.
    pub link_ttl: Option<Duration>,
    /// How long the bucket keeps the file, where its report says so.
    pub object_life: Option<Duration>,
    /// What is stored.
    pub manifest: Manifest,
    /// Since when it is stored.
    pub stored_at: DateTime<Utc>,
}
