//! Channels: each slice has one, its worker fills it block by block, and they are emptied in the order in which the slices were cut.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Mutex as Turn, mpsc};
use tokio::task::JoinSet;

use super::broken;
use super::slice::{Slice, SplitKey};
use super::slicer::Slicer;
use crate::format::FileFormat;
use crate::format::compression::{BLOCK, Gzip};
use crate::job::{Column, Failure, Progress, Terms};
use crate::source::Session;

/// Blocks that a channel holds: 8 MiB of rows.
const DEPTH: usize = 8 * 1024 * 1024 / BLOCK;

type Channel = mpsc::Receiver<Bytes>;

/// The channels of one export and those who fill them. Dropping it ends them.
#[derive(Default)]
pub(super) struct Channels {
    shared: Option<Arc<Shared>>,
    workers: JoinSet<Result<i64, Failure>>,
}

/// What the workers share: who cuts a slice puts its channel behind those cut before.
struct Shared {
    order: Turn<mpsc::Sender<Channel>>,
    slicer: Mutex<Slicer>,
}

impl Channels {
    /// So many channels at most wait behind the one that is emptied.
    pub(super) fn open(&mut self, waiting: usize, slicer: Slicer) -> mpsc::Receiver<Channel> {
        let (order, channels) = mpsc::channel(waiting);
        self.shared = Some(Arc::new(Shared { order: Turn::new(order), slicer: Mutex::new(slicer) }));
        channels
    }

    pub(super) fn start(&mut self, worker: ChannelWorker) {
        if let Some(shared) = self.shared.clone() {
            self.workers.spawn(worker.run(shared));
        }
    }

    /// Nobody else starts: when the workers end, the channels do.
    pub(super) fn close(&mut self) {
        self.shared = None;
    }

    /// Wait for all workers and for who empties their channels; the first failure of any is that of all. Returns the rows.
    pub(super) async fn all(&mut self, passing: impl Future<Output = Result<(), Failure>>) -> Result<i64, Failure> {
        let mut passing = std::pin::pin!(passing);
        let (mut rows, mut is_passed) = (0, false);
        while !is_passed || !self.workers.is_empty() {
            tokio::select! {
                passed = &mut passing, if !is_passed => {
                    passed?;
                    is_passed = true;
                }
                // guard: every slice
                Some(ended) = self.workers.join_next() => rows += ended.map_err(|error| broken(&error))??,
            }
        }
        Ok(rows)
    }

    /// End the workers, and wait until they have let go of their sessions.
    pub(super) async fn end(&mut self) {
        self.workers.shutdown().await;
    }
}

/// What all workers of a file need to know.
pub(super) struct Work {
    /// The query of the whole file, without an order.
    pub(super) query: String,
    pub(super) columns: Vec<Column>,
    pub(super) key: SplitKey,
    pub(super) file: FileFormat,
    pub(super) terms: Terms,
    pub(super) progress: Arc<Progress>,
}

/// One backend's part.
pub(super) struct ChannelWorker {
    pub(super) session: Arc<Session>,
    pub(super) work: Arc<Work>,
}

impl ChannelWorker {
    /// Slice after slice; returns the data rows of them all.
    async fn run(self, shared: Arc<Shared>) -> Result<i64, Failure> {
        let mut rows = 0;
        while let Some((slice, width, channel)) = shared.next().await {
            let (more, bytes) = self.copy(&slice, channel).await?;
            rows += more;
            shared.slicer().learn(width, bytes);
        }
        Ok(rows)
    }

    /// One slice into its channel; returns its data rows, and its bytes before they are compressed.
    async fn copy(&self, slice: &Slice, channel: mpsc::Sender<Bytes>) -> Result<(i64, u64), Failure> {
        let Work { query, columns, key, file, .. } = &*self.work;
        let file = if slice.is_first { file.clone() } else { file.without_header() };
        let text = file.copy_text(&key.query_of(query, slice), columns);
        let mut source = self.session.copy_between(&text.query, &text.options, slice.bounds()).await?;
        let mut filler = Filler { channel, block: Vec::new(), gzip: file.compression().encoder() };
        let mut heading = i64::from(file.has_header());
        let (mut rows, mut told, mut bytes) = (0, 0, 0u64);
        while let Some(line) = source.next().await? {
            bytes += line.len() as u64;
            rows += 1 - std::mem::take(&mut heading);
            if filler.take(&line).await? {
                self.tell(rows - told)?;
                told = rows;
            }
        }
        self.tell(rows - told)?;
        filler.finish(slice.is_first || bytes > 0).await?;
        Ok((rows, bytes))
    }

    /// Rows count over all slices.
    fn tell(&self, rows: i64) -> Result<(), Failure> {
        // guard: rows of the file
        self.work.terms.allow(self.work.progress.add_rows(rows), 0)
    }
}

impl Shared {
    /// The next slice, how wide it is, and its channel, once there is room for one. None: everything is cut, or nobody wants it any more.
    async fn next(&self) -> Option<(Slice, f64, mpsc::Sender<Bytes>)> {
        let order = self.order.lock().await;
        let place = order.reserve().await.ok()?;
        let (slice, width) = self.slicer().next()?;
        let (channel, blocks) = mpsc::channel(DEPTH);
        place.send(blocks);
        Some((slice, width, channel))
    }

    /// Nobody panics while holding it, and a guess would do no harm if they did.
    fn slicer(&self) -> std::sync::MutexGuard<'_, Slicer> {
        self.slicer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows to blocks, compressed if need be, in a member of their own.
struct Filler {
    channel: mpsc::Sender<Bytes>,
    block: Vec<u8>,
    gzip: Option<Gzip>,
}

impl Filler {
    /// True: a block was full. A row of any size goes in pieces, so that a channel has no more than it says.
    async fn take(&mut self, mut line: &[u8]) -> Result<bool, Failure> {
        let mut is_full = false;
        while !line.is_empty() {
            if self.block.capacity() == 0 {
                self.block.reserve_exact(BLOCK);
            }
            let (fits, rest) = line.split_at(line.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(fits);
            line = rest;
            if self.block.len() == BLOCK {
                self.flush().await?;
                is_full = true;
            }
        }
        Ok(is_full)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.gzip {
            None => {
                let block = std::mem::take(&mut self.block);
                self.send(block).await;
            }
            Some(gzip) => {
                let squeezed = gzip.write(&self.block).await?;
                self.block.clear();
                if let Some(squeezed) = squeezed {
                    self.send(squeezed).await;
                }
            }
        }
        Ok(())
    }

    /// What is left. A slice without rows has no member, or the file would have one for each.
    async fn finish(mut self, has_member: bool) -> Result<(), Failure> {
        self.flush().await?;
        if let Some(gzip) = self.gzip.as_mut().filter(|_| has_member) {
            let rest = gzip.finish().await?;
            self.send(rest).await;
        }
        Ok(())
    }

    /// Waits while the channel is full. Nobody there: the export has failed elsewhere, and this worker is ended with it.
    async fn send(&self, block: Vec<u8>) {
        if !block.is_empty() {
            let _ = self.channel.send(Bytes::from(block)).await;
        }
    }
}
