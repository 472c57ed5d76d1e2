//! The in-database exporter: the server writes to S3 by itself, and what it wrote is found and verified.

use bytes::Bytes;

use super::{Export, Exporter, Made};
use crate::job::{ExportJob, Failure, FailureClass, ManifestPart, ObjectKey, Outcome, Verdict, bare};
use crate::source::Sealed;
use crate::source::aws_s3::{Target, Uploaded};
use crate::store::NewObject;

impl Exporter {
    /// Have the server store the file: as the export's role, or as the login over the report's sealed function.
    pub(super) async fn by_aws_s3(&self, export: &Export<'_>, sealed: Option<&Sealed>, key: &ObjectKey) -> Result<Made, Outcome> {
        let Export { attempt, job, file, opened } = export;
        let session = &opened.session;
        let (first, region) = (key.full(), self.options.region.clone().unwrap_or_default());
        let target = Target { bucket: self.store.bucket(), key: &first, region: &region, kms_key: job.terms.kms_key.as_deref() };
        step!("export.calling");
        let uploading = async {
            let text = match sealed {
                Some(sealed) => {
                    session.drop_role().await?;
                    file.copy_text(&sealed.call, &sealed.columns)
                }
                None => {
                    let query = bare(&job.query);
                    file.copy_text(query, &session.describe(query).await?)
                }
            };
            session.export_aws_s3(&text.query, &text.options, target).await
        };
        let uploaded = attempt.stop.race(uploading).await??;
        step!("export.called");
        // Nothing stops the server on its way: what is too large is there already, and is swept with the attempt.
        job.terms.allow(uploaded.rows, uploaded.bytes)?;
        let parts = attempt.stop.race(self.verify_parts(job, key, uploaded)).await??;
        // The database's own client repeats what it had no answer to; an upload that it began twice is open once too often, and an attempt that
        // has completed is never swept.
        attempt.stop.race(self.store.abort_beside(&first)).await??;
        Ok((uploaded.rows, parts))
    }

    /// The function returns counts, not keys: find each part and compare the sum.
    async fn verify_parts(&self, job: &ExportJob, key: &ObjectKey, uploaded: Uploaded) -> Result<Vec<ManifestPart>, Failure> {
        let lost = |sentence: &str| Failure::new(FailureClass::Verification, Verdict::Retry, sentence);
        let mut parts = Vec::new();
        for number in 1..=uploaded.files {
            let key = key.part(number);
            let Some(head) = self.store.head(&key).await? else {
                return Err(lost("A file that the database reported is not in the bucket."));
            };
            parts.push(ManifestPart { key, bytes: i64::try_from(head.bytes).unwrap_or(i64::MAX), checksum: None });
        }
        if parts.iter().map(|part| part.bytes).sum::<i64>() != uploaded.bytes {
            return Err(lost("The files in the bucket have another size than the database reported."));
        }
        if parts.is_empty() {
            // Not documented for zero rows: an empty object is stored so that there is something to download.
            let key = key.full();
            let empty = NewObject { key: key.clone(), kms_key: job.terms.kms_key.clone(), ..NewObject::default() };
            self.store.put(&empty, Bytes::new(), 0).await?;
            parts.push(ManifestPart { key, bytes: 0, checksum: None });
        }
        Ok(parts)
    }
}
