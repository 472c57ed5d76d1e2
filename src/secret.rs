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

/// What stands before a secret, in any case: query parameters of a signed link, a password of libpq, and the login in a URL.
const WORTH: [&str; 8] = [
    "x-amz-signature=",
    "x-amz-credential=",
    "x-amz-security-token=",
    "x-amz-signature%3d",
    "x-amz-credential%3d",
    "x-amz-security-token%3d",
    "password=",
    "://",
];

/// A text of somebody else without the secrets that he may have echoed: signed links lose their signature, URLs their login, and libpq's
/// settings their password.
pub fn hushed(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, worth)) = first(rest) {
        let (before, after) = rest.split_at(at + worth.len());
        kept.push_str(before);
        // A password may hold anything but what ends a word for sure.
        let word = &after[..after.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(after.len())];
        let secret = match worth {
            "password=" if after.starts_with('\'') => after[1..].find('\'').map_or(after.len(), |end| end + 2),
            "password=" => word.len(),
            // What follows an address of the web may hold an @ of its own; the login of a server's URL ends at the last one.
            "://" if has_web_scheme(before) => word[..word.find(['/', '?', '#']).unwrap_or(word.len())].rfind('@').unwrap_or_default(),
            "://" => word.rfind('@').unwrap_or_default(),
            _ => word.find(['\'', '<', '>', '&', '\\', ')', ',']).unwrap_or(word.len()),
        };
        if secret > 0 {
            kept.push('…');
        }
        rest = &after[secret..];
    }
    kept + rest
}

/// The first place behind which a secret may stand.
fn first(text: &str) -> Option<(usize, &'static str)> {
    let text = text.to_ascii_lowercase();
    WORTH.iter().filter_map(|worth| text.find(worth).map(|at| (at, *worth))).min()
}

fn has_web_scheme(before: &str) -> bool {
    let before = before.to_ascii_lowercase();
    before.ends_with("http://") || before.ends_with("https://")
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
            ("postgres://ann:hu,n&t)e'r/2@host/shop \"x\"", "postgres://…@host/shop \"x\""),
            ("https://ann:hun,ter2@host/x?y=a@b", "https://…@host/x?y=a@b"),
            ("host=h password=hun,ter2 user=a", "host=h password=… user=a"),
            ("host=h password='hun ter2' user=a", "host=h password=… user=a"),
            ("x-amz-signature=0f, X-Amz-Signature%3D0f%26x", "x-amz-signature=…, X-Amz-Signature%3D…"),
        ] {
            assert_eq!(hushed(said), kept, "{said}");
        }
    }
}
