//! A file by several backends at once: slices of it, all of one snapshot, put together in order as they come.
//!
//! The store wants parts without gaps in their numbers once they have checksums, so nobody can upload what comes after an unfinished slice. Instead
//! slices are small: while one is passed on, those behind it wait in channels of a few megabytes each, and a worker whose channel is full waits. So
//! memory is bounded however unequal the slices are, and everything behind [`Body`] is as for one backend: parts, checksums, ceilings, verification.

mod channel;
mod histogram;
mod plan;
mod scale;
mod slice;
mod slicer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::channel::{ChannelWorker, Channels, Work};
use self::plan::SplitPlan;
pub(super) use self::plan::check_key;
use self::slice::SplitKey;
use self::slicer::Slicer;
use super::Export;
use super::body::{Body, Stored, Unfinished};
use crate::format::FileFormat;
use crate::job::{Attempt, ExportJob, Failure, FailureClass, Verdict, bare};
use crate::source::{Session, Snapshot, Source};

/// How long to wait for backends that join. Those that come later are not used.
const JOINING: Duration = Duration::from_secs(5);
/// Slices of the whole file for each backend, at least.
const LEAST_SLICES: f64 = 4.0;

/// When and how files are split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitOptions {
    /// Backends of one export at most; 1: none is split.
    pub backends: usize,
    /// The planner must expect so many rows.
    pub least_rows: f64,
    /// Bytes of a slice, about; less than a channel holds.
    pub slice_bytes: f64,
}

impl Default for SplitOptions {
    fn default() -> SplitOptions {
        SplitOptions { backends: 2, least_rows: 200_000.0, slice_bytes: 5.0 * 1024.0 * 1024.0 }
    }
}

/// The session of an export, and what others may join it with.
pub(super) struct Opened<'a> {
    source: &'a Source,
    pub(super) session: Arc<Session>,
    snapshot: Option<Snapshot>,
}

impl Opened<'_> {
    /// Open the snapshot on the source. One that others may join has to be shared before anything else is asked.
    pub(super) async fn open<'a>(source: &'a Source, attempt: &Attempt, job: &ExportJob, may_split: bool) -> Result<Opened<'a>, Failure> {
        let open = || Session::open(source, attempt.job_id, job, attempt.time_left());
        let mut session = open().await?;
        step!("export.opened");
        let mut snapshot = None;
        if may_split {
            match session.share().await {
                Ok(shared) => snapshot = Some(shared),
                Err(failure) => {
                    tracing::debug!(error.class = %failure.class, "this server shares no snapshot: exporting over one backend");
                    session.end().await;
                    session = open().await?;
                }
            }
        }
        Ok(Opened { source, session: Arc::new(session), snapshot })
    }

    /// End the transaction. What is not made may still run on the server.
    pub(super) async fn close(self, is_made: bool) {
        match Arc::into_inner(self.session) {
            Some(session) if is_made => session.close().await,
            Some(session) => session.end().await,
            None => {}
        }
    }
}

/// Splits files among backends, as many as all exports of this process may have together.
pub(super) struct Splitter {
    options: SplitOptions,
    /// A place for each backend beside the one that every export has.
    helpers: Arc<Semaphore>,
}

/// A file that is streamed.
pub(super) struct Prepared {
    /// Its query, in the order of its split key: the same whether it is split or not.
    pub(super) query: String,
    /// None: one backend makes it.
    pub(super) split: Option<Split>,
}

impl Splitter {
    pub(super) fn new(options: SplitOptions) -> Splitter {
        Splitter { options, helpers: Arc::new(Semaphore::new(options.backends.saturating_sub(1))) }
    }

    /// Several backends may make the file, if that pays.
    pub(super) fn may_split(&self, job: &ExportJob, file: &FileFormat) -> bool {
        job.terms.split_key.is_some() && self.options.backends > 1 && file.is_splittable()
    }

    /// Find out whether the file of this export is to be split, and have others join.
    ///
    /// # Errors
    /// The attempt must end.
    pub(super) async fn prepare(&self, export: &Export<'_>) -> Result<Prepared, Failure> {
        let (query, session) = (bare(&export.job.query), &export.opened.session);
        let unsplit = |query: String, reason: &str| {
            tracing::debug!(reason, "exporting over one backend");
            Ok(Prepared { query, split: None })
        };
        let Some(key) = &export.job.terms.split_key else { return unsplit(query.into(), "it has no split key") };
        let columns = session.describe(query).await?;
        let Some(key) = SplitKey::of(key, &columns) else {
            return unsplit(query.into(), "its split key is not one column of its query with an order");
        };
        let whole = key.whole(query);
        let Some(snapshot) = &export.opened.snapshot else { return unsplit(whole, "its snapshot is not shared") };
        match plan::plan(session, query, columns, key, self.options.least_rows).await {
            Ok(plan) => Ok(Prepared { query: whole, split: self.gather(export, snapshot, plan).await? }),
            Err(reason) => unsplit(whole, reason),
        }
    }

    /// Have others join, as many as are free and come. None: nobody did.
    async fn gather(&self, export: &Export<'_>, snapshot: &Snapshot, plan: SplitPlan) -> Result<Option<Split>, Failure> {
        let free = self.helpers.available_permits().min(self.options.backends - 1);
        let places = Arc::clone(&self.helpers).try_acquire_many_owned(u32::try_from(free).unwrap_or_default());
        let Ok(places) = places else { return Ok(None) };
        let joining = (0..free).map(|_| tokio::time::timeout(JOINING, join(export, snapshot)));
        let mut sessions = vec![Arc::clone(&export.opened.session)];
        for joined in join_all(joining).await {
            match joined {
                Ok(Ok(helper)) => sessions.push(Arc::new(helper)),
                Ok(Err(failure)) => tracing::debug!(error.class = %failure.class, "exporting over fewer backends"),
                Err(_) => tracing::debug!(error.class = "timeout", "exporting over fewer backends"),
            }
        }
        if sessions.len() == 1 {
            return Ok(None);
        }
        // Before any of them begins: whoever takes over from a lost worker ends them all.
        export.attempt.notes.helpers(sessions.iter().skip(1).map(|helper| helper.backend).collect()).await?;
        tracing::debug!(backends = sessions.len(), "exporting over several backends");
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let least = sessions.len() as f64 * LEAST_SLICES;
        let SplitPlan { columns, key, bytes, histogram } = plan;
        let slicer = Slicer::new(histogram, matches!(key, SplitKey::Column { .. }), bytes, self.options.slice_bytes, least);
        let work = Work {
            query: bare(&export.job.query).to_string(),
            columns,
            key,
            file: export.file.clone(),
            terms: export.job.terms.clone(),
            progress: Arc::clone(&export.attempt.progress),
        };
        Ok(Some(Split { work: Arc::new(work), slicer, sessions, channels: Channels::default(), _places: places }))
    }
}

async fn join(export: &Export<'_>, snapshot: &Snapshot) -> Result<Session, Failure> {
    let (attempt, job) = (export.attempt, export.job);
    let helper = Session::join(export.opened.source, attempt.job_id, job, attempt.time_left(), snapshot).await?;
    // The path by which names in the query are read is set with it.
    helper.describe(bare(&job.query)).await?;
    Ok(helper)
}

/// A file that is split, with all that takes part in it.
pub(super) struct Split {
    work: Arc<Work>,
    slicer: Slicer,
    sessions: Vec<Arc<Session>>,
    channels: Channels,
    /// The places of those who help.
    _places: OwnedSemaphorePermit,
}

impl Split {
    /// All slices through the body, in order; returns the data rows and what is stored. May be dropped: then, and after any error, [`Split::end`]
    /// ends what still runs.
    pub(super) async fn copy(&mut self, attempt: &Attempt, body: &mut Body) -> Result<(i64, Stored), Unfinished> {
        let mut order = self.channels.open(self.sessions.len(), self.slicer.clone());
        for session in &self.sessions {
            self.channels.start(ChannelWorker { session: Arc::clone(session), work: Arc::clone(&self.work) });
        }
        self.channels.close();
        let passing = async {
            while let Some(mut channel) = order.recv().await {
                while let Some(block) = channel.recv().await {
                    body.write(block).await?;
                }
            }
            Ok::<_, Failure>(())
        };
        // A channel ends with its slice or with its worker: only together they say that nothing is missing.
        let rows = self.channels.all(passing).await?;
        let stored = body.finish(|| attempt.may_publish()).await?;
        Ok((rows, stored))
    }

    /// End the workers, and those who helped; the first session is its opener's. What is not made may still run on the server.
    pub(super) async fn end(split: Option<Split>, is_made: bool) {
        let Some(Split { mut channels, sessions, .. }) = split else { return };
        channels.end().await;
        let helpers = sessions.into_iter().skip(1).filter_map(Arc::into_inner);
        join_all(helpers.map(async |helper| if is_made { helper.close().await } else { helper.end().await })).await;
    }
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Retry, "A task of a split export broke: this is a fault of exportbox.").with_detail(error)
}
