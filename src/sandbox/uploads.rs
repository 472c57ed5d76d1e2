//! What s3s-fs does not keep: the open multipart uploads with their parts, and the checksums of whole objects.
//!
//! In memory only: it lives as long as the sandbox's S3.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc32fast::Hasher;
use s3s::dto::{ChecksumAlgorithm, ChecksumType, CompletedPart};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

/// The smallest part that is not the last, in bytes.
pub(super) const SMALLEST_PART: u64 = 5 * 1024 * 1024;

/// A bucket and a key.
pub(super) type UploadPlace = (String, String);

/// A CRC32 as S3 writes it: base64 of the four bytes, most significant first.
pub(super) fn crc32_text(crc: u32) -> String {
    BASE64.encode(crc.to_be_bytes())
}

/// One open upload.
#[derive(Debug)]
pub(super) struct PendingUpload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) started: SystemTime,
    /// As named at create.
    pub(super) algorithm: Option<ChecksumAlgorithm>,
    /// As named at create; with an algorithm and no type it is composite for CRC32.
    pub(super) kind: Option<ChecksumType>,
    pub(super) parts: BTreeMap<i32, StoredPart>,
}

/// One stored part.
#[derive(Debug, Clone)]
pub(super) struct StoredPart {
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) crc: Hasher,
    pub(super) stored: SystemTime,
}

impl StoredPart {
    /// The part's CRC32 as S3 writes it.
    pub(super) fn crc32(&self) -> String {
        crc32_text(self.crc.clone().finalize())
    }
}

/// The CRC32 of a whole object.
#[derive(Debug, Clone)]
pub(super) struct WholeCrc32 {
    pub(super) text: String,
    pub(super) kind: ChecksumType,
}

/// All open uploads and the checksums of the finished objects.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    pub(super) open: HashMap<String, PendingUpload>,
    pub(super) checksums: HashMap<UploadPlace, WholeCrc32>,
}

/// `NoSuchUpload` as AWS words it: also what a finished or aborted upload gives.
pub(super) fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}

impl Uploads {
    /// The open upload with this id, when it is for this place.
    pub(super) fn find(&self, bucket: &str, key: &str, id: &str) -> S3Result<&PendingUpload> {
        self.open.get(id).filter(|upload| upload.bucket == bucket && upload.key == key).ok_or_else(no_such_upload)
    }

    /// As [`Uploads::find`], to add a part.
    pub(super) fn find_mut(&mut self, bucket: &str, key: &str, id: &str) -> S3Result<&mut PendingUpload> {
        self.open.get_mut(id).filter(|upload| upload.bucket == bucket && upload.key == key).ok_or_else(no_such_upload)
    }
}

/// What a client states when it completes an upload.
pub(super) struct Completion<'a> {
    pub(super) parts: &'a [CompletedPart],
    pub(super) crc32: Option<&'a str>,
    pub(super) kind: Option<&'a ChecksumType>,
    pub(super) size: Option<i64>,
}

impl PendingUpload {
    /// Checks a completion as AWS does, before anything is changed: a refused one leaves the upload open. Gives the object's checksum when
    /// the upload was created with CRC32.
    pub(super) fn check(&self, stated: &Completion<'_>) -> S3Result<Option<WholeCrc32>> {
        if stated.parts.is_empty() {
            return Err(s3_error!(MalformedXML, "You must specify at least one part"));
        }
        if !stated.parts.is_sorted_by(|left, right| left.part_number < right.part_number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. The parts list must be specified in order by part number."
            ));
        }
        let composite = self.algorithm.as_ref().is_some_and(|algorithm| algorithm.as_str() == ChecksumAlgorithm::CRC32)
            && self.kind.as_ref().is_none_or(|kind| kind.as_str() == ChecksumType::COMPOSITE);
        let (mut whole, mut of_parts, mut size, mut last) = (Hasher::new(), Hasher::new(), 0, 0);
        for (index, named) in stated.parts.iter().enumerate() {
            let number = named.part_number.unwrap_or_default();
            last = number;
            let part = self.named(number, named)?;
            if composite && named.checksum_crc32.is_none() {
                return Err(s3_error!(
                    InvalidRequest,
                    "The upload was created using a crc32 checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request."
                ));
            }
            if index + 1 < stated.parts.len() && part.size < SMALLEST_PART {
                return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
            }
            whole.combine(&part.crc);
            of_parts.update(&part.crc.clone().finalize().to_be_bytes());
            size += part.size;
        }
        // With checksums AWS wants 1..n and answers 500; s3s-fs wants 1..n always.
        if usize::try_from(last).ok() != Some(stated.parts.len()) {
            return Err(s3_error!(InternalError, "Part numbers must be consecutive and begin with 1"));
        }
        if stated.size.is_some_and(|stated| u64::try_from(stated).ok() != Some(size)) {
            return Err(s3_error!(InvalidRequest, "The provided 'x-amz-mp-object-size' header does not match what was computed."));
        }
        self.whole(stated, composite, whole, of_parts)
    }

    fn named(&self, number: i32, named: &CompletedPart) -> S3Result<&StoredPart> {
        self.parts
            .get(&number)
            .filter(|part| named.e_tag.as_ref().is_some_and(|etag| etag.value() == part.etag))
            .filter(|part| named.checksum_crc32.as_ref().is_none_or(|crc32| *crc32 == part.crc32()))
            .ok_or_else(|| {
                s3_error!(
                    InvalidPart,
                    "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
                )
            })
    }

    fn whole(&self, stated: &Completion<'_>, composite: bool, whole: Hasher, of_parts: Hasher) -> S3Result<Option<WholeCrc32>> {
        if let Some(kind) = stated.kind
            && self.algorithm.is_some()
            && kind.as_str() != self.kind.as_ref().map_or(ChecksumType::COMPOSITE, ChecksumType::as_str)
        {
            let code = S3ErrorCode::InvalidRequest;
            return Err(S3Error::with_message(
                code,
                "The checksum type of the complete request is not the one that the upload was created with.",
            ));
        }
        let computed = if composite {
            WholeCrc32 {
                text: format!("{}-{}", crc32_text(of_parts.finalize()), stated.parts.len()),
                kind: ChecksumType::from_static(ChecksumType::COMPOSITE),
            }
        } else {
            WholeCrc32 { text: crc32_text(whole.finalize()), kind: ChecksumType::from_static(ChecksumType::FULL_OBJECT) }
        };
        if stated.crc32.is_some_and(|stated| stated != computed.text) {
            return Err(s3_error!(BadDigest, "The CRC32 you specified did not match the calculated checksum."));
        }
        let crc32 = self.algorithm.as_ref().is_some_and(|algorithm| algorithm.as_str() == ChecksumAlgorithm::CRC32);
        Ok((crc32 || stated.crc32.is_some()).then_some(computed))
    }
}
