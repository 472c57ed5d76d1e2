//! What a process says of itself over HTTP: `/metrics` for Prometheus, `/health` while it lives, `/ready` while it can work.
//!
//! Must not know: jobs, exports, mails. Counters are those of this process. Metrics of the tables are read when somebody asks, by one statement
//! with a short time limit, and used again for a few seconds. There is no login: the pages hold numbers only.

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

use crate::admin::{Admin, Reading};
use crate::database::DatabaseError;
use crate::metrics;

/// How long the database may take to answer a scrape.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was read is used again for this long, so that many scrapers cost the database no more than one.
const FRESH: Duration = Duration::from_secs(3);
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
    admin: Admin,
    counters: PrometheusHandle,
    stop: CancellationToken,
    last: Mutex<Option<TableReadings>>,
}

/// What the tables said, and when.
struct TableReadings {
    at: Instant,
    readings: Result<Vec<Reading>, DatabaseError>,
}

/// Listen, and record metrics from now on.
///
/// # Errors
/// The address is none, not this machine's, or taken.
pub async fn serve(address: &str, admin: Admin, stop: CancellationToken) -> Result<Http, CannotListen> {
    let listener = TcpListener::bind(address).await.map_err(CannotListen)?;
    let bound = listener.local_addr().map_err(CannotListen)?;
    let counters = metrics::install();
    let board = Arc::new(Board { admin, counters: counters.clone(), stop, last: Mutex::default() });
    let routes = Router::new()
        .route("/metrics", get(metrics_page))
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

async fn metrics_page(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let of_tables = board.read_tables(|readings| readings.as_ref().ok().map(|readings| written(readings))).await;
    metrics::database_up(of_tables.is_some());
    let (open, used) = board.admin.pool_usage();
    metrics::pool(open, used);
    let page = board.counters.render() + &of_tables.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

async fn ready(State(board): State<Arc<Board>>) -> impl IntoResponse {
    if board.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match board.read_tables(|readings| readings.is_ok()).await {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be asked; the log says why\n"),
    }
}

impl Board {
    /// What the tables say, not older than `FRESH`. Whoever comes meanwhile waits for the same answer.
    async fn read_tables<T>(&self, read: impl FnOnce(&Result<Vec<Reading>, DatabaseError>) -> T) -> T {
        let mut last = self.last.lock().await;
        let fresh = match last.take() {
            Some(last) if last.at.elapsed() < FRESH => last,
            _ => {
                let readings = self.admin.metrics(PATIENCE).await;
                if let Err(error) = &readings {
                    tracing::debug!(%error, "the metrics of the tables could not be read");
                }
                TableReadings { at: Instant::now(), readings }
            }
        };
        read(&last.insert(fresh).readings)
    }
}

/// Metrics of the tables in the text format of Prometheus. They have a recorder of their own, so that a series that is gone from the tables is gone
/// here, too.
fn written(all: &[Reading]) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        for reading in all {
            metrics::read(&reading.metric, reading.kind.as_deref(), reading.state.as_deref(), reading.value);
        }
    });
    recorder.handle().render()
}
