//! Sleeping and being woken. A wake carries no data: polling is the truth.

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

/// The process' LISTEN: one connection that only waits. When it cannot be had (a pooler in between, no connection left) the process polls.
pub struct Listener {
    /// Something became due.
    pub wake: Arc<Notify>,
    /// Somebody asked for a cancel: beat now.
    pub cancel: Arc<Notify>,
    _stop: DropGuard,
}

/// What came of marking a process as asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitState {
    /// It was marked for all of the nap already: whatever was requested since then wakes it.
    Already,
    /// It is marked from now on. What was requested just before has found nobody asleep: look once more.
    FromNow,
    /// It does not listen, and nothing wakes it.
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
                // Whatever was sent meanwhile is lost: look.
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

    /// WaitState this process as asleep for longer than this nap, so that an insert wakes it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn wait(&self, nap: Duration) -> Result<WaitState, DatabaseError> {
        // Outlasts this nap and the next, as `next_due` keeps it.
        let longest = nap * 3 + Duration::from_secs(1);
        let row = self.pool.query_opt(sql::WAIT, &[&self.pool.name(), &ms(nap), &ms(longest)]).await?;
        Ok(match row.map(|row| row.get("marked")) {
            None => WaitState::Deaf,
            Some(true) => WaitState::Already,
            Some(false) => WaitState::FromNow,
        })
    }

    /// This process needs no wake for now.
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

    /// Transactions that have inserted a request and not ended: they may have looked for sleepers before this process slept.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn requests_in_flight(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(self.pool.query(sql::REQUESTS_IN_FLIGHT, &[]).await?.iter().map(|row| row.get("transaction")).collect())
    }

    /// This process stops: nobody should wake it.
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
