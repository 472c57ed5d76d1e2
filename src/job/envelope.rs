//! What a message job works with.

use serde_json::Value;
use uuid::Uuid;

use super::Recipient;

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The link to a file.
    Export,
    /// A notice of exports that died, to one of their recipients.
    Failure,
    /// What operators have to look at.
    Digest,
}

impl Origin {
    /// The origin that a word in the table's column stands for.
    pub fn parse(word: &str) -> Option<Origin> {
        match word {
            "export" => Some(Origin::Export),
            "failure" => Some(Origin::Failure),
            "digest" => Some(Origin::Digest),
            _ => None,
        }
    }
}

/// One mail to one recipient, before it is written.
pub struct Envelope {
    /// The message's id, carried by the mail.
    pub message_id: Uuid,
    /// To whom.
    pub recipient: Recipient,
    /// What it is about, and so how it is written.
    pub origin: Origin,
    /// The export that it announces.
    pub export_id: Option<Uuid>,
    /// What its templates are filled with, as `load_message` reads it. `None`: there is nothing to tell any more.
    pub content: Option<Value>,
}
