//! Waiting for wakes. A wake carries no data: what is due is read from the tables, and a process that hears no wakes polls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::poll_fn;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::ToSql;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Queue;
use crate::database::{DatabaseError, DatabaseUrl, ms};
use crate::sql;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The process' LISTEN: one connection that only waits. Without it (a pooler in between, no connection left) the process polls.
pub struct Listener {
    /// Something became due.
    pub wake: Arc<Notify>,
    /// Somebody asked for a cancel: the next heartbeat, which brings it, must come now.
    pub cancel: Arc<Notify>,
    _stop: DropGuard,
}

/// Whether the tables know that a process waits to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitState {
    /// They have known it for the whole nap: a request since then wakes it.
    Already,
    /// They know it from now on. A request just before found nobody waiting, so the process must look once more.
    FromNow,
    /// The process does not listen, so nothing can wake it.
    Deaf,
}

/// The channel of one process. Its random part keeps it unique; only `[a-z0-9_]`, so it needs no quoting.
fn channel(worker: &str) -> String {
    let tail: String = worker.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let tail = &tail[tail.len().saturating_sub(40)..];
    format!("exportbox_{tail}")
}

impl Queue {
    /// Register this process and listen for its wakes, for as long as the listener lives. Reconnects with back-off by itself. Behind a pooler it
    /// only registers: no wake comes through.
    pub fn listen(&self, database: &DatabaseUrl, slots: usize) -> Listener {
        let stop = CancellationToken::new();
        let (wake, cancel) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let listener = Listener { wake: wake.clone(), cancel: cancel.clone(), _stop: stop.clone().drop_guard() };
        let (queue, database) = (self.clone(), database.named(&format!("exportbox listen {}", self.pool.name())));
        let slots = i32::try_from(slots).unwrap_or(i32::MAX);
        tokio::spawn(async move {
            let mut delay = FIRST_DELAY;
            loop {
                let began = Instant::now();
                let listening = queue.listen_once(&database, slots, &wake, &cancel);
                tokio::select! {
                    () = stop.cancelled() => return,
                    ended = listening => if let Err(error) = ended {
                        tracing::warn!(error = %error, "not listening, polling instead");
                    }
                }
                if began.elapsed() > LONGEST_DELAY {
                    delay = FIRST_DELAY;
                }
                // A wake that was sent meanwhile is lost, so look as if one had come.
                wake.notify_one();
                cancel.notify_one();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(delay.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
                }
                delay = (delay * 2).min(LONGEST_DELAY);
            }
        });
        listener
    }

    async fn listen_once(&self, database: &DatabaseUrl, slots: i32, wake: &Notify, cancel: &Notify) -> Result<(), DatabaseError> {
        let channel = channel(self.pool.name());
        if database.is_pooled() {
            self.register(&channel, slots, None).await?;
            return std::future::pending().await;
        }
        let (client, mut connection) = database.connect().await?;
        let (notes, mut received) = tokio::sync::mpsc::unbounded_channel();
        let polled = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(note) = message
                    && notes.send(note).is_err()
                {
                    break;
                }
            }
        });
        let _abort = AbortOnDrop(polled);
        client.batch_execute(&format!("listen {channel}")).await?;
        let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        self.register(&channel, slots, Some(pid)).await?;
        wake.notify_one();
        while let Some(note) = received.recv().await {
            if note.payload() == "cancel" { cancel.notify_one() } else { wake.notify_one() }
        }
        Err(DatabaseError::Unavailable("the listening connection ended".into()))
    }

    async fn register(&self, channel: &str, slots: i32, listener_pid: Option<i32>) -> Result<(), DatabaseError> {
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.pool.name(), &channel, &env!("CARGO_PKG_VERSION"), &slots, &listener_pid, &self.policy.source_slots];
        self.pool.query(sql::REGISTER_WORKER, &params).await.map(drop)
    }

    /// Record that this process waits, for longer than this nap, so that an insert wakes it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn wait(&self, nap: Duration) -> Result<WaitState, DatabaseError> {
        // This is longer than this nap and the next one; `next_due` extends it.
        let longest = nap * 3 + Duration::from_secs(1);
        let row = self.pool.query_opt(sql::WAIT, &[&self.pool.name(), &ms(nap), &ms(longest)]).await?;
        Ok(match row.map(|row| row.get("marked")) {
            None => WaitState::Deaf,
            Some(true) => WaitState::Already,
            Some(false) => WaitState::FromNow,
        })
    }

    /// Record that this process does not wait any more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn awake(&self) -> Result<(), DatabaseError> {
        self.pool.query(sql::AWAKE, &[&self.pool.name()]).await.map(drop)
    }

    /// There is more to do than this process can start: wake another.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn wake_another(&self) -> Result<(), DatabaseError> {
        self.pool.query(sql::WAKE, &[]).await.map(drop)
    }

    /// Transactions that have inserted a request and are still open. They may have looked for waiting processes before this one waited, so they may
    /// not wake it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn requests_in_flight(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(self.pool.query(sql::REQUESTS_IN_FLIGHT, &[]).await?.iter().map(|row| row.get("transaction")).collect())
    }

    /// This process stops: nothing should wake it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unregister(&self) -> Result<(), DatabaseError> {
        self.pool.query(sql::UNREGISTER_WORKER, &[&self.pool.name()]).await.map(drop)
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
