//! How much still fits into the S3 stand-in: a store that is full, or becomes full in the middle of an upload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3s::{S3Error, S3ErrorCode};

/// The room that is left. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Capacity(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    bytes: Option<u64>,
    refused: u64,
}

impl Capacity {
    /// From now on so many bytes fit; none: as many as the disk holds. What is deleted makes no room: set it anew.
    pub(super) fn set(&self, bytes: Option<u64>) {
        self.left().bytes = bytes;
    }

    /// Requests that did not fit.
    pub(super) fn refused(&self) -> u64 {
        self.left().refused
    }

    /// Takes room for a piece of a body, or says how a full MinIO refuses it. A body is refused once.
    pub(super) fn take(&self, bytes: usize) -> Result<(), S3Error> {
        let mut left = self.left();
        let Some(capacity) = left.bytes else { return Ok(()) };
        match capacity.checked_sub(bytes as u64) {
            Some(rest) => {
                left.bytes = Some(rest);
                Ok(())
            }
            None => {
                left.bytes = Some(0);
                left.refused += 1;
                Err(full())
            }
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// AWS is never full; this is MinIO's answer, status included.
fn full() -> S3Error {
    let message = "Storage backend has reached its minimum free drive threshold. Please delete a few objects to proceed.";
    let mut error = S3Error::with_message(S3ErrorCode::Custom("XMinioStorageFull".into()), message);
    error.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
    error
}
