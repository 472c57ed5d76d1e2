//! What `doctor` asks of the store, besides a trial export.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Store, classify};
use crate::job::Failure;

impl Store {
    /// When the credentials that sign links end; none: they do not.
    ///
    /// # Errors
    /// There are none, or they cannot be fetched.
    pub async fn credentials_end(&self) -> Result<Option<DateTime<Utc>>, Failure> {
        Ok(self.signing_credentials().await?.expiry().map(DateTime::from))
    }

    /// How far the store's clock is ahead of this machine's; zero before it has answered anything.
    pub fn clock_ahead(&self) -> TimeDelta {
        self.0.clock.ahead()
    }

    /// The keys under a prefix, no more than this; and whether there are more.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn keys_under(&self, prefix: &str, most: usize) -> Result<(Vec<String>, bool), Failure> {
        let (mut keys, mut token) = (Vec::new(), None);
        loop {
            let request = self.0.client.list_objects_v2().bucket(self.bucket()).prefix(prefix);
            let page = request.set_continuation_token(token).send().await.map_err(|error| classify::failure(&error))?;
            keys.extend(page.contents().iter().filter_map(|object| object.key()).map(ToString::to_string));
            let has_more = page.is_truncated() == Some(true) && page.next_continuation_token().is_some();
            if !has_more || keys.len() >= most {
                let has_more = has_more || keys.len() > most;
                keys.truncate(most);
                return Ok((keys, has_more));
            }
            token = page.next_continuation_token;
        }
    }
}
