//! One statement for what several tasks ask for at the same time. The first task starts a statement at once. What is asked for while it runs goes
//! into the next statement, all of it. Nothing waits for others to come: a single task has a statement of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::Queue;
use crate::database::DatabaseError;

/// The most items of one statement: a process has no more slots.
const MOST: usize = 256;

type Answer<R> = Result<R, DatabaseError>;
/// Does all items, and returns an answer for each, in the same order.
type Act<T, R> = fn(Queue, Vec<T>) -> BoxFuture<'static, Vec<Answer<R>>>;

/// Collects items of one kind, and does them in batches.
pub(super) struct Batcher<T, R> {
    backlog: Arc<Mutex<Backlog<T, R>>>,
}

struct Backlog<T, R> {
    waiting: Vec<(T, oneshot::Sender<Answer<R>>)>,
    is_running: bool,
}

impl<T, R> Default for Batcher<T, R> {
    fn default() -> Batcher<T, R> {
        Batcher { backlog: Arc::new(Mutex::new(Backlog { waiting: Vec::new(), is_running: false })) }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Have one item done, and return its answer.
    pub(super) async fn ask(&self, queue: &Queue, what: T, act: Act<T, R>) -> Answer<R> {
        let (tell, told) = oneshot::channel();
        let starts = {
            let mut backlog = locked(&self.backlog);
            backlog.waiting.push((what, tell));
            !std::mem::replace(&mut backlog.is_running, true)
        };
        if starts {
            // A task of its own, because the caller that asked first may be dropped before the others are served.
            tokio::spawn(serve(self.backlog.clone(), queue.clone(), act));
        }
        told.await.unwrap_or_else(|_| Err(DatabaseError::Unavailable("the statement was given up".into())))
    }
}

/// Do batches until nothing waits.
async fn serve<T: Send, R: Send>(backlog: Arc<Mutex<Backlog<T, R>>>, queue: Queue, act: Act<T, R>) {
    loop {
        let (all, tell): (Vec<T>, Vec<_>) = {
            let mut backlog = locked(&backlog);
            if backlog.waiting.is_empty() {
                backlog.is_running = false;
                return;
            }
            let most = backlog.waiting.len().min(MOST);
            backlog.waiting.drain(..most).unzip()
        };
        // After a panic the senders are dropped, so each caller gets an error; the items that came later are done.
        let Ok(answers) = std::panic::AssertUnwindSafe(act(queue.clone(), all)).catch_unwind().await else { continue };
        for (answer, tell) in answers.into_iter().zip(tell) {
            let _ = tell.send(answer);
        }
    }
}

fn locked<T, R>(backlog: &Mutex<Backlog<T, R>>) -> MutexGuard<'_, Backlog<T, R>> {
    backlog.lock().unwrap_or_else(PoisonError::into_inner)
}
