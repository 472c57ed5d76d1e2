//! The listener that both stand-ins stand behind: it counts requests, plays the scripted faults, and takes `/_sandbox/faults`.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::faults::{Action, Faults, Rule};
use super::wire::{Wire, s3_error_document};

type BoxError = Box<dyn Error + Send + Sync>;

/// A running listener. Dropping it, or `stop`, ends every connection at once, also the hanging ones.
#[derive(Debug)]
pub(super) struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Front {
    /// Serves `inner` at `address` (port 0: a free one) with the faults in front of it.
    pub(super) async fn start<S, B>(address: SocketAddr, wire: Wire, faults: Faults, inner: S) -> anyhow::Result<Front>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen at {address}"))?;
        let address = listener.local_addr().context("read the address of the listener")?;
        let task = tokio::spawn(async move {
            // The connections live in this task: aborting it drops them all.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((socket, _)) = accepted else { continue };
                        let (faults, inner) = (faults.clone(), inner.clone());
                        let service = service_fn(move |request| answer(wire, faults.clone(), inner.clone(), request));
                        connections.spawn(async move {
                            // An error here is a client that went, or a fault that cut the reply.
                            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Front { address, task })
    }

    /// The port that it listens on.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where programs on this machine reach it.
    pub(super) fn endpoint(&self) -> String {
        if self.address.ip().is_unspecified() { format!("http://127.0.0.1:{}", self.port()) } else { format!("http://{}", self.address) }
    }

    /// Closes the listener and every connection.
    pub(super) async fn stop(&mut self) {
        self.task.abort();
        // The task ends by being aborted, which is what was asked for.
        drop((&mut self.task).await);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer<S, B>(wire: Wire, faults: Faults, inner: S, request: Request<Incoming>) -> Result<Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/_sandbox/faults" {
        let json = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        return Ok(control(&faults, &parts.method, json, &body.collect().await?.to_bytes()));
    }
    let operation = wire.operation(&parts);
    let (key, body) = wire.key(&parts, Body::new(body)).await?;
    let ours = parts.uri.path().starts_with("/_sandbox/");
    let action = if ours { None } else { faults.arrive(operation, &key) };
    match action {
        None => proceed(inner, parts, body).await,
        Some(Action::DelayMs(delay)) => {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            proceed(inner, parts, body).await
        }
        Some(error @ Action::Error { .. }) => {
            drain(body).await?;
            refusal(wire, &error)
        }
        Some(Action::Afterwards(error)) => {
            proceed(inner, parts, body).await?;
            refusal(wire, &error)
        }
        Some(Action::Hang) => {
            drain(body).await?;
            std::future::pending().await
        }
        Some(Action::CutReply) => {
            proceed(inner, parts, body).await?;
            Err("scripted: the reply is lost".into())
        }
        Some(Action::ErrorInside200 { code, message }) => {
            drain(body).await?;
            let response = Response::builder().header(CONTENT_TYPE, "application/xml");
            Ok(response.body(Body::from(s3_error_document(&code, &message)))?)
        }
        Some(Action::CutRequest { after_bytes }) => {
            read_some(body, after_bytes).await?;
            Err("scripted: the request is cut".into())
        }
        Some(Action::CutBody { after_bytes }) => Ok(proceed(inner, parts, body).await?.map(|body| cut(body, after_bytes))),
    }
}

async fn proceed<S, B>(inner: S, parts: Parts, body: Body) -> Result<Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let response = inner.call(Request::from_parts(parts, body)).await.map_err(Into::into)?;
    Ok(response.map(Body::new))
}

/// The provider's error as it was scripted.
fn refusal(wire: Wire, error: &Action) -> Result<Response<Body>, BoxError> {
    let Action::Error { status, code, message, retry_after_seconds } = error else {
        return Err("scripted: only an error can come afterwards".into());
    };
    let mut response = wire.error(*status, code, message);
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert("retry-after", (*seconds).into());
    }
    Ok(response)
}

/// Reads the beginning of a request.
async fn read_some(body: Body, bytes: u64) -> Result<(), axum::Error> {
    let mut data = body.into_data_stream();
    let mut left = bytes;
    while left > 0
        && let Some(chunk) = data.next().await
    {
        left = left.saturating_sub(chunk?.len() as u64);
    }
    Ok(())
}

/// Reads the whole request: a client that is answered while it still sends may see a broken pipe instead of the answer.
async fn drain(body: Body) -> Result<(), axum::Error> {
    let mut data = body.into_data_stream();
    while let Some(chunk) = data.next().await {
        chunk?;
    }
    Ok(())
}

/// The first bytes of a body, then an error, at which hyper drops the connection. The announced length stays as it was.
fn cut(body: Body, after_bytes: u64) -> Body {
    let left = usize::try_from(after_bytes).unwrap_or(usize::MAX);
    let data = body.into_data_stream();
    Body::from_stream(stream::unfold(Some((data, left)), |state| async move {
        let (mut data, left) = state?;
        let broken = || Err(BoxError::from("scripted: the body is cut"));
        if left == 0 {
            // Being pending once makes hyper flush: an error would drop the connection together with what still waits in its buffer.
            tokio::task::yield_now().await;
            return Some((broken(), None));
        }
        match data.next().await {
            Some(Ok(mut chunk)) => {
                chunk.truncate(left);
                let left = left - chunk.len();
                Some((Ok(chunk), Some((data, left))))
            }
            Some(Err(error)) => Some((Err(error.into()), None)),
            None => None,
        }
    }))
}

/// `GET` lists the rules, `POST` adds one, `DELETE` clears them. A `POST` must say that it is JSON, which no foreign web page may without
/// asking first.
fn control(faults: &Faults, method: &Method, json: bool, body: &[u8]) -> Response<Body> {
    let reply = |status: StatusCode, text: String| {
        let mut response = Response::new(Body::from(text + "\n"));
        *response.status_mut() = status;
        response
    };
    match *method {
        Method::GET => reply(StatusCode::OK, serde_json::to_string(&faults.list()).unwrap_or_default()),
        Method::DELETE => {
            faults.clear();
            reply(StatusCode::OK, "[]".into())
        }
        Method::POST if !json => reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the rule as content-type: application/json".into()),
        Method::POST => match serde_json::from_slice::<Rule>(body) {
            Ok(rule) => {
                faults.add(rule);
                reply(StatusCode::CREATED, serde_json::to_string(&faults.list()).unwrap_or_default())
            }
            Err(error) => reply(StatusCode::BAD_REQUEST, format!("not a fault rule: {error}")),
        },
        _ => reply(StatusCode::METHOD_NOT_ALLOWED, "GET lists the faults, POST adds one, DELETE clears them".into()),
    }
}
