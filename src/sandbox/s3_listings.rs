//! Names and listings. s3s-fs keeps a file named after the base64 of each key, so a long key cannot be stored under its own name; and it has
//! no ListMultipartUploads, and a ListParts without ETags and order.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use s3s::S3Result;
use s3s::dto::{
    CommonPrefix, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
    ListPartsOutput, MultipartUpload, Object, Part, Timestamp,
};
use sha2::{Digest, Sha256};

use super::uploads::Uploads;

/// Entries on a page, at most.
const PAGE: i32 = 1000;

/// How many entries a page takes: what is asked for, within what AWS allows.
fn page(asked: Option<i32>) -> usize {
    usize::try_from(asked.unwrap_or(PAGE).clamp(0, PAGE)).unwrap_or_default()
}

/// Where long keys lie within their bucket.
const LONG: &str = ".long-keys/";

/// The names that long keys have on disk.
#[derive(Debug, Default)]
pub(super) struct Names {
    long: Mutex<HashMap<String, String>>,
}

impl Names {
    /// The name of a key on disk: itself, or a digest where a file name of s3s-fs would pass 255 bytes.
    pub(super) fn on_disk(&self, bucket: &str, key: &str) -> String {
        // `.bucket-B.object-K.upload-UUID.metadata.json`, B and K in base64 without padding.
        let base64 = |text: &str| (text.len() * 4).div_ceil(3);
        if base64(bucket) + base64(key) + 74 <= 255 {
            return key.to_owned();
        }
        let digest: String = Sha256::digest(key)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{LONG}{digest}");
        self.long.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), key.to_owned());
        name
    }

    /// The key behind a name on disk.
    pub(super) fn real(&self, name: String) -> String {
        if !name.starts_with(LONG) {
            return name;
        }
        self.long.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned().unwrap_or(name)
    }
}

/// One page of a bucket's objects, cut from all of them.
pub(super) fn objects(names: &Names, all: Vec<Object>, asked: ListObjectsV2Input) -> ListObjectsV2Output {
    let prefix = asked.prefix.clone().unwrap_or_default();
    let after = asked.continuation_token.clone().max(asked.start_after.clone()).unwrap_or_default();
    // By key, or by common prefix (then without an object).
    let mut entries: BTreeMap<String, Option<Object>> = BTreeMap::new();
    for mut object in all {
        let key = names.real(object.key.take().unwrap_or_default());
        let Some(rest) = key.strip_prefix(&prefix) else { continue };
        let cut = asked
            .delimiter
            .as_deref()
            .filter(|delimiter| !delimiter.is_empty())
            .and_then(|delimiter| rest.split_once(delimiter).map(|(head, _)| format!("{prefix}{head}{delimiter}")));
        match cut {
            Some(common) => entries.insert(common, None),
            None => entries.insert(key.clone(), Some(Object { key: Some(key), ..object })),
        };
    }
    let mut page_of_it: Vec<_> = entries.into_iter().filter(|(name, _)| after.is_empty() || *name > after).collect();
    let size = page(asked.max_keys);
    let truncated = size > 0 && page_of_it.len() > size;
    page_of_it.truncate(size);
    let next = page_of_it.last().filter(|_| truncated).map(|(name, _)| name.clone());
    let count = i32::try_from(page_of_it.len()).unwrap_or(i32::MAX);
    let (mut contents, mut common) = (Vec::new(), Vec::new());
    for (name, object) in page_of_it {
        match object {
            Some(object) => contents.push(object),
            None => common.push(CommonPrefix { prefix: Some(name) }),
        }
    }
    ListObjectsV2Output {
        key_count: Some(count),
        is_truncated: Some(truncated),
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: Some(common),
        name: Some(asked.bucket),
        prefix: asked.prefix,
        delimiter: asked.delimiter,
        max_keys: Some(asked.max_keys.unwrap_or(PAGE)),
        continuation_token: asked.continuation_token,
        start_after: asked.start_after,
        encoding_type: asked.encoding_type,
        ..Default::default()
    }
}

/// The open uploads of a bucket by key, then by start.
pub(super) fn uploads(uploads: &Uploads, input: ListMultipartUploadsInput) -> ListMultipartUploadsOutput {
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut found: Vec<_> =
        uploads.open.iter().filter(|(_, upload)| upload.bucket == input.bucket && upload.key.starts_with(&prefix)).collect();
    found.sort_by(|(left_id, left), (right_id, right)| (&left.key, left.started, left_id).cmp(&(&right.key, right.started, right_id)));
    if let Some(marker) = &input.key_marker {
        // With an upload id the page goes on behind that upload; without one, behind its key.
        let behind = input
            .upload_id_marker
            .as_ref()
            .and_then(|id| found.iter().position(|(found, upload)| *found == id && upload.key == *marker))
            .map_or_else(|| found.partition_point(|(_, upload)| upload.key <= *marker), |at| at + 1);
        found.drain(..behind);
    }
    let size = page(input.max_uploads);
    let truncated = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| truncated);
    ListMultipartUploadsOutput {
        is_truncated: Some(truncated),
        next_key_marker: last.map(|(_, upload)| upload.key.clone()),
        next_upload_id_marker: last.map(|(id, _)| (*id).clone()),
        uploads: Some(
            found
                .iter()
                .map(|(id, upload)| MultipartUpload {
                    key: Some(upload.key.clone()),
                    upload_id: Some((*id).clone()),
                    initiated: Some(Timestamp::from(upload.started)),
                    checksum_algorithm: upload.algorithm.clone(),
                    checksum_type: upload.kind.clone(),
                    ..Default::default()
                })
                .collect(),
        ),
        bucket: Some(input.bucket),
        prefix: input.prefix,
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(input.max_uploads.unwrap_or(PAGE)),
        ..Default::default()
    }
}

/// The stored parts of an open upload, by number.
pub(super) fn parts(uploads: &Uploads, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let upload = uploads.find(&input.bucket, &input.key, &input.upload_id)?;
    let after = input.part_number_marker.as_ref().and_then(|marker| marker.to_string().parse().ok()).unwrap_or(0);
    let mut found: Vec<_> = upload.parts.range(after + 1..).collect();
    let size = page(input.max_parts);
    let truncated = found.len() > size;
    found.truncate(size);
    Ok(ListPartsOutput {
        is_truncated: Some(truncated),
        checksum_algorithm: upload.algorithm.clone(),
        checksum_type: upload.kind.clone(),
        next_part_number_marker: found.last().filter(|_| truncated).and_then(|(number, _)| number.to_string().parse().ok()),
        parts: Some(
            found
                .into_iter()
                .map(|(number, part)| Part {
                    part_number: Some(*number),
                    e_tag: Some(ETag::Strong(part.etag.clone())),
                    size: i64::try_from(part.size).ok(),
                    last_modified: Some(Timestamp::from(part.stored)),
                    checksum_crc32: upload.algorithm.is_some().then(|| part.crc32()),
                    ..Default::default()
                })
                .collect(),
        ),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(input.max_parts.unwrap_or(PAGE)),
        part_number_marker: input.part_number_marker,
        ..Default::default()
    })
}

/// The objects on disk that can have a key with this prefix, under their names there.
pub(super) fn below(bucket: &Path, prefix: &str) -> std::io::Result<Vec<Object>> {
    let dir = prefix.rsplit_once('/').map_or("", |(dir, _)| dir);
    // A prefix may say anything; what leads out of the bucket has no objects.
    let is_plain = Path::new(dir).components().all(|component| matches!(component, std::path::Component::Normal(_)));
    let mut names = if is_plain { files(bucket, &bucket.join(dir))? } else { Vec::new() };
    if !dir.is_empty() {
        names.extend(files(bucket, &bucket.join(LONG))?);
    }
    let object = |(key, file): (String, Metadata)| {
        let last_modified = file.modified().ok().map(Timestamp::from);
        Object { key: Some(key), size: i64::try_from(file.len()).ok(), last_modified, ..Default::default() }
    };
    Ok(names.into_iter().map(object).collect())
}

/// Every file of a bucket below one of its directories: its name on disk as a key, and what the disk says of it.
pub(super) fn files(bucket: &Path, dir: &Path) -> std::io::Result<Vec<(String, Metadata)>> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let entries = match std::fs::read_dir(dir) {
            // Deleted meanwhile, or never there.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let file = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?,
            };
            if file.is_dir() {
                dirs.push(entry.path());
            } else if let Ok(name) = entry.path().strip_prefix(bucket) {
                found.push((name.to_string_lossy().into_owned(), file));
            }
        }
    }
    Ok(found)
}
