//! What a process says of itself over HTTP: `/metrics` for Prometheus, `/health` while it lives, `/ready` while it can work.
//!
//! Must not know: jobs, exports, mails. Counters are the process' own; figures of the tables are read when somebody asks, by one statement with a
//! short patience, and kept for a few seconds. Nobody is asked who they are: no page holds more than figures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::figures;
use crate::queue::{Figure, Queue, QueueError};

/// How long the database may take to answer a scrape.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was read is good for this long, so that many who scrape cost the database no more than one.
const KEPT: Duration = Duration::from_secs(3);
/// Histograms keep each value until somebody scrapes, or until this has passed.
const UPKEEP: Duration = Duration::from_secs(10);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "EXPORTBOX_HTTP: nothing can listen there ({0}); write address:port of this machine, for example 127.0.0.1:9187, and a port that is free"
)]
pub struct CannotListen(std::io::Error);

/// A listener that answers until it is dropped.
pub struct Http {
    /// Where it listens.
    pub address: SocketAddr,
    _answering: AbortOnDropHandle<()>,
}

struct Board {
    queue: Queue,
    counters: PrometheusHandle,
    stop: CancellationToken,
    looked: Mutex<Option<Looked>>,
}

/// What the tables said, and when.
struct Looked {
    at: Instant,
    figures: Result<Vec<Figure>, QueueError>,
}

/// Listen, and keep what is counted from now on.
///
/// # Errors
/// The address is none, not this machine's, or taken.
pub async fn serve(address: &str, queue: Queue, stop: CancellationToken) -> Result<Http, CannotListen> {
    let listener = TcpListener::bind(address).await.map_err(CannotListen)?;
    let bound = listener.local_addr().map_err(CannotListen)?;
    let counters = figures::keep();
    let board = Arc::new(Board { queue, counters: counters.clone(), stop, looked: Mutex::default() });
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(async || "alive\n"))
        .route("/ready", get(ready))
        .with_state(board);
    let answering = tokio::spawn(async move {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                counters.run_upkeep();
            }
        };
        tokio::select! {
            _ = axum::serve(listener, routes) => {}
            () = upkeep => {}
        }
    });
    Ok(Http { address: bound, _answering: AbortOnDropHandle::new(answering) })
}

async fn metrics(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let of_tables = board.look(|figures| figures.as_ref().ok().map(|figures| written(figures))).await;
    figures::database_up(of_tables.is_some());
    let (open, used) = board.queue.pool_use();
    figures::pool(open, used);
    let page = board.counters.render() + &of_tables.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

async fn ready(State(board): State<Arc<Board>>) -> impl IntoResponse {
    if board.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match board.look(|figures| figures.is_ok()).await {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be asked; the log says why\n"),
    }
}

impl Board {
    /// What the tables say, not older than `KEPT`. Whoever comes meanwhile waits for the same answer.
    async fn look<T>(&self, read: impl FnOnce(&Result<Vec<Figure>, QueueError>) -> T) -> T {
        let mut looked = self.looked.lock().await;
        let fresh = match looked.take() {
            Some(last) if last.at.elapsed() < KEPT => last,
            _ => {
                let figures = self.queue.figures(PATIENCE).await;
                if let Err(error) = &figures {
                    tracing::debug!(%error, "the figures of the tables could not be read");
                }
                Looked { at: Instant::now(), figures }
            }
        };
        read(&looked.insert(fresh).figures)
    }
}

/// Figures of the tables as Prometheus reads them; a recorder of their own forgets what is not there any more.
fn written(all: &[Figure]) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for figure in all {
            figures::read(&figure.metric, figure.kind.as_deref(), figure.state.as_deref(), figure.value);
        }
    });
    recorder.handle().render()
}
