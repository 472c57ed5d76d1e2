//! The claim cycle: reap, expire, claim, and find the schedules that are due.

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::cursor::ClaimedJob;
use super::schedule::{DueSchedule, due_from};
use super::{Lease, Queue};
use crate::database::{DatabaseError, ms};
use crate::job::Kind;
use crate::sql;

/// How many jobs a process can start at once. A claim takes no more, because a claimed job must not wait while its lease runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSlots {
    /// For exports.
    pub exports: usize,
    /// For messages.
    pub messages: usize,
}

impl FreeSlots {
    /// Whether nothing more can be started.
    pub fn is_full(self) -> bool {
        self.exports == 0 && self.messages == 0
    }
}

/// Where a claim begins in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// At its start, with reaping, expiring and schedules: this finds everything that is due.
    Full,
    /// Behind the last jobs that this process has claimed. When a full scan is due, it is one all the same.
    FromCursor,
}

/// A lease that was ended because its worker died, stalled or overran.
#[derive(Debug, Clone)]
pub struct Reaped {
    /// The job.
    pub job_id: Uuid,
    /// The export it serves.
    pub export_id: Option<Uuid>,
    /// Where the job went: pending, dead or cancelled.
    pub state: String,
    /// Why.
    pub error_class: String,
}

/// What one cycle found.
#[derive(Debug, Default)]
pub struct Cycle {
    /// Lost leases of other workers (or our own) that were ended.
    pub reaped: Vec<Reaped>,
    /// Jobs cancelled because their `not_after` passed.
    pub expired: usize,
    /// Schedules that are due.
    pub schedules: Vec<DueSchedule>,
    /// Jobs to start now.
    pub leases: Vec<Lease>,
    /// How long until a full scan is due, when this claim began at the cursors. `None`: this was a full scan.
    pub full_scan_in: Option<Duration>,
}

impl Queue {
    /// One claim cycle. A full scan reaps, expires, claims from the start of the index, and finds the schedules that are due, in this order. These four
    /// statements are sent together over one connection, and each commits by itself before any work starts. Between full scans a cycle only claims
    /// what lies behind the cursors (`cursor.rs`).
    ///
    /// # Errors
    /// When the database cannot be asked. Jobs that were claimed although the reply was lost come back by reap.
    pub async fn cycle(&self, free: FreeSlots, scan: Scan) -> Result<Cycle, DatabaseError> {
        self.cycle_within(free, scan, None).await
    }

    /// The same, and no export is claimed whose report usually takes longer than the time that is left.
    ///
    /// # Errors
    /// As `cycle`.
    pub async fn cycle_within(&self, free: FreeSlots, scan: Scan, time_left: Option<Duration>) -> Result<Cycle, DatabaseError> {
        let asked = Instant::now();
        let (is_full_scan, (cursor_run_ats, cursor_ids), may_take_last_chance) = {
            let mut cursors = self.cursors();
            if scan == Scan::Full {
                cursors.request_full_scan();
            }
            let is_full_scan = cursors.is_full_scan_due(asked);
            (is_full_scan, cursors.starts(is_full_scan), cursors.may_take_last_chance(asked))
        };
        let connection = self.pool.connection().await?;
        let policy = &self.policy;
        // A worker that lives ends its attempt at the deadline. It has the time of one lease to say so before others reap the job.
        let deadline_grace_ms = ms(policy.lease);
        let reap_params: [&(dyn ToSql + Sync); 4] =
            [&deadline_grace_ms, &policy.export_attempts, &policy.message_attempts, &policy.hold_unknown];
        let slots = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let (exports, deliveries) = (slots(free.exports), slots(free.messages));
        let (lease_ms, export_ms, delivery_ms) = (ms(policy.lease), ms(policy.export_timeout), ms(policy.message_timeout));
        let time_left_ms = time_left.map(ms);
        let claim_params: [&(dyn ToSql + Sync); 13] = [
            &exports,
            &deliveries,
            &self.pool.name(),
            &lease_ms,
            &export_ms,
            &delivery_ms,
            &policy.export_attempts,
            &policy.message_attempts,
            &cursor_run_ats,
            &cursor_ids,
            &may_take_last_chance,
            &policy.source_slots,
            &time_left_ms,
        ];
        let asking = async {
            if !is_full_scan {
                let claimed = self.pool.ask(&connection, sql::CLAIM, &claim_params).await?;
                return Ok((Vec::new(), Vec::new(), Vec::new(), claimed, Duration::ZERO));
            }
            // All four are prepared before the first is sent. Otherwise one of them would wait for its preparation, and the order would change.
            self.pool.prepare(&connection, &[sql::REAP, sql::EXPIRE, sql::CLAIM, sql::DUE_SCHEDULES]).await?;
            let began = Instant::now();
            let (reaped, expired, claimed, schedules) = tokio::join!(
                self.pool.ask(&connection, sql::REAP, &reap_params),
                self.pool.ask(&connection, sql::EXPIRE, &[]),
                self.pool.ask(&connection, sql::CLAIM, &claim_params),
                self.pool.ask(&connection, sql::DUE_SCHEDULES, &[])
            );
            // The claimed jobs must be started even when another statement has failed; the next full scan does its work.
            let or_later = |rows: Result<Vec<Row>, tokio_postgres::Error>, what| {
                rows.unwrap_or_else(|error| {
                    tracing::warn!(error = %DatabaseError::from(error), "could not {what}, the next full scan will");
                    Vec::new()
                })
            };
            let schedules = or_later(schedules, "look at the schedules");
            claimed.map(|claimed| (or_later(reaped, "reap"), or_later(expired, "expire"), schedules, claimed, began.elapsed()))
        };
        let answer = tokio::time::timeout(self.pool.patience(), asking).await;
        if is_full_scan && !matches!(answer, Ok(Ok(_))) {
            // When a lock holds up the reap, it must not hold up the claims: the next cycles only claim, until a full scan is due again.
            self.cursors().set_scan_time(asked.elapsed(), Instant::now());
        }
        let (reaped, expired, schedules, claimed, took) = match answer {
            Ok(answer) => answer?,
            Err(_) => return Err(self.pool.give_up(connection)),
        };

        let mut cycle = Cycle {
            reaped: reaped.iter().map(reaped_from).collect(),
            expired: expired.len(),
            schedules: schedules.iter().map(due_from).collect(),
            ..Cycle::default()
        };
        let mut cursors = self.cursors();
        let mut claimed_jobs = Vec::new();
        for row in claimed.iter().filter(|row| row.get::<_, Option<Uuid>>("id").is_some()) {
            let lease = Lease::from_row(row, asked);
            let on_last_chance = row.get("on_last_chance");
            claimed_jobs.push(ClaimedJob {
                kind: lease.kind(),
                priority: row.get("priority"),
                run_at: row.get("run_at"),
                id: lease.job_id(),
                on_last_chance,
            });
            if on_last_chance {
                cursors.begin_last_chance(lease.token(), lease.deadline());
            }
            cycle.leases.push(lease);
        }
        if let Some(row) = claimed.first() {
            cursors.set_pauses(row.get("pauses"), is_full_scan);
            // Because of a hold or a limit, the claim may have looked for fewer jobs than there are free slots.
            for (kind, slots) in [(Kind::Export, "export_slots"), (Kind::Message, "message_slots")] {
                cursors.advance(
                    kind,
                    is_full_scan,
                    usize::try_from(row.get::<_, i32>(slots)).unwrap_or_default(),
                    row.get("looked_at"),
                    &claimed_jobs,
                );
            }
        }
        if is_full_scan {
            cursors.set_scan_time(took, Instant::now());
        } else {
            cycle.full_scan_in = Some(cursors.full_scan_in(Instant::now()));
        }
        Ok(cycle)
    }
}

fn reaped_from(row: &Row) -> Reaped {
    Reaped { job_id: row.get("id"), export_id: row.get("export_id"), state: row.get("state"), error_class: row.get("error_class") }
}
