//! What a process has done, and how much of it a drain may do.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::queue::FreeSlots;

/// What a process did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Jobs claimed.
    pub claimed: usize,
    /// Exports stored.
    pub exported: usize,
    /// Mails taken by the provider.
    pub mailed: usize,
    /// Attempts that will be tried again.
    pub retried: usize,
    /// Jobs that died.
    pub dead: usize,
    /// Jobs cancelled, the expired ones not counted.
    pub cancelled: usize,
    /// Jobs not started by their `not_after`.
    pub expired: usize,
    /// Requests made for schedules.
    pub scheduled: usize,
    /// Leases of lost workers that were ended.
    pub reaped: usize,
    /// Attempts whose lease was gone at the end.
    pub lease_lost: usize,
    /// A drain's budget ran out.
    pub budget_spent: bool,
}

/// Limits that stop a drain although more is due.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// Claim nothing after this time; and before it, no export whose report usually takes longer than the time that is left.
    pub max_runtime: Option<Duration>,
    /// Claim no more than this many jobs.
    pub max_jobs: Option<usize>,
}

impl Budget {
    pub(super) fn is_spent(&self, started: Instant, tally: &Tally) -> bool {
        self.max_runtime.is_some_and(|limit| started.elapsed() >= limit) || self.max_jobs.is_some_and(|limit| tally.claimed >= limit)
    }

    pub(super) fn limit(&self, free: FreeSlots, tally: &Tally) -> FreeSlots {
        let left = self.max_jobs.map_or(usize::MAX, |limit| limit.saturating_sub(tally.claimed));
        let exports = free.exports.min(left);
        FreeSlots { exports, messages: free.messages.min(left - exports.min(left)) }
    }

    /// What is left of the runtime; none: no limit.
    pub fn time_left(&self, started: Instant) -> Option<Duration> {
        self.max_runtime.map(|limit| limit.saturating_sub(started.elapsed()))
    }

    pub(super) async fn runs_out(&self, started: Instant) {
        match self.max_runtime {
            Some(limit) => tokio::time::sleep_until((started + limit).into()).await,
            None => std::future::pending().await,
        }
    }
}
