//! What must never be printed: passwords, URLs that hold one, signed links.
//!
//! A [`Secret`] has no `Debug`, no `Display` and no `Serialize`, so a struct that derives one of them does not compile with a secret inside, and
//! neither does a log line that names one. `reveal` stands where a secret leaves the process; a test keeps the list of those files.

use std::convert::Infallible;
use std::str::FromStr;

/// A text that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text in clear, for the one that it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Nothing is in it: a variable that is set to nothing is not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.into())
    }
}

/// Never fails: a parser that did would quote what it could not read.
impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Secret, Infallible> {
        Ok(text.into())
    }
}

/// Query parameters of a signed link that are worth something, and what begins a login in a URL.
const WORTH: [&str; 4] = ["X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Security-Token=", "://"];

/// A text of somebody else without the secrets that he may have echoed: signed links lose their signature, URLs their login.
pub fn hushed(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, worth)) = WORTH.iter().filter_map(|worth| rest.find(worth).map(|at| (at, *worth))).min() {
        let (before, after) = rest.split_at(at + worth.len());
        kept.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '&' | '\\' | ')' | ',');
        let word = &after[..after.find(ends).unwrap_or(after.len())];
        let secret = if worth == "://" {
            let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
            authority.rfind('@').unwrap_or_default()
        } else {
            word.len()
        };
        if secret > 0 {
            kept.push('…');
        }
        rest = &after[secret..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does not compile when `Secret` implements the trait: two candidates for `it` are one too many.
    macro_rules! lacks {
        ($($name:path),*) => { $({
            trait Either<A> {
                fn it() {}
            }
            struct Other;
            impl<T: ?Sized> Either<()> for T {}
            impl<T: ?Sized + $name> Either<Other> for T {}
            <Secret as Either<_>>::it();
        })* };
    }

    #[test]
    fn a_secret_has_no_way_to_be_printed() {
        lacks!(std::fmt::Debug, std::fmt::Display, std::fmt::LowerHex, std::fmt::Write, std::error::Error);
        lacks!(serde::Serialize, AsRef<str>, std::ops::Deref, std::borrow::Borrow<str>);
    }

    #[test]
    fn what_others_echo_loses_its_secrets_and_nothing_else() {
        for (said, kept) in [
            ("nothing at all", "nothing at all"),
            ("see https://docs.example/x?y=a@b", "see https://docs.example/x?y=a@b"),
            (
                "spam: https://b.s3/k?X-Amz-Date=1&X-Amz-Signature=0f0f&x-id=GetObject.",
                "spam: https://b.s3/k?X-Amz-Date=1&X-Amz-Signature=…&x-id=GetObject.",
            ),
            ("X-Amz-Security-Token=abc%2F X-Amz-Credential=AKIA/x", "X-Amz-Security-Token=… X-Amz-Credential=…"),
            ("postgres://ann:hunter2@host/shop and smtp://u:p@h", "postgres://…@host/shop and smtp://…@h"),
            ("postgres://ann:hun@ter2@host/shop", "postgres://…@host/shop"),
            ("X-Amz-Signature=", "X-Amz-Signature="),
        ] {
            assert_eq!(hushed(said), kept, "{said}");
        }
    }
}
