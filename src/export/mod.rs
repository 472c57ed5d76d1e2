//! An export job: from a query to a stored, verified file.
//!
//! Must not know: the queue. It gets a job and an attempt, and returns an `Outcome` (I8). Whatever it stored is invisible until that outcome
//! is settled (I4); what a failed attempt leaves is swept by its prefix.

mod aws_s3;
pub mod body;
mod parallel;
mod rehearse;
mod select;

use self::body::{Body, BodyOptions, Stored, Unfinished};
pub use self::parallel::SplitOptions;
use self::parallel::{Opened, Prepared, Split, Splitter};
pub use self::rehearse::{Rehearsal, Rehearsed, rehearse};
use self::select::Selected;
pub use self::select::{ExporterSetting, Selection};
use crate::format::{Compression, FileFormat};
pub use crate::job::ExpectedExporter;
use crate::job::{Attempt, ExportJob, Manifest, ManifestPart, ObjectKey, Outcome, StopReason, safe_filename};
use crate::source::Sources;
use crate::store::{NewObject, PartPlan, Store};

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

/// Makes exports.
pub struct Exporter {
    sources: Sources,
    store: Store,
    options: ExportOptions,
    splitter: Splitter,
}

/// One attempt at one export, with its session on the source.
struct Export<'a> {
    attempt: &'a Attempt,
    job: &'a ExportJob,
    file: &'a FileFormat,
    opened: &'a Opened<'a>,
}

/// How many data rows an export has, and the files that it is stored as.
type Made = (i64, Vec<ManifestPart>);

impl Exporter {
    /// An exporter from these sources to this store.
    pub fn new(sources: Sources, store: Store, options: ExportOptions) -> Exporter {
        let splitter = Splitter::new(options.split);
        Exporter { sources, store, options, splitter }
    }

    /// Run one attempt to its end. When it is stopped, the query is cancelled on the server and the upload aborted before this returns.
    pub async fn export(&self, attempt: &Attempt, job: &ExportJob) -> Outcome {
        match self.try_export(attempt, job).await {
            Ok(manifest) => Outcome::Exported(manifest),
            Err(outcome) => outcome,
        }
    }

    async fn try_export(&self, attempt: &Attempt, job: &ExportJob) -> Result<Manifest, Outcome> {
        let file = &FileFormat::of(job)?;
        let source = self.sources.named(&job.terms.source)?;
        let may_split = self.options.exporter != ExporterSetting::AwsS3 && self.splitter.may_split(job, file);
        let opened = attempt.stop.race(Opened::open(source, attempt, job, may_split)).await??;
        let made = self.make(&Export { attempt, job, file, opened: &opened }, may_split).await;
        opened.close(made.is_ok()).await;
        made
    }

    async fn make(&self, export: &Export<'_>, may_split: bool) -> Result<Manifest, Outcome> {
        let Export { attempt, job, file, opened } = export;
        let session = &opened.session;
        let selection = Selection::of(&self.options);
        let selected = attempt.stop.race(select::select(selection, may_split, session, job, file)).await??;
        let expected_rows = match &selected {
            Selected::Copy => attempt.stop.race(session.expected_rows(&job.query)).await??,
            // It tells no progress that could be compared. And nothing of a sealed report runs outside of its function, not even to plan it.
            Selected::AwsS3(_) => None,
        };
        attempt.notes.backend(&job.terms.source, session.backend, selected.as_str(), expected_rows).await?;
        step!("export.noted_backend");

        let filename = safe_filename(&file.download_name(job.filename.as_deref(), job.report.as_deref()));
        let prefix = format!("{}/{}", self.options.prefix, job.terms.prefix.as_deref().unwrap_or_default());
        let key = ObjectKey::new(&prefix, attempt.job_id, attempt.token, &filename);
        // Before anything is stored: whoever has to clean up after this attempt must know where.
        attempt.notes.store(self.store.bucket(), &key.full(), None).await?;
        step!("export.noted_store");

        let (rows, parts) = match &selected {
            Selected::Copy => self.by_copy(export, &key).await?,
            Selected::AwsS3(sealed) => self.by_aws_s3(export, sealed.as_ref(), &key).await?,
        };
        step!("export.verified");
        let bucket = self.store.bucket().to_string();
        Ok(Manifest { bucket, parts, rows, content_type: file.content_type(), filename, as_of: session.as_of })
    }

    /// Stream the rows from the database into the store.
    async fn by_copy(&self, export: &Export<'_>, key: &ObjectKey) -> Result<Made, Outcome> {
        let Export { attempt, job, file, opened } = export;
        let Prepared { query, mut split } = attempt.stop.race(self.splitter.prepare(export)).await??;
        let options = BodyOptions {
            object: NewObject {
                key: key.full(),
                content_type: file.content_type(),
                // So that bucket and tables can be compared after a restore.
                metadata: vec![("exportbox-export".into(), attempt.job_id.to_string())],
                kms_key: job.terms.kms_key.clone(),
            },
            // What makes slices compresses each by itself.
            compression: if split.is_some() { Compression::None } else { file.compression() },
            plan: PartPlan::new(self.options.part_size),
            terms: job.terms.clone(),
        };
        let mut body = Body::new(&self.store, options, attempt.progress.clone(), attempt.notes.clone());
        let copying = async {
            match &mut split {
                Some(split) => split.copy(attempt, &mut body).await,
                None => copy(export, &query, &mut body).await,
            }
        };
        let ended = match attempt.stop.race(copying).await {
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
        let (aborted, (), ()) = tokio::join!(body.abort(), opened.session.interrupt(), Split::end(split, false));
        if let Err(failure) = aborted {
            tracing::warn!(error.class = %failure.class, "an upload could not be aborted, it is swept later");
        }
        step!("export.aborted");
        Err(ended)
    }
}

/// Rows from the database into the body, one line at a time; returns the data rows and what is stored.
async fn copy(export: &Export<'_>, query: &str, body: &mut Body) -> Result<(i64, Stored), Unfinished> {
    let Export { attempt, job, file, opened } = export;
    let columns = opened.session.describe(query).await?;
    let text = file.copy_text(query, &columns);
    let mut source = opened.session.copy(&text.query, &text.options).await?;
    step!("export.copying");
    let header = i64::from(file.has_header());
    let mut lines = 0;
    while let Some(line) = source.next().await? {
        lines += 1;
        // guard: number of rows
        job.terms.allow(lines - header, 0)?;
        attempt.progress.set_rows(lines - header);
        body.write(line).await?;
    }
    let stored = body.finish(|| attempt.may_publish()).await?;
    Ok((lines - header, stored))
}
