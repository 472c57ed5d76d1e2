//! The bytes of a COPY go in, one stored and verified object comes out: compressed, hashed and counted in one pass.
//!
//! Memory is two buffers of the part size: one is filled while the other is hashed and uploaded. When the store is slower than the source,
//! `write` waits, and so does the source. Hashing and compression run on the blocking threads.
//!
//! Every future here may be dropped at any await. Then, and after any error, the caller calls [`Body::abort`].

mod buffer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::buffer::{Hashed, Task, grow, hash, join, reclaim, task};
use crate::format::Compression;
use crate::format::compression::{BLOCK, Gzip};
use crate::job::{Failure, FailureClass, Notes, Progress, Terms, Verdict};
use crate::store::{NewObject, PartPlan, Store, Upload, UploadedPart};

/// An abort that takes longer is left to the sweep.
const ABORT_TIMEOUT: Duration = Duration::from_secs(30);

/// What is to be written, and how.
#[derive(Debug, Clone)]
pub struct BodyOptions {
    /// Key, content type and metadata of the object.
    pub object: NewObject,
    /// How it is compressed.
    pub compression: Compression,
    /// How large its parts are.
    pub plan: PartPlan,
    /// How large it may become.
    pub terms: Terms,
}

/// A stored and verified object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size, after compression.
    pub bytes: u64,
    /// CRC-32 of the stored bytes.
    pub crc32: u32,
    /// SHA-256 of the stored bytes, in lower-case hex.
    pub sha256: String,
}

/// Why a body was not published.
#[derive(Debug)]
pub enum Unfinished {
    /// The worker may not publish any more: its lease has ended. Nothing was published.
    LeaseEnded,
    /// It failed.
    Failed(Failure),
}

impl From<Failure> for Unfinished {
    fn from(failure: Failure) -> Unfinished {
        Unfinished::Failed(failure)
    }
}

/// An object that is being written.
pub struct Body {
    store: Store,
    object: Arc<NewObject>,
    plan: PartPlan,
    terms: Terms,
    taken: i64,
    progress: Arc<Progress>,
    notes: Notes,
    gzip: Option<Gzip>,
    buffer: Vec<u8>,
    spare: Vec<u8>,
    beginning: Option<Task<Upload>>,
    upload: Option<Upload>,
    part: Option<Task<Landed>>,
    parts: Vec<UploadedPart>,
    sha256: Sha256,
    crc32: crc32fast::Hasher,
    publication: Option<Task<()>>,
    published: bool,
}

/// A part that the store has taken, and what comes back with it.
struct Landed {
    part: UploadedPart,
    hashed: Hashed,
}

impl Body {
    /// Nothing is sent yet. Should there be a multipart upload, its id is noted before its first part is sent: so a sweep finds the upload after a
    /// crash. Rows are counted by the caller, bytes here.
    pub fn new(store: &Store, options: BodyOptions, progress: Arc<Progress>, notes: Notes) -> Body {
        Body {
            store: store.clone(),
            object: Arc::new(options.object),
            plan: options.plan,
            terms: options.terms,
            taken: 0,
            progress,
            notes,
            gzip: options.compression.encoder(),
            buffer: Vec::new(),
            spare: Vec::new(),
            beginning: None,
            upload: None,
            part: None,
            parts: Vec::new(),
            sha256: Sha256::new(),
            crc32: crc32fast::Hasher::new(),
            publication: None,
            published: false,
        }
    }

    /// Take the next bytes. Waits while the store is slower than the source.
    ///
    /// # Errors
    /// A part could not be stored, or the file is too large for the plan.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Failure> {
        // A failed part is noticed at once, not when the next one is full.
        if self.part.as_ref().is_some_and(|part| part.is_finished()) {
            self.land().await?;
        }
        if self.gzip.is_none() {
            return self.append(&chunk).await;
        }
        // A row may be a gigabyte; in blocks, its compression needs no second one.
        for block in chunk.chunks(BLOCK) {
            if let Some(gzip) = &mut self.gzip
                && let Some(squeezed) = gzip.write(block).await?
            {
                self.append(&squeezed).await?;
            }
        }
        Ok(())
    }

    /// Store what is left, publish the object and verify it. `may_publish` is asked last, right before the one request that makes the
    /// object visible.
    ///
    /// # Errors
    /// The lease has ended, or the object is not stored as it was sent.
    pub async fn finish(&mut self, may_publish: impl Fn() -> bool) -> Result<Stored, Unfinished> {
        if let Some(gzip) = &mut self.gzip {
            let squeezed = gzip.finish().await?;
            self.append(&squeezed).await?;
        }
        if self.upload.is_some() {
            self.send_part().await?;
            self.land().await?;
        }
        let whole = match &self.upload {
            Some(_) => Bytes::new(),
            None => {
                let hashed = hash(std::mem::take(&mut self.buffer), std::mem::take(&mut self.sha256)).await?;
                self.crc32 = hashed.crc32;
                self.sha256 = hashed.sha256;
                hashed.data
            }
        };
        let crc32 = self.crc32.clone().finalize();
        let bytes = self.parts.iter().map(|part| part.bytes).sum::<u64>() + whole.len() as u64;
        if !may_publish() {
            return Err(Unfinished::LeaseEnded);
        }
        step!("export.publishing");
        self.published = true;
        let (store, object, progress) = (self.store.clone(), Arc::clone(&self.object), Arc::clone(&self.progress));
        let publication = match self.upload.clone() {
            Some(upload) => {
                let parts = std::mem::take(&mut self.parts);
                task(async move { upload.complete(&parts, crc32).await })
            }
            None => task(async move {
                store.put(&object, whole, crc32).await?;
                progress.add_bytes(bytes);
                Ok(())
            }),
        };
        let published = join(self.publication.insert(publication)).await;
        self.publication = None;
        published?;
        step!("export.published");
        self.store.verify(&self.object.key, bytes, crc32).await?;
        let sha256 = std::mem::take(&mut self.sha256).finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Stored { bytes, crc32, sha256 })
    }

    /// Leave nothing behind: no part on its way, no open upload, no object. Ends within 30 seconds.
    ///
    /// # Errors
    /// Something may be left for the sweep.
    pub async fn abort(&mut self) -> Result<(), Failure> {
        match tokio::time::timeout(ABORT_TIMEOUT, self.undo()).await {
            Ok(undone) => undone,
            Err(_) => Err(Failure::new(
                FailureClass::StoreUnavailable,
                Verdict::Retry,
                "The upload could not be aborted in time: a later sweep removes what is left.",
            )),
        }
    }

    async fn undo(&mut self) -> Result<(), Failure> {
        // These two have to be waited for: what they did cannot be undone without knowing it.
        if let Some(beginning) = &mut self.beginning {
            let begun = join(beginning).await;
            self.beginning = None;
            self.upload = begun.ok();
        }
        if let Some(publication) = &mut self.publication {
            // It failed or it did not: either way the key is deleted below.
            let _ = join(publication).await;
            self.publication = None;
        }
        if let Some(part) = self.part.take() {
            part.abort();
            // Whatever it came to, it is over.
            let _ = part.await;
        }
        if let Some(upload) = &self.upload {
            upload.abort().await?;
        }
        if self.published {
            self.store.delete(&self.object.key).await?;
        }
        Ok(())
    }

    /// Fill the buffer; a full one is sent only when more comes, so that a file of exactly one part needs no multipart upload.
    async fn append(&mut self, mut chunk: &[u8]) -> Result<(), Failure> {
        self.taken = self.taken.saturating_add(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
        self.terms.allow(0, self.taken)?;
        while !chunk.is_empty() {
            let size = self.plan.room(self.next_number())?;
            if self.buffer.len() >= size {
                self.send_part().await?;
                continue;
            }
            let (fits, rest) = chunk.split_at(chunk.len().min(size - self.buffer.len()));
            grow(&mut self.buffer, fits.len(), size);
            self.buffer.extend_from_slice(fits);
            chunk = rest;
        }
        Ok(())
    }

    /// The number of the part that is being filled.
    fn next_number(&self) -> u32 {
        let landed = u32::try_from(self.parts.len()).expect("a plan has at most 10,000 parts");
        landed + u32::from(self.part.is_some()) + 1
    }

    /// Send the buffer as the next part, once the part before has landed; the other buffer takes its place.
    async fn send_part(&mut self) -> Result<(), Failure> {
        self.land().await?;
        self.begin().await?;
        let upload = self.upload.clone().expect("begun right before");
        let number = self.next_number();
        let buffer = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        let (sha256, progress) = (std::mem::take(&mut self.sha256), Arc::clone(&self.progress));
        self.part = Some(task(async move {
            let hashed = hash(buffer, sha256).await?;
            let part = upload.part(number, hashed.data.clone(), hashed.crc32.clone().finalize()).await?;
            step!("export.stored_part");
            progress.add_bytes(part.bytes);
            Ok(Landed { part, hashed })
        }));
        Ok(())
    }

    /// Wait for the part on its way, and take back its buffer and the running hash.
    async fn land(&mut self) -> Result<(), Failure> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let landed = join(part).await;
        self.part = None;
        let Landed { part, hashed } = landed?;
        self.parts.push(part);
        self.crc32.combine(&hashed.crc32);
        self.sha256 = hashed.sha256;
        self.spare = reclaim(hashed.data);
        Ok(())
    }

    /// Open the upload, once. In a task of its own: an upload whose id nobody heard of could not be aborted.
    async fn begin(&mut self) -> Result<(), Failure> {
        if self.upload.is_some() {
            return Ok(());
        }
        let beginning = self.beginning.get_or_insert_with(|| {
            let (store, object) = (self.store.clone(), Arc::clone(&self.object));
            task(async move { store.begin(&object).await })
        });
        let begun = join(beginning).await;
        self.beginning = None;
        let upload = begun?;
        step!("export.began_upload");
        let upload = self.upload.insert(upload);
        self.notes.store(self.store.bucket(), &self.object.key, Some(upload.id())).await?;
        step!("export.noted_upload");
        Ok(())
    }
}
