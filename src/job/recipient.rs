//! An address that cannot be logged by accident.

use std::fmt;

/// An e-mail address. Displays and debugs masked; `reveal` is for the provider alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(String);

impl Recipient {
    /// Wrap an address that the door has already checked.
    pub fn new(address: impl Into<String>) -> Recipient {
        Recipient(address.into())
    }

    /// The address in clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, domain) = self.0.split_once('@').unwrap_or((&self.0, ""));
        let first: String = local.chars().take(1).collect();
        write!(f, "{first}***@{domain}")
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// A text of somebody else with every address in it masked, as a [`Recipient`] displays.
pub fn mask_addresses(text: &str) -> String {
    let local = |c: char| c.is_ascii_alphanumeric() || "!#$%&*+/?^_`{|}~.-".contains(c) || !c.is_ascii();
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        let starts = before.trim_end_matches(local).len();
        let (kept, address) = before.split_at(starts);
        masked.push_str(kept);
        masked.extend(address.chars().next());
        masked.push_str(if address.is_empty() { "@" } else { "***@" });
        rest = after;
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_its_first_letter_and_domain() {
        let recipient = Recipient::new("ann.smith@example.com");
        assert_eq!(recipient.to_string(), "a***@example.com");
        assert_eq!(format!("{recipient:?}"), "Recipient(a***@example.com)");
        assert_eq!(recipient.reveal(), "ann.smith@example.com");
    }

    #[test]
    fn addresses_in_a_text_are_masked_and_nothing_else_is() {
        for (said, masked) in [
            ("550 <ann.smith@example.com>: no such user", "550 <a***@example.com>: no such user"),
            ("Key (email)=(ann+x@example.com), to=bob@example.com", "Key (email)=(a***@example.com), to=b***@example.com"),
            ("nothing here @ all", "nothing here @ all"),
            ("a@b@c@", "a***@b***@c***@"),
            ("", ""),
        ] {
            assert_eq!(mask_addresses(said), masked, "{said}");
        }
    }
}
