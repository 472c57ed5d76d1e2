//! An export job: from a query to a stored, verified file.
//!
//! Must not know: the queue. It gets a job and an attempt, and returns an `Outcome` (I8). Whatever it stored is invisible until that outcome
//! is settled (I4); what a failed attempt leaves is swept by its prefix.

pub mod body;
mod select;
mod split;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::body::{Body, BodyOptions, Stored, Unfinished};
use self::select::Selected;
use self::split::{Channels, Split};
use crate::job::format::download_name;
use crate::job::{
    Attempt, ExportJob, Failure, FailureClass, Manifest, ManifestPart, ObjectKey, Outcome, StopReason, Verdict, safe_filename,
};
use crate::source::aws_s3::{Target, Uploaded};
use crate::source::{Sealed, Session, Snapshot, Source, Sources};
use crate::store::{NewObject, PartPlan, Store};

pub use select::ExporterSetting;
pub use split::SplitOptions;

/// How exports are made.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Which exporter.
    pub exporter: ExporterSetting,
    /// Every key begins with it.
    pub prefix: String,
    /// The region of bucket and database, for aws_s3.
    pub region: Option<String>,
    /// Size of the first parts of a multipart upload, bytes.
    pub part_size: u64,
    /// Files that several backends make.
    pub split: SplitOptions,
}

/// Where the query of one attempt runs.
struct Place<'a> {
    source: &'a Source,
    session: &'a Arc<Session>,
    /// What others may join it with.
    snapshot: Option<&'a Snapshot>,
}

/// Makes exports.
pub struct Exporter {
    sources: Sources,
    store: Store,
    options: ExportOptions,
    /// A place for each backend beside the one that every export has, over all exports of this process.
    helpers: Arc<Semaphore>,
}

impl Exporter {
    /// An exporter from these sources to this store.
    pub fn new(sources: Sources, store: Store, options: ExportOptions) -> Exporter {
        let helpers = Arc::new(Semaphore::new(options.split.backends.saturating_sub(1)));
        Exporter { sources, store, options, helpers }
    }

    /// Run one attempt to its end. When it is stopped, the query is cancelled on the server and the upload aborted before this returns.
    pub async fn export(&self, attempt: &Attempt, job: &ExportJob) -> Outcome {
        match self.try_export(attempt, job).await {
            Ok(manifest) => Outcome::Exported(manifest),
            Err(outcome) => outcome,
        }
    }

    async fn try_export(&self, attempt: &Attempt, job: &ExportJob) -> Result<Manifest, Outcome> {
        let source = self.sources.named(&job.terms.source)?;
        let open = || Session::open(source, attempt.export_id, job, attempt.time_left());
        let mut session = attempt.stop.race(open()).await??;
        step!("export.opened");
        let mut snapshot = None;
        if self.may_split(job) {
            match attempt.stop.race(session.share()).await? {
                Ok(shared) => snapshot = Some(shared),
                Err(failure) => {
                    tracing::debug!(error.class = %failure.class, "this server shares no snapshot: exporting over one backend");
                    session.end().await;
                    session = attempt.stop.race(open()).await??;
                }
            }
        }
        let session = Arc::new(session);
        let made = self.make(attempt, job, &Place { source, session: &session, snapshot: snapshot.as_ref() }).await;
        if let Some(session) = Arc::into_inner(session) {
            match made {
                Ok(_) => session.close().await,
                Err(_) => session.end().await,
            }
        }
        made
    }

    /// Its file may be made by several backends, if that pays.
    fn may_split(&self, job: &ExportJob) -> bool {
        job.terms.split_key.is_some() && self.options.split.backends > 1 && self.options.exporter != ExporterSetting::AwsS3
    }

    async fn make(&self, attempt: &Attempt, job: &ExportJob, place: &Place<'_>) -> Result<Manifest, Outcome> {
        let session = place.session;
        // What is split is streamed: the database alone writes with one backend.
        let setting = if self.may_split(job) { ExporterSetting::Copy } else { self.options.exporter };
        let exporter = attempt.stop.race(select::select(setting, self.options.region.is_some(), session, job)).await??;
        let expected_rows = match &exporter {
            Selected::Copy => attempt.stop.race(session.expected_rows(job)).await??,
            // It tells no progress that could be compared. And nothing of a sealed report runs outside of its function, not even to plan it.
            Selected::AwsS3(_) => None,
        };
        attempt.notes.backend(session.backend, exporter.as_str(), expected_rows).await?;
        step!("export.noted_backend");

        let filename = safe_filename(&download_name(job.filename.as_deref(), job.report.as_deref(), job.format, job.compression));
        let prefix = format!("{}/{}", self.options.prefix, job.terms.prefix.as_deref().unwrap_or_default());
        let key = ObjectKey::new(&prefix, attempt.export_id, attempt.token, &filename);
        // Before anything is stored: whoever has to clean up after this attempt must know where.
        attempt.notes.store(self.store.bucket(), &key.full(), None).await?;
        step!("export.noted_store");

        let (rows, parts) = match &exporter {
            Selected::Copy => self.by_copy(attempt, job, place, &key).await?,
            Selected::AwsS3(sealed) => self.by_aws_s3(attempt, job, session, sealed.as_ref(), &key).await?,
        };
        step!("export.verified");
        Ok(Manifest {
            bucket: self.store.bucket().to_string(),
            parts,
            rows,
            content_type: job.compression.content_type(job.format, &job.options),
            filename,
            as_of: session.as_of,
        })
    }

    async fn by_copy(
        &self,
        attempt: &Attempt,
        job: &ExportJob,
        place: &Place<'_>,
        key: &ObjectKey,
    ) -> Result<(i64, Vec<ManifestPart>), Outcome> {
        let (session, splitting) = (place.session, self.options.split);
        let prepared = attempt.stop.race(split::prepare(session, job, place.snapshot, splitting)).await??;
        let (job, split) = attempt.stop.race(prepared.gather(attempt, place, &self.helpers, splitting)).await??;
        let (job, mut channels) = (Arc::new(job), Channels::default());
        let options = BodyOptions {
            object: NewObject {
                key: key.full(),
                content_type: job.compression.content_type(job.format, &job.options),
                // So that bucket and tables can be compared after a restore.
                metadata: vec![("exportbox-export".into(), attempt.export_id.to_string())],
                kms_key: job.terms.kms_key.clone(),
            },
            compression: split::compression_of_body(&job, split.as_ref()),
            plan: PartPlan::new(self.options.part_size),
            terms: job.terms.clone(),
        };
        let mut body = Body::new(&self.store, options, attempt.progress.clone(), attempt.notes.clone());
        let making = async {
            match &split {
                Some(split) => split.run(attempt, &job, &mut channels, &mut body).await,
                None => pump(attempt, &job, session, &mut body).await,
            }
        };
        let made = attempt.stop.race(making).await;
        channels.end().await;
        let ended = match made {
            Ok(Ok((rows, stored))) => {
                Split::end(split, true).await;
                let bytes = i64::try_from(stored.bytes).unwrap_or(i64::MAX);
                let checksum = Some(format!("sha256:{}", stored.sha256));
                return Ok((rows, vec![ManifestPart { key: key.full(), bytes, checksum }]));
            }
            Ok(Err(Unfinished::LeaseEnded)) => attempt.stop.reason().unwrap_or(StopReason::LeaseLost).into(),
            Ok(Err(Unfinished::Failed(failure))) => failure.into(),
            Err(reason) => reason.into(),
        };
        step!("export.aborting");
        // Together: a slow store must not keep the query running.
        let (aborted, (), ()) = tokio::join!(body.abort(), session.interrupt(), Split::end(split, false));
        if let Err(failure) = aborted {
            tracing::warn!(error.class = %failure.class, "an upload could not be aborted, it is swept later");
        }
        step!("export.aborted");
        Err(ended)
    }

    async fn by_aws_s3(
        &self,
        attempt: &Attempt,
        job: &ExportJob,
        session: &Session,
        sealed: Option<&Sealed>,
        key: &ObjectKey,
    ) -> Result<(i64, Vec<ManifestPart>), Outcome> {
        let (first, region) = (key.full(), self.options.region.clone().unwrap_or_default());
        let target = Target { bucket: self.store.bucket(), key: &first, region: &region, kms_key: job.terms.kms_key.as_deref() };
        step!("export.calling");
        let uploaded = attempt.stop.race(session.export_aws_s3(job, sealed, target)).await??;
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

/// Rows from the database into the body, one line at a time; returns the data rows and what is stored.
async fn pump(attempt: &Attempt, job: &ExportJob, session: &Session, body: &mut Body) -> Result<(i64, Stored), Unfinished> {
    let mut rows = session.copy(job).await?;
    step!("export.copying");
    let header = i64::from(job.format.has_header(&job.options));
    let mut lines = 0;
    while let Some(line) = rows.next().await? {
        lines += 1;
        job.terms.allow(lines - header, 0)?;
        attempt.progress.set_rows(lines - header);
        body.write(line).await?;
    }
    let stored = body.finish(|| attempt.may_publish()).await?;
    Ok((lines - header, stored))
}
