//! The program behind the aws_s3 stand-in: `exportbox s3-put SPEC`, started by the database server at the end of a COPY.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use aws_smithy_http_client::{Builder, tls};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use uuid::Uuid;

/// Bytes of a part in memory. 10,000 of them hold 78 GiB, far beyond one file.
const PART: u64 = 8 * 1024 * 1024;
/// RDS begins a new file at roughly 6 GB.
const SPLIT: u64 = 6 * 1000 * 1000 * 1000;
/// Lowers the split size for a whole server; the setting `aws_s3.split_bytes` lowers it for a session.
const SPLIT_VARIABLE: &str = "EXPORTBOX_SANDBOX_SPLIT_BYTES";

/// What the SQL side asks for.
#[derive(Debug, Deserialize)]
struct Spec {
    step: Step,
    token: Uuid,
    bucket: String,
    key: String,
    region: String,
    results: PathBuf,
    split_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Standard input into open uploads.
    Put,
    /// Makes the uploads objects.
    Complete,
    /// Gives them up.
    Abort,
}

/// What the next step and the SQL side read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Outcome {
    bytes: u64,
    uploads: Vec<Upload>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    key: String,
    id: String,
    /// ETag and CRC32 of each part in order.
    parts: Vec<(Option<String>, Option<String>)>,
}

/// The body of the hidden subcommand `s3-put`: one step of an export. The endpoint and the credentials come from the environment, as every
/// AWS SDK reads it. An error has been left for the SQL side before it is returned; the exit code must then not be 0.
pub async fn s3_put(spec_hex: &str) -> anyhow::Result<()> {
    let spec: Spec = serde_json::from_slice(&from_hex(spec_hex)?).context("read the specification")?;
    let client = client(&spec.region).await;
    let done = match spec.step {
        Step::Put => put(&client, &spec).await,
        Step::Complete => complete(&client, &spec).await,
        Step::Abort => {
            abort(&client, &spec.bucket, &read(&spec)?.uploads).await;
            Ok(())
        }
    };
    if let Err(error) = &done {
        leave(&spec, &serde_json::json!({ "error": error.to_string() }))?;
    }
    done
}

async fn put(client: &Client, spec: &Spec) -> anyhow::Result<()> {
    let mut outcome = Outcome::default();
    let mut stop = StopSignals::new()?;
    let stored = tokio::select! {
        stored = store(client, spec, &mut outcome) => stored,
        () = stop.given() => Err(anyhow::anyhow!("stopped by the database server")),
    };
    if stored.is_err() {
        abort(client, &spec.bucket, &outcome.uploads).await;
        return stored;
    }
    leave(spec, &outcome)
}

/// PostgreSQL sends the signal that cancels or ends a backend to its whole process group, and so to us. Without a handler we would die with
/// uploads open.
struct StopSignals {
    cancel: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<StopSignals> {
        Ok(StopSignals {
            cancel: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    async fn given(&mut self) {
        tokio::select! { _ = self.cancel.recv() => {}, _ = self.terminate.recv() => {} }
    }
}

/// Cuts standard input into files and those into parts; one part is in memory at a time. Nothing at all gives one empty file.
async fn store(client: &Client, spec: &Spec, outcome: &mut Outcome) -> anyhow::Result<()> {
    let lowered = std::env::var(SPLIT_VARIABLE).ok().and_then(|bytes| bytes.parse().ok());
    let split = spec.split_bytes.or(lowered).unwrap_or(SPLIT).max(1);
    let mut input = tokio::io::stdin();
    let mut room = 0;
    loop {
        let want = if room == 0 { split.min(PART) } else { room.min(PART) };
        let mut part = Vec::new();
        let read = (&mut input).take(want).read_to_end(&mut part).await.context("read the rows")? as u64;
        if read == 0 && !outcome.uploads.is_empty() {
            return Ok(());
        }
        if room == 0 {
            let number = outcome.uploads.len() + 1;
            let key = if number == 1 { spec.key.clone() } else { format!("{}_part{number}", spec.key) };
            let begun = client.create_multipart_upload().bucket(&spec.bucket).key(&key).checksum_algorithm(ChecksumAlgorithm::Crc32);
            let id = begun.send().await.map_err(told)?.upload_id.unwrap_or_default();
            outcome.uploads.push(Upload { key, id, parts: Vec::new() });
            room = split;
        }
        let upload = outcome.uploads.last_mut().context("there is an upload")?;
        let sent = client
            .upload_part()
            .bucket(&spec.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(i32::try_from(upload.parts.len() + 1).context("count the parts")?)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(Bytes::from(part).into());
        let sent = sent.send().await.map_err(told)?;
        upload.parts.push((sent.e_tag, sent.checksum_crc32));
        outcome.bytes += read;
        room -= read;
        if read < want {
            return Ok(());
        }
    }
}

async fn complete(client: &Client, spec: &Spec) -> anyhow::Result<()> {
    let outcome = read(spec)?;
    for (done, upload) in outcome.uploads.iter().enumerate() {
        let parts = upload.parts.iter().zip(1..).map(|((etag, crc32), number)| {
            CompletedPart::builder().part_number(number).set_e_tag(etag.clone()).set_checksum_crc32(crc32.clone()).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let call = client.complete_multipart_upload().bucket(&spec.bucket).key(&upload.key).upload_id(&upload.id);
        if let Err(error) = call.multipart_upload(parts).send().await {
            abort(client, &spec.bucket, &outcome.uploads[done..]).await;
            return Err(told(error));
        }
    }
    Ok(())
}

/// Best effort: who calls this has a more telling error in hand.
async fn abort(client: &Client, bucket: &str, uploads: &[Upload]) {
    for upload in uploads {
        drop(client.abort_multipart_upload().bucket(bucket).key(&upload.key).upload_id(&upload.id).send().await);
    }
}

async fn client(region: &str) -> Client {
    let plain = std::env::var("AWS_ENDPOINT_URL_S3").is_ok_and(|url| url.starts_with("http://"));
    let http = if plain {
        // Reading the machine's root certificates takes longer than a small export.
        Builder::new().build_http()
    } else {
        Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
    };
    let limits = TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).operation_attempt_timeout(Duration::from_secs(30));
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(region.to_owned()))
        .timeout_config(limits.build())
        .load()
        .await;
    Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build())
}

/// The sentence that the SQL side puts between `Amazon S3 client returned '` and `'.`.
fn told<E: ProvideErrorMetadata>(error: SdkError<E>) -> anyhow::Error {
    let text = match &error {
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "timed out",
        SdkError::TimeoutError(_) => "timed out",
        SdkError::DispatchFailure(_) => "Unable to connect to endpoint",
        _ => error.message().or(error.code()).unwrap_or("no error code in the response"),
    };
    anyhow::anyhow!("{text}")
}

fn path(spec: &Spec) -> PathBuf {
    spec.results.join(format!("{}.json", spec.token))
}

fn read(spec: &Spec) -> anyhow::Result<Outcome> {
    serde_json::from_slice(&std::fs::read(path(spec)).context("read the result")?).context("understand the result")
}

/// Writes the result file; a reader sees all of it or none.
fn leave(spec: &Spec, outcome: &impl Serialize) -> anyhow::Result<()> {
    let draft = spec.results.join(format!(".{}", Uuid::new_v4()));
    std::fs::write(&draft, serde_json::to_vec(outcome)?).context("write the result")?;
    std::fs::rename(&draft, path(spec)).context("publish the result")
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes.context("the specification is not hexadecimal")
}
