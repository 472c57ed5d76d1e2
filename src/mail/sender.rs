//! Who the mails are from.

use std::fmt;
use std::str::FromStr;

use lettre::Address;
use lettre::message::Mailbox;

/// The `From` of every mail, as `EXPORTBOX_MAIL_FROM` names it: `Exports <exports@example.com>`, or the address alone.
/// Displays as the domain only.
#[derive(Clone, PartialEq, Eq)]
pub struct Sender(Mailbox);

/// What is wrong with a sender, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// No address in it, or not one that mail servers take.
    #[error("the sender is not usable: write an address like `exports@example.com`, or with a name, `Exports <exports@example.com>`")]
    Malformed,
    /// A line break or another control character, which could forge headers.
    #[error("the sender holds a line break or another control character: write it on one line, like `Exports <exports@example.com>`")]
    ControlCharacter,
    /// SES and most servers take ASCII addresses only.
    #[error(
        "the sender's address is not plain ASCII: write an international domain in its xn-- form (the name before it may be in any script)"
    )]
    NotAscii,
}

impl Sender {
    /// The address in clear, for the provider.
    pub fn address(&self) -> &str {
        self.0.email.as_ref()
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.0.email.domain()
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.0
    }
}

impl FromStr for Sender {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Sender, SenderError> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err(SenderError::ControlCharacter);
        }
        let (name, address) = match text.strip_suffix('>') {
            Some(rest) => rest.rsplit_once('<').ok_or(SenderError::Malformed)?,
            None => ("", text),
        };
        if !address.is_ascii() {
            return Err(SenderError::NotAscii);
        }
        // A quoted local part may hold spaces and angle brackets; nobody sends exports from such an address.
        if address.contains([' ', '<', '>', '"', ',']) {
            return Err(SenderError::Malformed);
        }
        let address: Address = address.parse().map_err(|_| SenderError::Malformed)?;
        let name = name.trim();
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name).trim();
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Sender(Mailbox::new(name, address)))
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "***@{}", self.domain())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, String) {
        let sender: Sender = text.parse().expect(text);
        (sender.mailbox().name.clone(), sender.address().to_owned())
    }

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        let address = "exports@example.com".to_owned();
        assert_eq!(parsed("exports@example.com"), (None, address.clone()));
        assert_eq!(parsed(" <exports@example.com> "), (None, address.clone()));
        assert_eq!(parsed("Exports <exports@example.com>"), (Some("Exports".into()), address.clone()));
        assert_eq!(parsed("\"Acme, Inc.\" <exports@example.com>"), (Some("Acme, Inc.".into()), address.clone()));
        assert_eq!(parsed("Acme, Inc. <exports@example.com>"), (Some("Acme, Inc.".into()), address.clone()));
        assert_eq!(parsed("Büro Köln <exports@example.com>"), (Some("Büro Köln".into()), address));
    }

    #[test]
    fn a_wrong_sender_is_told_what_to_write() {
        for (text, error) in [
            ("", SenderError::Malformed),
            ("Exports", SenderError::Malformed),
            ("exports@", SenderError::Malformed),
            ("Exports exports@example.com>", SenderError::Malformed),
            ("a@example.com, b@example.com", SenderError::Malformed),
            ("Exports <exports@bücher.example>", SenderError::NotAscii),
            ("Exports\r\nBcc: eve@example.com <exports@example.com>", SenderError::ControlCharacter),
            ("Exports <exports@example.com\r\nBcc:eve@example.com>", SenderError::ControlCharacter),
        ] {
            let found = text.parse::<Sender>().expect_err(text);
            assert_eq!(found, error, "{text}");
            assert!(found.to_string().contains("write"), "{found}");
        }
    }

    #[test]
    fn a_sender_shows_its_domain_only() {
        let sender: Sender = "Ann Smith <ann@example.com>".parse().expect("a sender");
        assert_eq!(sender.to_string(), "***@example.com");
        assert_eq!(format!("{sender:?}"), "Sender(***@example.com)");
    }
}
