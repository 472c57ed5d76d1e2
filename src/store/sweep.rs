//! Remove everything of a lost attempt. Idempotent: what is gone is gone.

use aws_sdk_s3::error::ProvideErrorMetadata;
use uuid::Uuid;

use super::{Store, classify};
use crate::job::{Failure, FailureClass, Verdict};

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
    /// One may still be open.
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

    pub(super) async fn delete_in(&self, bucket: &str, key: &str) -> Result<(), Failure> {
        match self.0.client.delete_object().bucket(bucket).key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) if classify::is_absent(&error) => Ok(()),
            Err(error) => Err(classify::failure(&error)),
        }
    }
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
    use crate::job::{LeaseToken, ObjectKey};

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
