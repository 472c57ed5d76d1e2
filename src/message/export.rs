//! The mail of a finished export: checks that its file is there, signs a link to each part of it, and has the mail written.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::compose::{Announcement, PartLink, compose};
use super::{Messenger, Prepared};
use crate::job::{Envelope, Failure, FailureClass, Verdict};

/// What the tables know of the export.
#[derive(Deserialize)]
pub(super) struct Finished {
    report: Option<String>,
    /// The requester's subject.
    subject: Option<String>,
    /// The requester's message.
    message: Option<String>,
    /// How long the link shall live; none: the setting.
    link_ttl_ms: Option<u64>,
    /// How long the bucket keeps the file, where its report says so.
    object_life_ms: Option<u64>,
    /// The parts of the file, in order: rows of `exportbox.object`. None: an erasure has just removed them.
    files: Option<Vec<StoredPart>>,
}

#[derive(Deserialize)]
struct StoredPart {
    part: i32,
    bucket: String,
    key: String,
    bytes: i64,
    rows: Option<i64>,
    checksum: Option<String>,
    content_type: String,
    filename: String,
    as_of: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

impl Messenger {
    /// Write the mail with its link.
    pub(super) async fn announce(&self, envelope: &Envelope, export: Finished) -> Result<Prepared, Failure> {
        let files = export.files.unwrap_or_default();
        let (Some(first), Some(export_id)) = (files.first(), envelope.export_id) else {
            return Err(Failure::new(FailureClass::Internal, Verdict::Retry, "The export has no stored file."));
        };
        let wish = export.link_ttl_ms.map_or(self.link_ttl, Duration::from_millis);
        if first.bucket != self.store.bucket() {
            // A bucket that is not there is a wrong setting for everybody.
            self.store.probe().await?;
            let sentence = "The file lies in another bucket than this daemon's; run one with that EXPORTBOX_BUCKET, or request it again.";
            return Err(Failure::new(FailureClass::StoreConfig, Verdict::Postpone, sentence));
        }
        let mut links = Vec::with_capacity(files.len());
        for file in &files {
            let stored = self.store.head(&file.key).await?;
            if stored.is_none() {
                // A HEAD cannot tell a missing bucket from a missing object: the first is a wrong setting and must bury nothing.
                self.store.probe().await?;
            }
            if stored.map(|head| head.bytes) != u64::try_from(file.bytes).ok() {
                let sentence = "The stored file is gone or has changed, so no link to it is mailed. Request the export again.";
                return Err(Failure::new(FailureClass::FileGone, Verdict::Bury, sentence));
            }
            let filename = part_name(&first.filename, links.len(), files.len());
            let life = export.object_life_ms.map(Duration::from_millis);
            links.push(self.store.link(&file.key, wish, &filename, &first.content_type, first.created_at, life).await?);
        }
        // By the clock that the links were signed by.
        let asked_until = self.store.now() + TimeDelta::from_std(wish).unwrap_or_default();
        // All were signed within a moment; the shortest life is the honest one.
        let announced = links.iter().min_by_key(|link| link.expires_at).cloned();
        let link = announced.ok_or_else(|| Failure::new(FailureClass::Internal, Verdict::Bury, "The export has no stored file."))?;
        let composed = compose(&Announcement {
            export_id,
            report: export.report,
            filename: first.filename.clone(),
            rows: Some(first.rows.unwrap_or_default()),
            bytes: files.iter().map(|file| file.bytes).sum(),
            as_of: first.as_of,
            links: links
                .iter()
                .zip(&files)
                .map(|(link, file)| PartLink { url: link.url.clone(), part: file.part, bytes: file.bytes })
                .collect(),
            expires_at: link.expires_at,
            asked_until,
            cut_by: link.cut_by,
            checksum: first.checksum.clone(),
            subject: export.subject,
            message: export.message,
        });
        Ok(Prepared { composed, about: Some(export_id), link: Some(link) })
    }
}

/// Parts are saved under names that sort: `orders.csv.part01`, …
fn part_name(filename: &str, index: usize, parts: usize) -> String {
    if parts == 1 { filename.to_string() } else { format!("{filename}.part{:02}", index + 1) }
}
