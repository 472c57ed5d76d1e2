//! The S3 stand-in: s3s with s3s-fs in this process, corrected towards AWS, with scripted faults in front.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use hyper_util::service::TowerToHyperService;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use super::faults::Faults;
use super::front::Front;
use super::s3_listings;
use super::s3_store::FileStore;
use super::wire::Wire;

/// What an [`S3`] is started with.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Where the objects lie; created when missing.
    pub dir: PathBuf,
    /// The one access key that it knows.
    pub access_key: String,
    /// The secret of that key.
    pub secret_key: String,
    /// Buckets that exist from the start.
    pub buckets: Vec<String>,
    /// The address to listen on; other machines reach only what is not loopback.
    pub host: IpAddr,
    /// The port; none: a free one.
    pub port: Option<u16>,
}

impl Default for S3Options {
    fn default() -> S3Options {
        S3Options {
            dir: PathBuf::from("s3"),
            access_key: "sandbox".into(),
            secret_key: "sandbox-secret".into(),
            buckets: Vec::new(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
        }
    }
}

/// An open multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// Its bucket.
    pub bucket: String,
    /// The key that it would become.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// How many parts are stored.
    pub parts: usize,
    /// Bytes stored so far.
    pub bytes: u64,
}

/// A running S3 stand-in. Dropping it closes all connections; the objects stay on disk.
///
/// Path style only. Checksums and open uploads live in memory: they do not outlive it.
pub struct S3 {
    front: Front,
    store: FileStore,
    faults: Faults,
    dir: PathBuf,
}

impl S3 {
    /// Starts it and creates the buckets.
    pub async fn start(options: &S3Options) -> anyhow::Result<S3> {
        for bucket in &options.buckets {
            anyhow::ensure!(s3s::path::check_bucket_name(bucket), "not a bucket name: {bucket}");
            std::fs::create_dir_all(options.dir.join(bucket)).context("create a bucket's directory")?;
        }
        std::fs::create_dir_all(&options.dir).context("create the directory of the S3 stand-in")?;
        let dir = options.dir.canonicalize().context("find the directory of the S3 stand-in")?;
        let store = FileStore::new(&dir)?;
        let mut builder = S3ServiceBuilder::new(store.clone());
        builder.set_auth(SimpleAuth::from_single(options.access_key.clone(), options.secret_key.clone()));
        let faults = Faults::default();
        let address = SocketAddr::new(options.host, options.port.unwrap_or(0));
        let front = Front::start(address, Wire::S3, faults.clone(), TowerToHyperService::new(builder.build())).await?;
        Ok(S3 { front, store, faults, dir })
    }

    /// The URL for `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint(&self) -> String {
        self.front.endpoint()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.front.port()
    }

    /// Where the objects lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The scripted faults and the counts of requests.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The uploads that were begun and neither completed nor aborted, by key.
    pub async fn open_uploads(&self) -> Vec<OpenUpload> {
        let mut found: Vec<OpenUpload> = self.store.uploads(|uploads| {
            let open = uploads.open.iter().map(|(id, upload)| OpenUpload {
                bucket: upload.bucket.clone(),
                key: upload.key.clone(),
                upload_id: id.clone(),
                parts: upload.parts.len(),
                bytes: upload.parts.values().map(|part| part.size).sum(),
            });
            open.collect()
        });
        found.sort_by(|left, right| (&left.key, &left.upload_id).cmp(&(&right.key, &right.upload_id)));
        found
    }

    /// Key and size in bytes of every object of a bucket, by key. No such bucket is an error.
    pub async fn objects(&self, bucket: &str) -> anyhow::Result<Vec<(String, u64)>> {
        let root = self.store.bucket_dir(bucket);
        anyhow::ensure!(root.is_dir(), "there is no bucket {bucket}");
        let walk = tokio::task::spawn_blocking(move || s3_listings::files(&root, &root));
        let mut found: Vec<_> = walk
            .await?
            .context("read the bucket's directory")?
            .into_iter()
            .map(|(name, file)| (self.store.names().real(name), file.len()))
            .collect();
        found.sort();
        Ok(found)
    }

    /// From now on only so many bytes of bodies fit, as on a full disk; none: as many as the disk holds. Deleting makes no room.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.store.capacity().set(bytes);
    }

    /// How many requests did not fit since the start.
    pub fn refused_for_want_of_room(&self) -> u64 {
        self.store.capacity().refused()
    }

    /// Closes the listener and every connection.
    pub async fn stop(&mut self) {
        self.front.stop().await;
    }
}
