//! Mails as files: for development, for tests, and for machines whose own mail system picks them up.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::classify;
use crate::job::Failure;

/// A directory that holds one `.eml` for each delivery.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: PathBuf) -> Directory {
        Directory(path)
    }

    /// Store a mail and return its file name. Complete or absent, also after a power cut. A second attempt of the same delivery puts
    /// the same file in place of the first, so this transport cannot double a mail and nothing here is ever unknown.
    pub(super) async fn put(&self, delivery_id: Uuid, mail: &[u8], limit: Duration) -> Result<String, Failure> {
        let name = format!("{delivery_id}.eml");
        match tokio::time::timeout(limit, store(&self.0, &name, mail)).await {
            Ok(stored) => stored.map(|()| name).map_err(|error| classify::disk(&error)),
            Err(_) => Err(classify::disk_silence()),
        }
    }
}

impl Directory {
    /// Write a file beside the mails, and remove it.
    pub(super) async fn verify(&self, limit: Duration) -> Result<(), Failure> {
        let verifying = async {
            fs::create_dir_all(&self.0).await?;
            let draft = self.0.join(format!(".doctor.{}.tmp", Uuid::new_v4().simple()));
            fs::write(&draft, b"exportbox doctor").await?;
            fs::remove_file(&draft).await
        };
        match tokio::time::timeout(limit, verifying).await {
            Ok(written) => written.map_err(|error| classify::disk(&error)),
            Err(_) => Err(classify::disk_silence()),
        }
    }
}

async fn store(directory: &Path, name: &str, mail: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory).await?;
    // Readers of a mailbox directory pass over dot files. Random: two workers may hold the same delivery after a lost lease.
    let draft = directory.join(format!(".{name}.{}.tmp", Uuid::new_v4().simple()));
    let stored = write_and_rename(&draft, &directory.join(name), mail).await;
    if stored.is_err() {
        // What counts is why it failed; a leftover draft is harmless.
        let _ = fs::remove_file(&draft).await;
    }
    stored?;
    // The name is on disk only when the directory is.
    fs::File::open(directory).await?.sync_all().await
}

async fn write_and_rename(draft: &Path, place: &Path, mail: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(draft).await?;
    file.write_all(mail).await?;
    file.sync_all().await?;
    drop(file);
    fs::rename(draft, place).await
}
