//! The object store: put, multipart upload, HEAD, signed links, sweep; S3 or anything that speaks its protocol.
//!
//! Must not know: jobs, leases, queries, mails. It gets keys and bytes and gives back facts or a [`Failure`]; `classify.rs` is the only
//! place that reads an AWS code. Keeps I4: every write says `If-None-Match: *`, so a key is written once, and a write whose reply was lost
//! is checked with a HEAD before it counts as failed. Keys, file names and links never reach a log line, a `Debug` or a sentence.

mod classify;
mod clock;
mod inspect;
mod link;
mod parts;
mod sweep;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region, ResponseChecksumValidation, StalledStreamProtectionConfig, timeout::TimeoutConfig};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use aws_smithy_types::checksum_config::RequestChecksumCalculation;
use aws_types::service_config::ServiceConfigKey;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};

pub use link::{Link, content_disposition};
pub use parts::{FLAT_PARTS, MAX_PART, MAX_PARTS, MIN_PART, PartPlan};
pub use sweep::UnfinishedUpload;
pub use upload::{Upload, UploadedPart};

use self::clock::StoreClock;
use crate::job::{Failure, FailureClass};

/// The name of a link that dies with the credentials that signed it.
pub const CUT_BY_CREDENTIALS: &str = "credentials";
/// The name of a link that dies with the object.
pub const CUT_BY_OBJECT: &str = "object";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For calls without a body.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A request with a body may take one second more for each of these bytes: a connection slower than two megabits a second is given up.
const BYTES_PER_EXTRA_SECOND: u64 = 256 * 1024;

/// What the store is told beside the SDK's own settings.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// The bucket for everything new.
    pub bucket: String,
    /// Links are signed for this address instead of the one that the daemon itself uses.
    pub public_endpoint: Option<String>,
    /// The bucket's lifecycle rule deletes objects at this age.
    pub object_life: Option<Duration>,
}

/// An object that is about to be written.
#[derive(Debug, Clone, Default)]
pub struct NewObject {
    /// Its key, never used before.
    pub key: String,
    /// What a download answers as its type.
    pub content_type: String,
    /// User metadata: ASCII, at most 2 KB together.
    pub metadata: Vec<(String, String)>,
    /// The store encrypts it with this KMS key; none: as the bucket says.
    pub kms_key: Option<String>,
}

/// What a HEAD says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of the whole object, where the store keeps one.
    pub crc32: Option<u32>,
    /// When the object was stored, by the store's clock.
    pub last_modified: Option<DateTime<Utc>>,
}

/// A bucket with the right to write, read and delete in it. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    client: Client,
    link_client: Client,
    bucket: String,
    checksums: bool,
    /// Over TLS nobody can change a part on its way: its own checksum is enough, and the signature does not need another hash of it.
    is_way_safe: bool,
    clock: StoreClock,
    object_life: Option<Duration>,
    credentials: Option<SharedCredentialsProvider>,
    signing: tokio::sync::Mutex<Option<link::Signing>>,
}

impl Store {
    /// Build the clients; nothing is sent.
    ///
    /// Another endpoint than AWS (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile's) means path-style addresses, and a region is
    /// made up when none is set. `AWS_REQUEST_CHECKSUM_CALCULATION=when_required` means that no checksum is sent or asked for.
    pub fn new(sdk: &SdkConfig, options: StoreOptions) -> Store {
        let endpoint = endpoint_override(sdk);
        let mut config = Builder::from(sdk)
            .timeout_config(timeouts(CALL_TIMEOUT))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(Duration::from_secs(30)).build())
            .force_path_style(endpoint.is_some());
        let clock = StoreClock::new(sdk.time_source());
        if endpoint.is_some() && sdk.region().is_none() {
            config = config.region(Region::from_static("us-east-1"));
        }
        // A link must not ask its reader for a checksum header.
        let mut link_config = config.clone().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(public) = &options.public_endpoint {
            link_config = link_config.endpoint_url(public).force_path_style(true);
        }
        Store(Arc::new(Inner {
            client: Client::from_conf(config.interceptor(clock.clone()).build()),
            link_client: Client::from_conf(link_config.build()),
            bucket: options.bucket,
            checksums: sdk.request_checksum_calculation() != Some(RequestChecksumCalculation::WhenRequired),
            is_way_safe: endpoint.as_deref().is_none_or(is_way_safe),
            clock,
            object_life: options.object_life,
            credentials: sdk.credentials_provider(),
            signing: tokio::sync::Mutex::default(),
        }))
    }

    /// The bucket for everything new.
    pub fn bucket(&self) -> &str {
        &self.0.bucket
    }

    /// The time by the store's clock, which decides when a link dies; by this machine's clock before the store has answered anything.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// Store an object in one request. `crc32` is that of `body`.
    ///
    /// # Errors
    /// It is not there, or not the same. A lost reply is no error when the object turns out to be there.
    pub async fn put(&self, object: &NewObject, body: Bytes, crc32: u32) -> Result<(), Failure> {
        let bytes = body.len() as u64;
        let request = self
            .0
            .client
            .put_object()
            .bucket(self.bucket())
            .key(&object.key)
            .content_type(&object.content_type)
            .set_metadata(object.metadata())
            .set_server_side_encryption(object.encryption())
            .set_ssekms_key_id(object.kms_key.clone())
            .if_none_match("*")
            .set_checksum_crc32(self.checksum(crc32))
            .body(ByteStream::from(body));
        match request.customize().config_override(body_timeouts(bytes)).send().await {
            Ok(_) => Ok(()),
            Err(error) => self.unless_stored(&object.key, bytes, crc32, classify::failure(&error)).await,
        }
    }

    /// What the store knows of an object; `None` when there is none.
    ///
    /// # Errors
    /// The store cannot say.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, Failure> {
        match self.head_once(key).await {
            Err(failure) if self.may_be_clock(&failure) => self.head_once(key).await,
            head => head,
        }
    }

    async fn head_once(&self, key: &str) -> Result<Option<Head>, Failure> {
        let request = self.0.client.head_object().bucket(self.bucket()).key(key);
        match request.set_checksum_mode(self.0.checksums.then_some(ChecksumMode::Enabled)).send().await {
            Ok(output) => Ok(Some(Head::from(&output))),
            Err(error) if classify::is_absent(&error) => Ok(None),
            Err(error) => Err(classify::failure(&error)),
        }
    }

    /// Compare what is stored with what was sent.
    ///
    /// # Errors
    /// The object is missing, has another size or another checksum; or the store cannot say.
    pub async fn verify(&self, key: &str, bytes: u64, crc32: u32) -> Result<Head, Failure> {
        let Some(head) = self.head(key).await? else {
            return Err(classify::damaged("HEAD finds no object"));
        };
        if head.bytes != bytes {
            return Err(classify::damaged(format!("HEAD says {} bytes, sent were {bytes}", head.bytes)));
        }
        match head.crc32 {
            Some(stored) if stored != crc32 => Err(classify::damaged(format!("HEAD says CRC-32 {stored:08x}, sent was {crc32:08x}"))),
            _ => Ok(head),
        }
    }

    /// Delete one object; one that is not there is no error.
    ///
    /// # Errors
    /// The store refuses or is away.
    pub async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.delete_in(self.bucket(), key).await
    }

    /// Whether the bucket is there and lets the daemon in.
    ///
    /// # Errors
    /// Why not, with the setting to check.
    pub async fn probe(&self) -> Result<(), Failure> {
        match self.probe_once().await {
            Err(failure) if self.may_be_clock(&failure) => self.probe_once().await,
            probed => probed,
        }
    }

    async fn probe_once(&self) -> Result<(), Failure> {
        self.0.client.head_bucket().bucket(self.bucket()).send().await.map(drop).map_err(|error| classify::failure(&error))
    }

    /// The SDK signs again when a refusal says that our clock is off; the answer to a HEAD has no body to say so. By then the SDK has learned
    /// the store's time, so a second call is signed by it. Without this a single machine's clock would hold up everybody's mails.
    fn may_be_clock(&self, failure: &Failure) -> bool {
        failure.class == FailureClass::StoreAccess && self.0.clock.is_off()
    }

    /// A failed write may have been carried out all the same: its reply was lost, or the SDK's own second try met the object of the first.
    /// Keys are never used twice, so the same size and checksum under this key are ours.
    async fn unless_stored(&self, key: &str, bytes: u64, crc32: u32, failure: Failure) -> Result<(), Failure> {
        match self.verify(key, bytes, crc32).await {
            Ok(_) => Ok(()),
            Err(_) => Err(failure),
        }
    }

    /// The header value of a CRC-32; none when the store is not to see any.
    fn checksum(&self, crc32: u32) -> Option<String> {
        self.0.checksums.then(|| BASE64_STANDARD.encode(crc32.to_be_bytes()))
    }
}

impl NewObject {
    fn metadata(&self) -> Option<std::collections::HashMap<String, String>> {
        (!self.metadata.is_empty()).then(|| self.metadata.iter().cloned().collect())
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }
}

impl From<&HeadObjectOutput> for Head {
    fn from(output: &HeadObjectOutput) -> Head {
        let modified = output.last_modified().and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos()));
        Head {
            bytes: output.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            // A checksum of part checksums is written "…-N"; it is not that of the bytes and does not decode.
            crc32: output
                .checksum_crc32()
                .and_then(|text| BASE64_STANDARD.decode(text).ok())
                .and_then(|raw| raw.try_into().ok())
                .map(u32::from_be_bytes),
            last_modified: modified,
        }
    }
}

/// Whether nobody in between can read or change what is sent: TLS, or the same machine.
fn is_way_safe(endpoint: &str) -> bool {
    url::Url::parse(endpoint).is_ok_and(|url| match url.host() {
        _ if url.scheme() == "https" => true,
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    })
}

/// The endpoint that is set by the environment, the profile or the daemon. The SDK keeps what it found to itself, and other stores than AWS
/// rarely have a host name for each bucket.
fn endpoint_override(sdk: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
    let for_s3 = key.and_then(|key| sdk.service_config().and_then(|config| config.load_config(key)));
    for_s3.or_else(|| sdk.endpoint_url().map(String::from))
}

/// No read timeout: completing an upload may take minutes before the first byte of its answer.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt).build()
}

/// Settings of one call with a body of so many bytes.
fn body_timeouts(bytes: u64) -> Builder {
    Builder::new().timeout_config(timeouts(CALL_TIMEOUT + Duration::from_secs(bytes / BYTES_PER_EXTRA_SECOND)))
}
