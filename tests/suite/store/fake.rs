//! An S3 in this process: s3s with s3s-fs, every request recorded, faults on demand.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use exportbox::store::{Store, StoreOptions};
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Semaphore;

pub const BUCKET: &str = "exports";

/// What a request is, as far as the tests tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Put,
    Begin,
    Part,
    Complete,
    Abort,
    Head,
    Delete,
    Other,
}

/// What happens to the next request of a kind.
pub enum Fault {
    /// It is carried out, and the connection breaks before the answer.
    LoseReply,
    /// It is answered with this status, code and `Retry-After`, and not carried out.
    Answer(u16, &'static str, Option<u64>),
    /// It is never answered; `held` learns of it.
    Hold,
}

#[derive(Clone)]
pub struct Recorded {
    pub call: Call,
    pub headers: Vec<String>,
    /// What it says of encryption, and the key.
    pub encryption: Option<(String, String)>,
}

#[derive(Clone)]
pub struct FakeS3 {
    pub endpoint: String,
    root: Arc<tempfile::TempDir>,
    requests: Arc<Mutex<Vec<Recorded>>>,
    script: Arc<Mutex<VecDeque<(Call, Fault)>>>,
    held: Arc<Semaphore>,
}

/// Start it with one empty bucket.
pub async fn s3() -> FakeS3 {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(BUCKET)).unwrap();
    let service = {
        let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        builder.set_auth(s3s::auth::SimpleAuth::from_single("key", "secret"));
        builder.build()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = FakeS3 {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        root: Arc::new(root),
        requests: Arc::default(),
        script: Arc::default(),
        held: Arc::new(Semaphore::new(0)),
    };
    let serving = fake.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (fake, service) = (serving.clone(), service.clone());
            let answer = service_fn(move |request| fake.clone().answer(service.clone(), request));
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A connection that a test breaks is no error.
                let _ = server.serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    fake
}

impl FakeS3 {
    async fn answer(
        self,
        service: s3s::service::S3Service,
        request: Request<Incoming>,
    ) -> Result<Response<s3s::Body>, Box<dyn std::error::Error + Send + Sync>> {
        let call = Call::of(&request);
        let of_upload = request.uri().query().is_some_and(|query| query.contains("uploadId="));
        let headers = request.headers().keys().map(ToString::to_string).collect();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(ToString::to_string);
        let encryption = header("x-amz-server-side-encryption").zip(header("x-amz-server-side-encryption-aws-kms-key-id"));
        self.requests.lock().unwrap().push(Recorded { call, headers, encryption });
        let fault = {
            let mut script = self.script.lock().unwrap();
            let next = script.iter().position(|(kind, _)| *kind == call);
            next.and_then(|index| script.remove(index)).map(|(_, fault)| fault)
        };
        match fault {
            Some(Fault::Answer(status, code, retry_after)) => {
                // A client that is still sending would see a broken connection instead.
                request.into_body().collect().await?;
                return Ok(error(status, code, retry_after));
            }
            Some(Fault::Hold) => {
                self.held.add_permits(1);
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let response = service.call(request.map(s3s::Body::from)).await.map_err(|error| format!("{error:?}"))?;
        if matches!(fault, Some(Fault::LoseReply)) {
            return Err("the reply is lost".into());
        }
        // s3s-fs says AccessDenied where AWS says NoSuchUpload.
        if of_upload && response.status() == StatusCode::FORBIDDEN {
            return Ok(error(404, "NoSuchUpload", None));
        }
        Ok(response)
    }

    /// Let the next requests of these kinds fail.
    pub fn fail(&self, faults: impl IntoIterator<Item = (Call, Fault)>) {
        self.script.lock().unwrap().extend(faults);
    }

    /// Forget the faults that have not happened.
    pub fn heal(&self) {
        self.script.lock().unwrap().clear();
    }

    /// A request is being held.
    pub async fn held(&self) {
        let _permit = self.held.acquire().await.unwrap();
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self, call: Call) -> usize {
        self.requests().iter().filter(|request| request.call == call).count()
    }

    /// Where the bytes of an object lie.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// Files of uploads that are neither completed nor aborted.
    pub fn open_uploads(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".upload")).collect()
    }

    pub fn sdk(&self) -> aws_types::sdk_config::Builder {
        sdk(&self.endpoint)
    }

    pub fn store(&self) -> Store {
        store(&self.sdk().build())
    }
}

pub fn credentials(secret: &str, ends: Option<std::time::SystemTime>) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("key", secret, None, ends, "test"))
}

pub fn sdk(endpoint: &str) -> aws_types::sdk_config::Builder {
    use aws_smithy_http_client::{Builder, tls};
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(credentials("secret", None))
        .retry_config(aws_config::retry::RetryConfig::standard().with_initial_backoff(std::time::Duration::from_millis(1)))
        .http_client(Builder::new().tls_provider(tls).build_https())
}

pub fn store(sdk: &SdkConfig) -> Store {
    Store::new(sdk, StoreOptions { bucket: BUCKET.into(), ..StoreOptions::default() })
}

impl Call {
    fn of<B>(request: &Request<B>) -> Call {
        let query = request.uri().query().unwrap_or_default();
        let object = request.uri().path().trim_matches('/').contains('/');
        match *request.method() {
            Method::PUT if query.contains("partNumber=") => Call::Part,
            Method::PUT => Call::Put,
            Method::POST if query.contains("uploads") => Call::Begin,
            Method::POST if query.contains("uploadId=") => Call::Complete,
            Method::DELETE if query.contains("uploadId=") => Call::Abort,
            Method::DELETE => Call::Delete,
            Method::HEAD if object => Call::Head,
            _ => Call::Other,
        }
    }
}

fn error(status: u16, code: &str, retry_after: Option<u64>) -> Response<s3s::Body> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>scripted</Message></Error>");
    let mut response = Response::builder().status(status).header("content-type", "application/xml");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(s3s::Body::from(body)).unwrap()
}
