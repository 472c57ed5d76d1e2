//! One mail to one recipient, and its MIME form, which is the same for every transport.

use std::fmt;

use lettre::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use uuid::Uuid;

use super::Sender;
use crate::job::{Failure, FailureClass, Recipient, Verdict};

/// The longest subject, in characters: the door allows as many.
const SUBJECT_MAX: usize = 200;

/// A finished mail. Debugs as its ids.
#[derive(Clone)]
pub struct Message {
    /// The delivery or notice that this mail is the side effect of; names the mail at every provider.
    pub delivery_id: Uuid,
    /// The export that the mail speaks of, if it is one.
    pub export_id: Option<Uuid>,
    /// To whom.
    pub to: Recipient,
    /// One line.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// For all others. It says the same as `text`.
    pub html: String,
}

impl Message {
    /// The `Message-ID` without its brackets. The same for each attempt of a delivery: where a mail is doubled after all, mail
    /// programs can tell. SES puts its own in its place.
    pub fn message_id(&self, sender: &Sender) -> String {
        format!("{}@{}", self.delivery_id, sender.domain())
    }

    /// The MIME form. Both bodies are quoted-printable: a link of two kilobytes is one line of text, and mail servers may break or
    /// refuse lines above 998 bytes.
    pub(super) fn to_mime(&self, sender: &Sender) -> Result<lettre::Message, Failure> {
        let to: Address = self.to.reveal().parse().map_err(|_| {
            Failure::new(FailureClass::MailRejected, Verdict::Bury, "The recipient's address is not one that mail servers take.")
        })?;
        let about = self.export_id.map(|id| header("X-Exportbox-Export", id.to_string()));
        let builder = about.into_iter().fold(lettre::Message::builder(), lettre::message::MessageBuilder::raw_header);
        builder
            .from(sender.mailbox().clone())
            .to(Mailbox::new(None, to))
            .subject(single_line(&self.subject).chars().take(SUBJECT_MAX).collect::<String>())
            .date_now()
            .message_id(Some(format!("<{}>", self.message_id(sender))))
            .raw_header(header("X-Exportbox-Delivery", self.delivery_id.to_string()))
            // Keeps out-of-office replies away (RFC 3834).
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
            .multipart(
                MultiPart::alternative()
                    .singlepart(part(ContentType::TEXT_PLAIN, &self.text))
                    .singlepart(part(ContentType::TEXT_HTML, &self.html)),
            )
            .map_err(|error| Failure::new(FailureClass::Internal, Verdict::Bury, "The mail cannot be built.").with_detail(error))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("delivery_id", &self.delivery_id).field("export_id", &self.export_id).finish_non_exhaustive()
    }
}

fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn part(content_type: ContentType, body: &str) -> SinglePart {
    SinglePart::builder().header(content_type).header(ContentTransferEncoding::QuotedPrintable).body(body.to_owned())
}

/// `text` on one line. Characters that could end a header or start another become spaces, and so do those that turn the direction of text
/// (U+202A to U+202E, U+2066 to U+2069), because the words after them would be shown in another order than they are written.
pub fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: &str) -> Message {
        Message {
            delivery_id: Uuid::from_u128(7),
            export_id: Some(Uuid::from_u128(9)),
            to: Recipient::new(to),
            subject: "Ready".into(),
            text: "https://secret.example/?token".into(),
            html: "<p>https://secret.example/?token</p>".into(),
        }
    }

    fn sender() -> Sender {
        "exports@example.com".parse().expect("a sender")
    }

    #[test]
    fn an_address_that_cannot_be_mailed_is_buried_without_being_named() {
        for address in ["ann", "ann@", "ann@example.com\r\nBcc: eve@example.com", "ann@example.com, eve@example.com"] {
            let failure = message(address).to_mime(&sender()).expect_err(address);
            assert_eq!((failure.class, failure.verdict), (FailureClass::MailRejected, Verdict::Bury));
            assert!(!failure.sentence.contains("ann"), "{}", failure.sentence);
        }
    }

    #[test]
    fn what_turns_the_direction_of_a_line_is_taken_out() {
        assert_eq!(single_line("a\u{202e}b\u{2066}c\u{2069}\u{2028}d\r\ne\0"), "a b c  d  e ");
        let usual = "שלום 👩\u{200d}👧 می\u{200c}خواهم \u{200f}x";
        assert_eq!(single_line(usual), usual);
    }

    #[test]
    fn no_line_is_longer_than_mail_servers_take() {
        let mut message = message("ann@example.com");
        message.subject = "s".repeat(5000);
        message.text = "t".repeat(5000);
        let mime = message.to_mime(&sender()).expect("a mail").formatted();
        let longest = mime.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
        assert!(longest <= Some(998), "{longest:?}");
    }

    #[test]
    fn a_message_debugs_as_its_ids() {
        let shown = format!("{:?}", message("ann@example.com"));
        assert!(shown.contains("00000000-0000-0000-0000-000000000007"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("ann") && !shown.contains("Ready"), "{shown}");
    }
}
