//! A store and a mail provider that take everything and keep nothing: what is measured is the program, not the parts it speaks to.
//!
//! S3: `CreateMultipartUpload`, `UploadPart`, `CompleteMultipartUpload`, `AbortMultipartUpload`, `PutObject`, `HeadObject`, `DeleteObject`,
//! path style. All that the program relies on is answered: an ETag, the checksum, and at a HEAD the size that arrived. Sizes are counted
//! here; checksums and signatures are believed, and bytes are dropped as they come. SES: `SendEmail` and `GetAccount`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::response::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const CRC32: &str = "x-amz-checksum-crc32";
const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// A running sink. Dropping it closes its listener.
pub struct Sink {
    endpoint: String,
    _listener: AbortOnDropHandle<()>,
}

/// What is known of the objects, by path, and of the open uploads, by id.
#[derive(Default)]
struct State {
    objects: HashMap<String, Stored>,
    uploads: HashMap<String, u64>,
    mails: u64,
}

struct Stored {
    bytes: u64,
    crc32: Option<String>,
}

impl Sink {
    /// Listen at a free port of this machine.
    pub async fn start() -> anyhow::Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for what is thrown away")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let accepting = async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                // An error here is a client that went.
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        };
        Ok(Sink { endpoint, _listener: AbortOnDropHandle::new(tokio::spawn(accepting)) })
    }

    /// Where it is, for `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL_SESV2`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The environment that sends the program's files and mails here.
    pub fn as_both(&self) -> [(&str, &str); 2] {
        [("AWS_ENDPOINT_URL_S3", &self.endpoint), ("AWS_ENDPOINT_URL_SESV2", &self.endpoint)]
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
    let path = head.uri.path().to_owned();
    let query: HashMap<&str, &str> = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    let begins = head.uri.query().is_some_and(|query| query.split('&').any(|name| name == "uploads" || name == "uploads="));
    let upload = query.get("uploadId").copied();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (reply, text) = match (head.method, upload) {
        (Method::POST, _) if path == "/v2/email/outbound-emails" => {
            state.mails += 1;
            (Response::builder(), format!(r#"{{"MessageId":"sunk-{}"}}"#, state.mails))
        }
        (Method::GET, _) if path == "/v2/email/account" => (Response::builder(), r#"{"SendingEnabled":true}"#.into()),
        (Method::POST, None) if begins => {
            let id = format!("upload-{}", state.uploads.len() + 1);
            state.uploads.insert(id.clone(), 0);
            let text = format!("{XML}<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
            (Response::builder(), text)
        }
        (Method::PUT, Some(id)) => {
            *state.uploads.entry(id.to_owned()).or_default() += bytes;
            (with_checksum(&head.headers), String::new())
        }
        (Method::POST, Some(id)) => {
            // Not forgotten, so that the next upload gets another id.
            let bytes = state.uploads.get(id).copied().unwrap_or_default();
            state.objects.insert(path, Stored { bytes, crc32: checksum(&head.headers) });
            let text = format!("{XML}<CompleteMultipartUploadResult><ETag>&quot;sunk&quot;</ETag></CompleteMultipartUploadResult>");
            (Response::builder(), text)
        }
        (Method::PUT, None) => {
            state.objects.insert(path, Stored { bytes, crc32: checksum(&head.headers) });
            (with_checksum(&head.headers), String::new())
        }
        (Method::HEAD, _) => match state.objects.get(&path) {
            Some(stored) => {
                let reply = Response::builder().header("etag", "\"sunk\"").header("content-length", stored.bytes);
                let reply = stored.crc32.iter().fold(reply, |reply, crc32| reply.header(CRC32, crc32));
                (reply.header("x-amz-checksum-type", "FULL_OBJECT"), String::new())
            }
            None => (Response::builder().status(404), String::new()),
        },
        (Method::DELETE, _) => (Response::builder().status(204), String::new()),
        _ => (Response::builder().status(501), format!("{XML}<Error><Code>NotImplemented</Code></Error>")),
    };
    Ok(reply.body(Full::from(text)).expect("a status and headers of our own"))
}

fn checksum(headers: &HeaderMap) -> Option<String> {
    headers.get(CRC32)?.to_str().ok().map(str::to_owned)
}

fn with_checksum(headers: &HeaderMap) -> Builder {
    checksum(headers).into_iter().fold(Response::builder().header("etag", "\"sunk\""), |reply, crc32| reply.header(CRC32, crc32))
}
