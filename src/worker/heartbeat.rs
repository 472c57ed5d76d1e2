//! One heartbeat for all leases of the process. An attempt stops when its lease is missing in the answer, or when no heartbeat succeeded for too long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::job::{LeaseClock, LeaseToken, Progress, Stop, StopReason};
use crate::metrics;
use crate::queue::{Beat, Queue};

/// A lease that a running attempt relies on.
#[derive(Clone)]
pub(super) struct RunningAttempt {
    pub job_id: Uuid,
    pub stop: Stop,
    pub clock: Arc<LeaseClock>,
    pub progress: Arc<Progress>,
}

/// The leases of this process.
#[derive(Default)]
pub(super) struct Leases {
    running: Mutex<HashMap<LeaseToken, RunningAttempt>>,
}

impl Leases {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<LeaseToken, RunningAttempt>> {
        // No change of this map can be left half done by a panic elsewhere.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, token: LeaseToken, attempt: RunningAttempt) {
        self.map().insert(token, attempt);
    }

    pub(super) fn remove(&self, token: LeaseToken) {
        self.map().remove(&token);
    }

    pub(super) fn stop_all(&self, reason: StopReason) {
        self.map().values().for_each(|attempt| attempt.stop.ask(reason));
    }

    fn beats(&self) -> Vec<Beat> {
        let beat = |(token, attempt): (&LeaseToken, &RunningAttempt)| {
            let (rows, bytes) = attempt.progress.read();
            Beat { job_id: attempt.job_id, token: *token, rows, bytes }
        };
        self.map().iter().map(beat).collect()
    }

    /// Stop attempts that can no longer rely on their lease.
    fn stop_overdue(&self) {
        for (token, attempt) in self.map().iter().filter(|(_, attempt)| !attempt.clock.is_held()) {
            if attempt.stop.reason().is_none() {
                tracing::warn!(job.id = %attempt.job_id, lease.token = %token, "no heartbeat landed in time, stopping before the lease ends");
                metrics::lost_lease();
            }
            attempt.stop.ask(StopReason::LeaseLost);
        }
    }
}

/// Beat until the handle is dropped or aborted. `now` asks for a beat at once: somebody cancelled something.
pub(super) fn spawn(queue: Queue, leases: Arc<Leases>, every: Duration, now: Arc<Notify>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        // It checks the leases more often than it beats, so that a heartbeat that hangs cannot hide a lease that runs out.
        let look = (every / 4).max(Duration::from_millis(10));
        let mut next = Instant::now() + jittered(every);
        loop {
            tokio::select! {
                () = now.notified() => next = Instant::now(),
                () = tokio::time::sleep(look.min(next.saturating_duration_since(Instant::now()))) => {}
            }
            leases.stop_overdue();
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + jittered(every);
            let beats = leases.beats();
            if beats.is_empty() {
                continue;
            }
            let beating = beat(&queue, &leases, &beats);
            tokio::pin!(beating);
            loop {
                tokio::select! {
                    () = &mut beating => break,
                    () = tokio::time::sleep(look) => leases.stop_overdue(),
                }
            }
        }
    }))
}

fn jittered(every: Duration) -> Duration {
    every.mul_f64(0.9 + fastrand::f64() * 0.1)
}

async fn beat(queue: &Queue, leases: &Leases, beats: &[Beat]) {
    let sent = Instant::now();
    let answer = queue.heartbeat(beats).await;
    metrics::beat(answer.is_ok());
    let held = match answer {
        Ok(held) => held,
        Err(error) => {
            tracing::warn!(%error, leases = beats.len(), "a heartbeat did not land");
            return;
        }
    };
    let map = leases.map();
    for beat in beats {
        // It was settled meanwhile, so its lease does not matter any more.
        let Some(attempt) = map.get(&beat.token) else { continue };
        match held.iter().find(|status| status.token == beat.token) {
            Some(status) => {
                if status.is_extended {
                    attempt.clock.extend(sent);
                }
                if status.cancel_requested {
                    attempt.stop.ask(StopReason::Cancelled);
                }
            }
            None => {
                tracing::warn!(job.id = %beat.job_id, lease.token = %beat.token, "lease lost");
                metrics::lost_lease();
                attempt.stop.ask(StopReason::LeaseLost);
            }
        }
    }
}
