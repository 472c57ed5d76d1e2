//! Multipart upload: begin, parts, complete, abort.

use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::{NewObject, Store, body_timeouts, classify, timeouts};
use crate::job::{Failure, Verdict};

/// The store joins up to 10,000 parts before it answers.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// A part that is on its way may land after an abort, so an abort is repeated until the store no longer knows the upload.
const ABORTS: u32 = 5;
/// As often as the SDK would retry.
const BEGINS: u32 = 3;

/// An open multipart upload. Dropping it leaves it open, and billed: complete or abort it.
#[derive(Clone)]
pub struct Upload {
    store: Store,
    key: String,
    id: String,
}

/// A part that the store has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// From 1, without gaps.
    pub number: u32,
    /// Size in bytes.
    pub bytes: u64,
    e_tag: Option<String>,
    checksum: Option<String>,
}

impl Store {
    /// Open a multipart upload.
    ///
    /// The SDK's own retries are off: an upload whose reply was lost is open all the same, and nobody would know of it. What may have been
    /// opened beside this key is aborted before the next try.
    ///
    /// # Errors
    /// The store refuses or is away. What was opened then is found by [`Store::sweep`], or by the bucket's lifecycle rule.
    pub async fn begin(&self, object: &NewObject) -> Result<Upload, Failure> {
        let mut tries = 1;
        loop {
            match self.begin_once(object).await {
                Err(failure) if tries < BEGINS && (failure.verdict == Verdict::Retry || self.0.clock.is_off()) => {
                    self.abort_beside(&object.key).await?;
                    tokio::time::sleep(Duration::from_millis(100) * 2u32.pow(tries)).await;
                    tries += 1;
                }
                begun => return begun,
            }
        }
    }

    async fn begin_once(&self, object: &NewObject) -> Result<Upload, Failure> {
        let mut request = self
            .0
            .client
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(&object.key)
            .content_type(&object.content_type)
            .set_metadata(object.metadata())
            .set_server_side_encryption(object.encryption())
            .set_ssekms_key_id(object.kms_key.clone());
        if self.0.checksums {
            request = request.checksum_algorithm(ChecksumAlgorithm::Crc32).checksum_type(ChecksumType::FullObject);
        }
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let output = request.customize().config_override(once).send().await.map_err(|error| classify::failure(&error))?;
        let id = output.upload_id.ok_or_else(|| classify::damaged("the store gave no upload id"))?;
        Ok(Upload { store: self.clone(), key: object.key.clone(), id })
    }

    /// Abort a multipart upload until the store no longer knows it; one that is not known at all is no error.
    ///
    /// # Errors
    /// The store refuses or is away: the upload may still be open.
    pub async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Failure> {
        self.abort_in(self.bucket(), key, upload_id).await
    }

    pub(super) async fn abort_in(&self, bucket: &str, key: &str, upload_id: &str) -> Result<(), Failure> {
        for round in 0..ABORTS {
            if round > 1 {
                tokio::time::sleep(Duration::from_millis(100) * 2u32.pow(round)).await;
            }
            match self.0.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload_id).send().await {
                Ok(_) => {}
                Err(error) if classify::is_absent(&error) => return Ok(()),
                Err(error) => return Err(classify::failure(&error)),
            }
        }
        // Some stores answer every abort with success.
        Ok(())
    }
}

impl Upload {
    /// The store's id of the upload.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Store one part; `crc32` is that of `body`. A part that is sent again replaces the first.
    ///
    /// # Errors
    /// The part is not stored, or it is not known whether it is.
    pub async fn part(&self, number: u32, body: Bytes, crc32: u32) -> Result<UploadedPart, Failure> {
        let (bytes, checksum) = (body.len() as u64, self.store.checksum(crc32));
        let request = self
            .store
            .0
            .client
            .upload_part()
            .bucket(self.store.bucket())
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(part_number(number))
            .set_checksum_crc32(checksum.clone())
            .body(ByteStream::from(body));
        let request = request.customize().config_override(body_timeouts(bytes));
        let has_checksum = checksum.is_some();
        let request = if has_checksum && self.store.0.is_way_safe { request.disable_payload_signing() } else { request };
        let output = request.send().await.map_err(|error| classify::failure(&error))?;
        Ok(UploadedPart { number, bytes, e_tag: output.e_tag, checksum })
    }

    /// Join the parts into the object; `crc32` is that of the whole.
    ///
    /// # Errors
    /// The object is not there, or not the same. A lost reply is no error when the object turns out to be there: the store then says that
    /// it does not know the upload, or that the key is taken.
    pub async fn complete(&self, parts: &[UploadedPart], crc32: u32) -> Result<(), Failure> {
        let bytes = parts.iter().map(|part| part.bytes).sum();
        let completed = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part_number(part.number))
                .set_e_tag(part.e_tag.clone())
                .set_checksum_crc32(part.checksum.clone())
                .build()
        });
        let checksum = self.store.checksum(crc32);
        let request = self
            .store
            .0
            .client
            .complete_multipart_upload()
            .bucket(self.store.bucket())
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build())
            .set_checksum_type(checksum.is_some().then_some(ChecksumType::FullObject))
            .set_checksum_crc32(checksum)
            .if_none_match("*");
        match request.customize().config_override(Builder::new().timeout_config(timeouts(COMPLETE_TIMEOUT))).send().await {
            Ok(_) => Ok(()),
            Err(error) => self.store.unless_stored(&self.key, bytes, crc32, classify::failure(&error)).await,
        }
    }

    /// Abort the upload; see [`Store::abort`].
    ///
    /// # Errors
    /// The upload may still be open.
    pub async fn abort(&self) -> Result<(), Failure> {
        self.store.abort(&self.key, &self.id).await
    }
}

fn part_number(number: u32) -> i32 {
    i32::try_from(number).expect("a plan has at most 10,000 parts")
}
