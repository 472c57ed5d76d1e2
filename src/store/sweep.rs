//! Remove everything of a lost attempt. Idempotent: what is gone is gone.

use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata;
use uuid::Uuid;

use super::{Store, classify};
use crate::job::{Failure, FailureClass, LeaseToken, Verdict};

/// Enough for one turn; the next turn finds the rest.
const MOST_UNFINISHED: usize = 1000;

impl Store {
    /// Abort the open uploads of one attempt and delete its objects.
    ///
    /// `bucket` is where the attempt stored, which need not be today's; `key` is that of its first file. Everything beside that key goes:
    /// `…/export id/lease token/`. A shorter prefix is refused, so that no fault elsewhere can empty a bucket. `upload_id` is the upload that
    /// the attempt noted; others (aws_s3 begins its own) are found by listing, where the store can list and the credentials may. In a bucket
    /// with versions an object is hidden, not erased.
    ///
    /// # Errors
    /// Something may be left.
    pub async fn sweep(&self, bucket: &str, key: &str, upload_id: Option<&str>) -> Result<(), Failure> {
        let prefix = prefix_of(key);
        if !is_attempts_own(prefix) {
            let sentence = "A sweep was asked for a prefix that is not one attempt's: nothing was deleted.";
            return Err(Failure::new(FailureClass::Internal, Verdict::Bury, sentence));
        }
        step!("worker.aborting");
        if let Some(id) = upload_id {
            self.abort_in(bucket, key, id).await?;
        }
        // The objects go even when the uploads cannot be listed.
        let uploads = self.abort_uploads(bucket, prefix).await;
        step!("worker.aborted");
        self.delete_objects(bucket, prefix).await.and(uploads)
    }

    /// Abort the uploads of one attempt that are open, its first file's key being `key`: an upload that nobody remembers, because the reply
    /// that would have named it was lost.
    ///
    /// # Errors
    /// An upload may still be open.
    pub async fn abort_beside(&self, key: &str) -> Result<(), Failure> {
        let prefix = prefix_of(key);
        if is_attempts_own(prefix) { self.abort_uploads(self.bucket(), prefix).await } else { Ok(()) }
    }

    async fn abort_uploads(&self, bucket: &str, prefix: &str) -> Result<(), Failure> {
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.0.client.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let page = match request.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await {
                Ok(page) => page,
                Err(error) if classify::is_unsupported(&error) || error.code() == Some("NoSuchBucket") => return Ok(()),
                Err(error) => {
                    let failure = classify::failure(&error);
                    // Listing uploads is a permission of its own; without it the bucket's lifecycle rule is the net.
                    return if failure.class == FailureClass::StoreAccess { Ok(()) } else { Err(failure) };
                }
            };
            for upload in page.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id())
                    && key.starts_with(prefix)
                {
                    self.abort_in(bucket, key, id).await?;
                }
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(());
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    async fn delete_objects(&self, bucket: &str, prefix: &str) -> Result<(), Failure> {
        let mut token = None;
        loop {
            let request = self.0.client.list_objects_v2().bucket(bucket).prefix(prefix);
            let page = match request.set_continuation_token(token).send().await {
                Ok(page) => page,
                // Without the bucket there is nothing left of the attempt.
                Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
                Err(error) => return Err(classify::failure(&error)),
            };
            // One by one: an attempt has few objects, and not every store takes the batch call.
            for key in page.contents().iter().filter_map(|object| object.key()).filter(|key| key.starts_with(prefix)) {
                self.delete_in(bucket, key).await?;
            }
            if page.is_truncated() != Some(true) || page.next_continuation_token().is_none() {
                return Ok(());
            }
            token = page.next_continuation_token;
        }
    }

    /// Delete one object of any bucket; one that is not there is no error. In a bucket with versions it is hidden, not erased.
    ///
    /// # Errors
    /// The store refuses or is away.
    pub async fn delete_in(&self, bucket: &str, key: &str) -> Result<(), Failure> {
        match self.0.client.delete_object().bucket(bucket).key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) if classify::is_absent(&error) => Ok(()),
            // With its bucket the object is gone, too.
            Err(error) if error.code() == Some("NoSuchBucket") => Ok(()),
            Err(error) => Err(classify::failure(&error)),
        }
    }

    /// Uploads below a prefix that were begun so long ago and are not finished, of the bucket for everything new. Only those whose key is of our
    /// making: it names the lease that began it. A batch of them; where the store cannot list there are none.
    ///
    /// # Errors
    /// The store refuses (to list uploads is a right of its own) or is away.
    pub async fn unfinished(&self, prefix: &str, age: Duration) -> Result<Vec<UnfinishedUpload>, Failure> {
        let prefix = prefix.trim_matches('/');
        let below = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let latest = (self.now() - age).timestamp();
        let (mut found, mut key_marker, mut id_marker) = (Vec::new(), None, None);
        loop {
            let request = self.0.client.list_multipart_uploads().bucket(self.bucket()).prefix(&below);
            let page = match request.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await {
                Ok(page) => page,
                Err(error) if classify::is_unsupported(&error) => return Ok(found),
                Err(error) => return Err(classify::failure(&error)),
            };
            let old = page.uploads().iter().filter(|upload| upload.initiated().is_some_and(|at| at.secs() <= latest));
            found.extend(old.filter_map(|upload| {
                let (key, id) = (upload.key()?, upload.upload_id()?);
                Some(UnfinishedUpload { key: key.into(), id: id.into(), token: token_of(key).filter(|_| key.starts_with(&below))? })
            }));
            if found.len() >= MOST_UNFINISHED || page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(found);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

/// An upload in parts that nobody has finished.
#[derive(Debug, Clone)]
pub struct UnfinishedUpload {
    /// Its key.
    pub key: String,
    /// The store's id of it.
    pub id: String,
    /// The lease whose attempt began it.
    pub token: LeaseToken,
}

/// The lease in a key of our making.
fn token_of(key: &str) -> Option<LeaseToken> {
    let prefix = prefix_of(key);
    let token = prefix.trim_end_matches('/').rsplit('/').next().filter(|_| is_attempts_own(prefix))?;
    Uuid::try_parse(token).ok().map(LeaseToken)
}

/// Up to the last slash, which stays.
fn prefix_of(key: &str) -> &str {
    &key[..key.rfind('/').map_or(0, |slash| slash + 1)]
}

/// `…/export id/lease token/`, as `job/key.rs` makes it.
fn is_attempts_own(prefix: &str) -> bool {
    let mut segments = prefix.rsplit('/');
    let slash_at_the_end = segments.next() == Some("");
    let two_ids = segments.by_ref().take(2).filter(|segment| Uuid::try_parse(segment).is_ok()).count() == 2;
    slash_at_the_end && two_ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::ObjectKey;

    #[test]
    fn only_the_prefix_of_one_attempt_is_swept() {
        let key = ObjectKey::new("exports", Uuid::from_u128(1), LeaseToken(Uuid::from_u128(2)), "a.csv");
        assert!(is_attempts_own(key.prefix()));
        assert!(is_attempts_own(ObjectKey::new("", Uuid::from_u128(1), LeaseToken(Uuid::from_u128(2)), "a.csv").prefix()));
        let export = Uuid::from_u128(1);
        for prefix in ["", "/", "exports/", "exports", &format!("exports/{export}/"), &key.full(), key.prefix().trim_end_matches('/')] {
            assert!(!is_attempts_own(prefix), "{prefix:?}");
        }
    }
}
