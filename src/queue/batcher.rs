//! What several tasks want at the same time is done by one statement. The first who asks starts it at once; whoever comes while it runs is
//! taken together with the others by the next. Nothing waits for company: with one task it is one statement each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::Queue;
use crate::database::DatabaseError;

/// The most that one statement does: what a process may have in hand.
const MOST: usize = 256;

type Answer<R> = Result<R, DatabaseError>;
/// Does all of it; an answer for each, in the same order.
type Act<T, R> = fn(Queue, Vec<T>) -> BoxFuture<'static, Vec<Answer<R>>>;

/// One kind of thing that is done together.
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
    /// Have it done, and hear what became of it.
    pub(super) async fn ask(&self, queue: &Queue, what: T, act: Act<T, R>) -> Answer<R> {
        let (tell, told) = oneshot::channel();
        let starts = {
            let mut backlog = locked(&self.backlog);
            backlog.waiting.push((what, tell));
            !std::mem::replace(&mut backlog.is_running, true)
        };
        if starts {
            // A task of its own: whoever asked first may be gone before the others are served.
            tokio::spawn(serve(self.backlog.clone(), queue.clone(), act));
        }
        told.await.unwrap_or_else(|_| Err(DatabaseError::Unavailable("the statement was given up".into())))
    }
}

/// Until nobody waits.
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
        // After a panic their ends are dropped, which tells them; those behind are served.
        let Ok(answers) = std::panic::AssertUnwindSafe(act(queue.clone(), all)).catch_unwind().await else { continue };
        for (answer, tell) in answers.into_iter().zip(tell) {
            let _ = tell.send(answer);
        }
    }
}

fn locked<T, R>(backlog: &Mutex<Backlog<T, R>>) -> MutexGuard<'_, Backlog<T, R>> {
    backlog.lock().unwrap_or_else(PoisonError::into_inner)
}
