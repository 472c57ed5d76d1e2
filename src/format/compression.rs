//! How a file is compressed, and the one way that there is: streaming gzip, without name and time, so that the same rows give the same file.

use std::io::Write;

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use tokio::task::JoinHandle;

use crate::job::{Failure, FailureClass, Verdict};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: one member, or one for each slice of a file that is split.
    Gzip,
}

impl Compression {
    /// Every one.
    pub const ALL: [Compression; 2] = [Compression::None, Compression::Gzip];

    /// Its name in a request.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
        }
    }

    /// What the name of a file ends with, after the ending of its format.
    pub fn ending(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
        }
    }

    /// The content type of a compressed file; none: that of its format.
    pub(super) fn content_type(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("application/gzip"),
        }
    }

    /// What compresses the bytes of one file, or of one slice of it; none: nothing does.
    pub fn encoder(self) -> Option<Gzip> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some(Gzip::new()),
        }
    }
}

/// Bytes are gathered to blocks of this size before a blocking thread is asked: COPY sends rows one by one.
pub const BLOCK: usize = 256 * 1024;
/// Of zlib-rs: as small as what zlib makes by default, for about a quarter of the time.
const LEVEL: u32 = 3;

/// One gzip member that is being written.
pub struct Gzip {
    block: Vec<u8>,
    spare: Vec<u8>,
    /// Away while a blocking thread has it; a dropped future does not bring it back.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// The block before, while the next one is gathered.
    squeezing: Option<JoinHandle<std::io::Result<Squeezed>>>,
}

/// What a block has become, and what comes back with it.
struct Squeezed {
    bytes: Vec<u8>,
    encoder: Option<GzEncoder<Vec<u8>>>,
    block: Vec<u8>,
}

impl Gzip {
    fn new() -> Gzip {
        let encoder = GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(LEVEL));
        Gzip { block: Vec::new(), spare: Vec::new(), encoder: Some(encoder), squeezing: None }
    }

    /// Take bytes in. When a block is full its compression begins, and what the one before has become is given.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.block.extend_from_slice(chunk);
        if self.block.len() < BLOCK {
            return Ok(None);
        }
        let squeezed = self.land().await?;
        self.squeeze(false)?;
        Ok(squeezed)
    }

    /// The rest, with the checksum and size that end a member.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        let mut squeezed = self.land().await?.unwrap_or_default();
        self.squeeze(true)?;
        squeezed.extend(self.land().await?.unwrap_or_default());
        Ok(squeezed)
    }

    fn squeeze(&mut self, last: bool) -> Result<(), Failure> {
        let mut encoder = self.encoder.take().ok_or_else(|| fault("after the end"))?;
        let mut block = std::mem::replace(&mut self.block, std::mem::take(&mut self.spare));
        self.squeezing = Some(tokio::task::spawn_blocking(move || {
            encoder.write_all(&block)?;
            block.clear();
            if last {
                return Ok(Squeezed { bytes: encoder.finish()?, encoder: None, block });
            }
            Ok(Squeezed { bytes: std::mem::take(encoder.get_mut()), encoder: Some(encoder), block })
        }));
        Ok(())
    }

    /// Wait for the block that is being compressed.
    async fn land(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(squeezing) = &mut self.squeezing else { return Ok(None) };
        let squeezed = squeezing.await;
        self.squeezing = None;
        let Squeezed { bytes, encoder, block } =
            squeezed.map_err(|error| fault(&error.to_string()))?.map_err(|error| fault(&error.to_string()))?;
        (self.encoder, self.spare) = (encoder, block);
        Ok(Some(bytes))
    }
}

fn fault(detail: &str) -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Retry, "Compression failed: this is a fault of exportbox.").with_detail(detail)
}
