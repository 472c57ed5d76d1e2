//! The sandbox behaves as what it stands in for, seen through the real SDKs and drivers, and leaves nothing behind.

mod aws_s3;
mod faults;
mod postgres;
mod s3;
mod ses;

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use exportbox::sandbox::{S3, S3Options, Sandbox, SandboxOptions, Ses, SesOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// One sandbox for all tests that do not break it, on a runtime of its own. It ends with the test program.
pub fn shared() -> &'static Sandbox {
    static SHARED: OnceLock<(Runtime, Sandbox)> = OnceLock::new();
    let start = || {
        let runtime = Runtime::new().unwrap();
        let options = SandboxOptions { program: Some(env!("CARGO_BIN_EXE_exportbox").into()), ..Default::default() };
        let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
        (runtime, sandbox)
    };
    // A runtime may not be blocked on inside another one.
    &SHARED.get_or_init(|| std::thread::spawn(start).join().unwrap()).1
}

/// Gives up instead of hanging.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it did not come to pass within 60 s")
}

/// Looks again and again until it holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    until_async(async || holds()).await;
}

/// As [`until`], where the look itself has to wait.
pub async fn until_async(mut holds: impl AsyncFnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    soon(async {
        while !holds().await {
            tick.tick().await;
        }
    })
    .await;
}

/// What a real SDK client is configured with: one attempt, so that each fault is seen.
pub fn sdk(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(Credentials::new(
            "access", "secret", None, None, "test",
        )))
        .build()
}

/// An S3 with the bucket `exports`, and a real client of it.
pub struct S3World {
    pub s3: S3,
    pub client: aws_sdk_s3::Client,
    _dir: TempDir,
}

impl S3World {
    pub async fn start() -> S3World {
        let dir = tempfile::tempdir().unwrap();
        let options = S3Options {
            dir: dir.path().into(),
            access_key: "access".into(),
            secret_key: "secret".into(),
            buckets: vec!["exports".into()],
            ..Default::default()
        };
        let s3 = S3::start(&options).await.unwrap();
        let config = aws_sdk_s3::config::Builder::from(&sdk(&s3.endpoint())).force_path_style(true).build();
        S3World { s3, client: aws_sdk_s3::Client::from_conf(config), _dir: dir }
    }

    pub async fn begin(&self, key: &str) -> String {
        let created = self.client.create_multipart_upload().bucket("exports").key(key).send().await.unwrap();
        created.upload_id.unwrap()
    }

    /// Uploads a part and gives what Complete wants to hear of it.
    pub async fn part(&self, key: &str, id: &str, number: i32, body: Vec<u8>) -> aws_sdk_s3::types::CompletedPart {
        let call = self.client.upload_part().bucket("exports").key(key).upload_id(id).part_number(number).body(body.into());
        let done = call.send().await.unwrap();
        let part = aws_sdk_s3::types::CompletedPart::builder().part_number(number);
        part.set_e_tag(done.e_tag).set_checksum_crc32(done.checksum_crc32).build()
    }

    pub fn completion(parts: Vec<aws_sdk_s3::types::CompletedPart>) -> aws_sdk_s3::types::CompletedMultipartUpload {
        aws_sdk_s3::types::CompletedMultipartUpload::builder().set_parts(Some(parts)).build()
    }

    pub async fn put(&self, key: &str, body: &[u8]) {
        self.client.put_object().bucket("exports").key(key).body(body.to_vec().into()).send().await.unwrap();
    }

    pub async fn get(&self, key: &str) -> Vec<u8> {
        let got = self.client.get_object().bucket("exports").key(key).send().await.unwrap();
        got.body.collect().await.unwrap().to_vec()
    }
}

/// A SES, and a real client of it.
pub struct SesWorld {
    pub ses: Ses,
    pub client: aws_sdk_sesv2::Client,
    _dir: TempDir,
}

impl SesWorld {
    pub async fn start(options: SesOptions) -> SesWorld {
        let dir = tempfile::tempdir().unwrap();
        let ses = Ses::start(&SesOptions { dir: dir.path().into(), ..options }).await.unwrap();
        let client = aws_sdk_sesv2::Client::new(&sdk(&ses.endpoint()));
        SesWorld { ses, client, _dir: dir }
    }

    /// A call that sends this raw mail to one recipient.
    pub fn raw(&self, to: &str, mail: &str) -> aws_sdk_sesv2::operation::send_email::builders::SendEmailFluentBuilder {
        use aws_sdk_sesv2::types::{Destination, EmailContent, RawMessage};
        let raw = RawMessage::builder().data(mail.as_bytes().to_vec().into()).build().unwrap();
        self.client
            .send_email()
            .from_email_address("Exports <exports@example.com>")
            .destination(Destination::builder().to_addresses(to).build())
            .content(EmailContent::builder().raw(raw).build())
    }
}

/// Code and status of a refused call.
pub fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(result: Result<T, SdkError<E>>) -> (String, u16) {
    let error = result.expect_err("the call must be refused");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    (error.code().unwrap_or("no code").to_owned(), status)
}
