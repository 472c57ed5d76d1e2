//! A file by several backends at once: slices of it, all of one snapshot, put together in order as they come.
//!
//! The store wants parts without gaps in their numbers once they have checksums, so nobody can upload what comes after an unfinished slice. Instead
//! slices are small: while one is passed on, those behind it wait in channels of a few megabytes each, and whoever fills a channel waits. Memory is bounded
//! however unequal the slices are, and everything behind [`Body`] is as for one backend: parts, checksums, ceilings, verification.

mod channel;
mod slicer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use self::channel::Channels;
use self::channel::Worker;
use self::slicer::Slicer;
use super::Place;
use super::body::{Body, Stored, Unfinished};
use crate::job::{Attempt, Compression, ExportJob, Failure, FailureClass, Verdict};
use crate::source::shape::bare;
use crate::source::{Cut, Session, Snapshot, Source, Splitting};

/// Whoever helps is there by then.
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
    /// Bytes of a slice, about; less than a channel has.
    pub slice_bytes: f64,
}

impl Default for SplitOptions {
    fn default() -> SplitOptions {
        SplitOptions { backends: 2, least_rows: 200_000.0, slice_bytes: 5.0 * 1024.0 * 1024.0 }
    }
}

/// An export with all that takes part in it.
pub(super) struct Split {
    splitting: Splitting,
    sessions: Vec<Arc<Session>>,
    options: SplitOptions,
    /// The places of those who help.
    _places: OwnedSemaphorePermit,
}

/// The job as its file is made, in the order of its split key, and what is needed to split it.
pub(super) struct Prepared {
    /// Its query has the file's order.
    pub(super) job: ExportJob,
    split: Option<(ExportJob, Splitting)>,
}

/// Find out whether the file of this job is to be split. Its order does not depend on that.
pub(super) async fn prepare(
    session: &Session,
    job: &ExportJob,
    snapshot: Option<&Snapshot>,
    options: SplitOptions,
) -> Result<Prepared, Failure> {
    let Some(key) = &job.terms.split_key else { return Ok(Prepared { job: job.clone(), split: None }) };
    let columns = session.describe(bare(&job.query)).await?;
    let Some(cut) = Cut::new(key, &columns) else {
        tracing::debug!(reason = "its split key is not one column of its query with an order", "exporting over one backend");
        return Ok(Prepared { job: job.clone(), split: None });
    };
    let whole = ExportJob { query: cut.whole(bare(&job.query)), ..job.clone() };
    if snapshot.is_none() {
        return Ok(Prepared { job: whole, split: None });
    }
    let splitting = session.splitting(job, columns, cut, options.least_rows).await;
    let split = splitting.inspect_err(|reason| tracing::debug!(reason, "exporting over one backend")).ok();
    Ok(Prepared { job: whole, split: split.map(|splitting| (job.clone(), splitting)) })
}

impl Prepared {
    /// Have others join, as many as are free and come. None: nobody did, or it is not to be split.
    ///
    /// # Errors
    /// The attempt must end.
    pub(super) async fn gather(
        self,
        attempt: &Attempt,
        place: &Place<'_>,
        helpers: &Arc<Semaphore>,
        options: SplitOptions,
    ) -> Result<(ExportJob, Option<Split>), Failure> {
        let (Some((job, splitting)), Some(snapshot)) = (self.split, place.snapshot) else { return Ok((self.job, None)) };
        let free = helpers.available_permits().min(options.backends - 1);
        let Ok(places) = Arc::clone(helpers).try_acquire_many_owned(u32::try_from(free).unwrap_or_default()) else {
            return Ok((self.job, None));
        };
        let joining = (0..free).map(|_| tokio::time::timeout(JOINING, join(place.source, attempt, &job, snapshot)));
        let mut sessions: Vec<Arc<Session>> = vec![Arc::clone(place.session)];
        for joined in join_all(joining).await {
            match joined {
                Ok(Ok(helper)) => sessions.push(Arc::new(helper)),
                Ok(Err(failure)) => tracing::debug!(error.class = %failure.class, "exporting over fewer backends"),
                Err(_) => tracing::debug!(error.class = "timeout", "exporting over fewer backends"),
            }
        }
        if sessions.len() == 1 {
            return Ok((self.job, None));
        }
        // Before any of them begins: whoever takes over from a lost worker ends them all.
        let backends = sessions.iter().skip(1).map(|helper| helper.backend).collect();
        attempt.notes.helpers(backends).await?;
        tracing::debug!(backends = sessions.len(), "exporting over several backends");
        Ok((job, Some(Split { splitting, sessions, options, _places: places })))
    }
}

async fn join(source: &Source, attempt: &Attempt, job: &ExportJob, snapshot: &Snapshot) -> Result<Session, Failure> {
    let helper = Session::join(source, attempt.export_id, job, attempt.time_left(), snapshot).await?;
    // The path by which names in the query are read is set with it.
    helper.describe(bare(&job.query)).await?;
    Ok(helper)
}

impl Split {
    /// All slices through the body, in order; returns the data rows and what is stored. May be dropped: then, and after any error, [`Split::end`]
    /// ends what still runs.
    pub(super) async fn run(
        &self,
        attempt: &Attempt,
        job: &Arc<ExportJob>,
        channels: &mut Channels,
        body: &mut Body,
    ) -> Result<(i64, Stored), Unfinished> {
        let Splitting { cut, histogram, estimate, columns } = &self.splitting;
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let least = self.sessions.len() as f64 * LEAST_SLICES;
        let slicer = Slicer::new(histogram.clone(), matches!(cut, Cut::Column { .. }), estimate.bytes, self.options.slice_bytes, least);
        let mut order = channels.open(self.sessions.len(), slicer);
        for session in &self.sessions {
            let worker = Worker {
                session: Arc::clone(session),
                job: Arc::clone(job),
                columns: columns.clone(),
                cut: cut.clone(),
                progress: Arc::clone(&attempt.progress),
            };
            channels.start(worker);
        }
        channels.close();
        let passing = async {
            while let Some(mut channel) = order.recv().await {
                while let Some(block) = channel.recv().await {
                    body.write(block).await?;
                }
            }
            Ok::<_, Failure>(())
        };
        // A channel ends with its slice or with its worker: only together they say that nothing is missing.
        let rows = channels.all(passing).await?;
        let stored = body.finish(|| attempt.may_publish()).await?;
        Ok((rows, stored))
    }

    /// End those who helped, once no worker has a session any more; the first is its opener's. What is not made may still run on the server.
    pub(super) async fn end(split: Option<Split>, is_made: bool) {
        let helpers = split.into_iter().flat_map(|split| split.sessions.into_iter().skip(1)).filter_map(Arc::into_inner);
        join_all(helpers.map(async |helper| if is_made { helper.close().await } else { helper.end().await })).await;
    }
}

/// What compresses each slice by itself has nothing left to compress.
pub(super) fn compression_of_body(job: &ExportJob, split: Option<&Split>) -> Compression {
    if split.is_some() { Compression::None } else { job.compression }
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Retry, "A task of a split export broke: this is a fault of exportbox.").with_detail(error)
}
