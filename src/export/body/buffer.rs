//! The buffers of a body and the tasks that work on them beside it.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;

use crate::job::{Failure, FailureClass, Verdict};

/// Enough for a small export.
const SMALL_BUFFER: usize = 64 * 1024;
/// What an export gets that needs more, and twice as much each time after. In few steps: each leaves a hole in the heap. Untouched memory
/// costs nothing, but gigabytes of it may be refused.
const LARGE_BUFFER: usize = 8 * 1024 * 1024;

/// A task of ours that is waited for, and ended when nobody waits any more.
pub(super) type Task<T> = AbortOnDropHandle<Result<T, Failure>>;

/// Bytes with their checksum, and the running hash of all bytes up to its end.
pub(super) struct Hashed {
    pub(super) data: Bytes,
    pub(super) crc32: crc32fast::Hasher,
    pub(super) sha256: Sha256,
}

/// Hash a buffer on a blocking thread; `sha256` has seen everything before it.
pub(super) async fn hash(buffer: Vec<u8>, mut sha256: Sha256) -> Result<Hashed, Failure> {
    let hashing = tokio::task::spawn_blocking(move || {
        sha256.update(&buffer);
        let mut crc32 = crc32fast::Hasher::new();
        crc32.update(&buffer);
        Hashed { data: Bytes::from(buffer), crc32, sha256 }
    });
    hashing.await.map_err(|error| broken(&error))
}

/// Take a buffer back, emptied. The HTTP client may hold on to it for a moment; then a new one is allocated later rather than this copied.
pub(super) fn reclaim(data: Bytes) -> Vec<u8> {
    if !data.is_unique() {
        return Vec::new();
    }
    let mut buffer = Vec::from(data);
    buffer.clear();
    buffer
}

/// Make room without ever having more than `size` bytes: `Vec` alone would double.
pub(super) fn grow(buffer: &mut Vec<u8>, more: usize, size: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let least = if needed <= SMALL_BUFFER { SMALL_BUFFER } else { LARGE_BUFFER };
        let capacity = needed.max(buffer.capacity() * 2).max(least).min(size);
        buffer.reserve_exact(capacity - buffer.len());
    }
}

/// Start work that goes on while its caller is busy elsewhere.
pub(super) fn task<T: Send + 'static>(work: impl Future<Output = Result<T, Failure>> + Send + 'static) -> Task<T> {
    AbortOnDropHandle::new(tokio::spawn(work))
}

/// Wait for a task. May be dropped and called again.
pub(super) async fn join<T>(task: &mut Task<T>) -> Result<T, Failure> {
    task.await.unwrap_or_else(|error| Err(broken(&error)))
}

/// A task of ours panicked, or the runtime is going down.
fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Retry, "A task of the upload broke: this is a fault of exportbox.").with_detail(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_buffer_has_room_and_never_exceeds_its_part(size in 1usize..30_000_000, chunks in prop::collection::vec(1usize..2_000_000, 1..20)) {
            let mut buffer = Vec::new();
            for chunk in chunks {
                let fits = chunk.min(size - buffer.len());
                grow(&mut buffer, fits, size);
                prop_assert!(buffer.capacity() - buffer.len() >= fits);
                prop_assert!(buffer.capacity() <= size);
                buffer.resize(buffer.len() + fits, 0);
            }
        }
    }

    #[test]
    fn a_buffer_comes_back_with_its_memory_once_nobody_else_has_it() {
        let mut buffer = Vec::with_capacity(1000);
        buffer.extend_from_slice(b"abc");
        let data = Bytes::from(buffer);
        let other = data.clone();
        drop(other);
        let again = reclaim(data);
        assert!(again.is_empty() && again.capacity() == 1000);
        let data = Bytes::from(vec![1, 2, 3]);
        let other = data.clone();
        assert_eq!(reclaim(data).capacity(), 0);
        assert_eq!(&other[..], [1, 2, 3]);
    }
}
