//! Streaming gzip: one member, without name and time, so that the same rows give the same file.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::buffer::broken;
use crate::job::{Failure, FailureClass, Verdict};

/// Bytes are gathered to blocks of this size before a blocking thread is asked: COPY sends rows one by one.
pub(in crate::export) const BLOCK: usize = 256 * 1024;
/// Of zlib-rs: as small as what zlib makes by default, for about a quarter of the time.
const LEVEL: u32 = 3;

pub(in crate::export) struct Gzip {
    block: Vec<u8>,
    /// Away while a blocking thread has it; a dropped future does not bring it back.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    pub(in crate::export) fn new() -> Gzip {
        let encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(LEVEL));
        Gzip { block: Vec::new(), encoder: Some(encoder) }
    }

    /// Take bytes in; gives compressed ones when a block was full.
    pub(in crate::export) async fn write(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.block.extend_from_slice(chunk);
        if self.block.len() < BLOCK {
            return Ok(None);
        }
        self.squeeze(false).await.map(Some)
    }

    /// The rest, with the checksum and size that end a member.
    pub(in crate::export) async fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        self.squeeze(true).await
    }

    async fn squeeze(&mut self, last: bool) -> Result<Vec<u8>, Failure> {
        let mut encoder = self.encoder.take().ok_or_else(|| fault("after the end"))?;
        let mut block = std::mem::take(&mut self.block);
        let squeezing = tokio::task::spawn_blocking(move || {
            encoder.write_all(&block)?;
            block.clear();
            if last {
                return Ok((encoder.finish()?, None, block));
            }
            let squeezed = std::mem::take(encoder.get_mut());
            Ok::<_, std::io::Error>((squeezed, Some(encoder), block))
        });
        let (squeezed, encoder, block) = squeezing.await.map_err(|error| broken(&error))?.map_err(|error| fault(&error.to_string()))?;
        (self.encoder, self.block) = (encoder, block);
        Ok(squeezed)
    }
}

fn fault(detail: &str) -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Retry, "Compression failed: this is a fault of exportbox.").with_detail(detail)
}
