//! A link and the instant at which it really ends: the earliest of what was asked for, the end of the credentials that sign it, and the end of
//! the object.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::{Builder, IdentityCache};
use aws_sdk_s3::presigning::PresigningConfig;
use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use super::{CUT_BY_CREDENTIALS, CUT_BY_OBJECT, Store, classify};
use crate::job::{Failure, FailureClass, Verdict, safe_filename};
use crate::secret::Secret;

/// S3 accepts no signature for longer than this.
const LONGEST: TimeDelta = TimeDelta::days(7);
/// A link that lives shorter than this is not worth mailing.
const SHORTEST: TimeDelta = TimeDelta::seconds(60);
/// Credentials are asked for at most this often, so that a thousand mails do not mean a thousand calls to the token service.
const CREDENTIALS_KEPT: Duration = Duration::from_secs(60);
/// A provider may run a program or call a token service.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// A signed link. Debugs without its address.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The address: it lets anybody who has it read the file, so it is for the mail alone.
    pub url: Secret,
    /// The instant at which it really ends, by the store's clock.
    pub expires_at: DateTime<Utc>,
    /// What made it die earlier than wished: [`CUT_BY_CREDENTIALS`] or [`CUT_BY_OBJECT`].
    pub cut_by: Option<&'static str>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("expires_at", &self.expires_at).field("cut_by", &self.cut_by).finish_non_exhaustive()
    }
}

/// Credentials that were just fetched.
pub(super) struct Signing {
    credentials: Credentials,
    fetched: Instant,
}

impl Store {
    /// Sign a GET of an object that a browser saves under `filename`.
    ///
    /// `stored_at` is when the object was stored: its life counts from there, and is the shorter of the bucket's and `object_life`. Wishes
    /// above 7 days are cut to 7 days. It is signed by the store's clock as the store's last answer told it, so look at the object with
    /// [`Store::head`] before.
    ///
    /// # Errors
    /// No credentials; or the link would live less than a minute, because the credentials are about to be replaced (worth a retry) or
    /// because the object is at the end of its life (not worth one).
    pub async fn link(
        &self,
        key: &str,
        wish: Duration,
        filename: &str,
        content_type: &str,
        stored_at: DateTime<Utc>,
        object_life: Option<Duration>,
    ) -> Result<Link, Failure> {
        let credentials = self.signing_credentials().await?;
        // The signature counts whole seconds.
        let now = DateTime::from_timestamp(self.now().timestamp(), 0).expect("a second of today is in range");
        let object_life = self.0.object_life.into_iter().chain(object_life).min();
        let ends = Ends {
            credentials: credentials.expiry().map(DateTime::from),
            object: object_life.and_then(|life| stored_at.checked_add_signed(TimeDelta::from_std(life).ok()?)),
        };
        let (life, cut_by) = ends.life(now, wish);
        if let Some(cut_by) = cut_by.filter(|_| life < SHORTEST) {
            return Err(self.too_short(cut_by, life).await);
        }
        let seconds = life.to_std().unwrap_or_default();
        let presigning = PresigningConfig::builder().start_time(SystemTime::from(now)).expires_in(seconds).build();
        let presigning = presigning.map_err(|error| unsigned().with_detail(error))?;
        let request = self
            .0
            .link_client
            .get_object()
            .bucket(self.bucket())
            // guard: key
            .key(key)
            // guard: name
            .response_content_disposition(content_disposition(filename))
            .response_content_type(content_type)
            .customize()
            // Signed with the same credentials whose end was read. The SDK's own cache may hold others.
            .config_override(Builder::new().credentials_provider(credentials).identity_cache(IdentityCache::no_cache()))
            .presigned(presigning)
            .await;
        let request = request.map_err(|error| classify::failure(&error))?;
        Ok(Link { url: request.uri().to_string().into(), expires_at: now + life, cut_by })
    }

    pub(super) async fn signing_credentials(&self) -> Result<Credentials, Failure> {
        let mut kept = self.0.signing.lock().await;
        if let Some(signing) = kept.as_ref()
            && signing.fetched.elapsed() < CREDENTIALS_KEPT
        {
            return Ok(signing.credentials.clone());
        }
        let provider: &SharedCredentialsProvider = self.0.credentials.as_ref().ok_or_else(classify::no_credentials)?;
        let provided = tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await;
        let provided = provided.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(CREDENTIALS_TIMEOUT)));
        let credentials = provided.map_err(|error| classify::credentials(&error))?;
        *kept = Some(Signing { credentials: credentials.clone(), fetched: Instant::now() });
        Ok(credentials)
    }

    async fn too_short(&self, cut_by: &str, life: TimeDelta) -> Failure {
        if cut_by == CUT_BY_OBJECT {
            let sentence = "The stored file is at the end of its life, so no link can be given: request the export again.";
            return Failure::new(FailureClass::FileGone, Verdict::Bury, sentence);
        }
        // The next call asks the provider again.
        *self.0.signing.lock().await = None;
        let sentence = "The credentials that sign the link end within a minute: the link is made with their successors.";
        let left = life.max(TimeDelta::zero()).to_std().unwrap_or_default();
        Failure::new(FailureClass::StoreAccess, Verdict::Retry, sentence).with_retry_after(Some(left + Duration::from_secs(1)))
    }
}

fn unsigned() -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Retry, "The link could not be signed: the detail says why.")
}

/// What ends a link before its time.
struct Ends {
    credentials: Option<DateTime<Utc>>,
    object: Option<DateTime<Utc>>,
}

impl Ends {
    /// How long a link lives in whole seconds, and what cut it short.
    fn life(&self, now: DateTime<Utc>, wish: Duration) -> (TimeDelta, Option<&'static str>) {
        let mut life = TimeDelta::from_std(wish).unwrap_or(LONGEST).min(LONGEST);
        let mut cut_by = None;
        for (end, name) in [(self.credentials, CUT_BY_CREDENTIALS), (self.object, CUT_BY_OBJECT)] {
            if let Some(end) = end
                && end - now < life
            {
                (life, cut_by) = (end - now, Some(name));
            }
        }
        (TimeDelta::seconds(life.num_seconds()), cut_by)
    }
}

/// What RFC 5987 calls attr-char stays as it is.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header that makes a browser save a file under this name: a plain ASCII name for old clients, and the true one for all others.
pub fn content_disposition(filename: &str) -> String {
    let name = safe_filename(filename);
    // A percent sign is decoded by some browsers, a quote ends the string.
    let ascii: String = name.chars().map(|c| if (' '..='~').contains(&c) && !matches!(c, '"' | '%') { c } else { '_' }).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, NOT_ATTR_CHAR))
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_filename_makes_one_harmless_header(filename in any::<String>()) {
            let header = content_disposition(&filename);
            prop_assert!(header.chars().all(|c| (' '..='~').contains(&c)), "{header:?}");
            let (ascii, encoded) = header
                .strip_prefix("attachment; filename=\"")
                .and_then(|rest| rest.split_once("\"; filename*=UTF-8''"))
                .expect("two names");
            prop_assert!(!ascii.contains(['"', '\\', '/']));
            prop_assert!(encoded.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&+-.^_`|~%".contains(c)));
            let decoded = percent_decode_str(encoded).decode_utf8().expect("UTF-8");
            prop_assert_eq!(decoded, safe_filename(&filename));
        }

        #[test]
        fn a_link_never_outlives_its_shortest_end(wish in 1u64..2_000_000, credentials in -100i64..2_000_000, object in -100i64..2_000_000) {
            let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
            let at = |seconds| Some(now + TimeDelta::seconds(seconds));
            let ends = Ends { credentials: at(credentials), object: at(object) };
            let (life, cut_by) = ends.life(now, Duration::from_secs(wish));
            let wish = i64::try_from(wish).expect("small").min(7 * 86_400);
            prop_assert_eq!(life.num_seconds(), wish.min(credentials).min(object));
            match cut_by {
                None => prop_assert!(wish <= credentials && wish <= object),
                Some(CUT_BY_CREDENTIALS) => prop_assert!(credentials < wish && credentials <= object),
                Some(_) => prop_assert!(object < wish && object < credentials),
            }
        }
    }

    #[test]
    fn a_name_with_quotes_and_umlauts_keeps_both_readings() {
        assert_eq!(
            content_disposition("Umsätze \"März\".csv"),
            "attachment; filename=\"Ums_tze _M_rz_.csv\"; filename*=UTF-8''Ums%C3%A4tze%20_M%C3%A4rz_.csv"
        );
    }

    #[test]
    fn a_link_is_not_shown_by_accident() {
        let link = Link { url: "https://bucket/key?X-Amz-Signature=abc".into(), expires_at: Utc::now(), cut_by: None };
        assert!(!format!("{link:?}").contains("bucket"), "{link:?}");
    }
}
