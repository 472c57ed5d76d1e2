//! A body on its way to the disk: counted, hashed, and refused at its end when it is not what the request announced. s3s-fs stores a body
//! first and checks it then, which leaves the wrong object behind; a stream that ends in an error leaves nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;
use futures_util::{StreamExt, stream};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, StdError, TrailingHeaders, s3_error};
use tokio::sync::OwnedMutexGuard;

use super::s3_capacity::Capacity;
use super::uploads::crc32_text;

/// What has to hold when a body has arrived.
pub(super) struct Announced {
    /// The CRC32 of the header.
    pub(super) crc32: Option<String>,
    /// Where a CRC32 behind the body will be.
    pub(super) trailers: Option<TrailingHeaders>,
    /// `If-None-Match: *`: a path that must still be free, and the lock under which it is looked at and then written.
    pub(super) free: Option<(PathBuf, Arc<tokio::sync::Mutex<()>>)>,
    /// Where it has to fit.
    pub(super) capacity: Capacity,
}

/// What came of a body.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) size: u64,
    pub(super) crc: Hasher,
    /// A CRC32 was announced, and it was right.
    pub(super) verified: bool,
    refusal: Option<S3Error>,
    guard: Option<OwnedMutexGuard<()>>,
}

/// A shared look at a body that someone else reads.
#[derive(Clone, Default)]
pub(super) struct Check(Arc<Mutex<Arrived>>);

impl Check {
    /// Wraps a body; read it to its end, then ask [`Check::outcome`].
    pub(super) fn wrap(&self, body: StreamingBlob, announced: Announced) -> StreamingBlob {
        let check = self.clone();
        let checked = stream::unfold(Some((body, announced)), move |state| {
            let check = check.clone();
            async move {
                let (mut body, announced) = state?;
                match body.next().await {
                    Some(Ok(chunk)) => {
                        if let Err(full) = announced.capacity.take(chunk.len()) {
                            // Read to its end: a client that is answered while it still sends may see a broken pipe instead.
                            while body.next().await.is_some_and(|chunk| chunk.is_ok()) {}
                            return Some((Err(check.refuse(full)), None));
                        }
                        check.with(|arrived| {
                            arrived.size += chunk.len() as u64;
                            arrived.crc.update(&chunk);
                        });
                        Some((Ok(chunk), Some((body, announced))))
                    }
                    Some(Err(error)) => Some((Err(Broken(error)), None)),
                    None => check.finish(announced).await.map(|refused| (Err(refused), None)),
                }
            }
        });
        // The stream is Send but not Sync, and a StreamingBlob must be both: a Mutex that only its owner opens makes it so.
        let mut checked = Mutex::new(Box::pin(checked));
        StreamingBlob::wrap(stream::poll_fn(move |cx| checked.get_mut().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx)))
    }

    /// What arrived, and the lock (if any) that must be held until the write is done. An error is the reason to give instead of the one
    /// that the store found.
    pub(super) fn outcome(&self) -> Result<Arrived, S3Error> {
        self.with(|arrived| match arrived.refusal.take() {
            Some(refusal) => Err(refusal),
            None => Ok(std::mem::take(arrived)),
        })
    }

    async fn finish(&self, announced: Announced) -> Option<Broken> {
        let behind = announced.trailers.and_then(|trailers| {
            trailers.read(|headers| headers.get("x-amz-checksum-crc32").and_then(|crc32| crc32.to_str().ok()).map(str::to_owned)).flatten()
        });
        let expected = announced.crc32.or(behind);
        let right = self.with(|arrived| {
            let computed = crc32_text(arrived.crc.clone().finalize());
            arrived.verified = expected.as_ref() == Some(&computed);
            arrived.verified || expected.is_none()
        });
        if !right {
            return Some(self.refuse(s3_error!(BadDigest, "The CRC32 you specified did not match the calculated checksum.")));
        }
        if let Some((path, lock)) = announced.free {
            let guard = lock.lock_owned().await;
            if path.exists() {
                return Some(self.refuse(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")));
            }
            self.with(|arrived| arrived.guard = Some(guard));
        }
        None
    }

    fn refuse(&self, refusal: S3Error) -> Broken {
        self.with(|arrived| arrived.refusal = Some(refusal));
        Broken("refused".into())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Arrived) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A body that broke off or was refused.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub(super) struct Broken(StdError);
