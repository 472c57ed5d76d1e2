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
}
