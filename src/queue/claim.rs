//! The claim cycle: reap, expire, claim, and how long to sleep when nothing is due.

use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use super::ask::ask;
use super::pool::ms;
use super::reap::{Reaped, reaped_from};
use super::{Queue, QueueError};
use crate::job::{Kind, Lease, LeaseToken};
use crate::sql;

/// Free slots: a claimed job never waits in the process while its lease runs down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For exports.
    pub exports: usize,
    /// For deliveries.
    pub deliveries: usize,
}

impl Room {
    /// Whether nothing more can be started.
    pub fn is_full(self) -> bool {
        self.exports == 0 && self.deliveries == 0
    }
}

/// What one cycle found.
#[derive(Debug, Default)]
pub struct Cycle {
    /// Lost leases of other workers (or our own) that were ended.
    pub reaped: Vec<Reaped>,
    /// Jobs cancelled because their `not_after` passed.
    pub expired: usize,
    /// Jobs to start now.
    pub leases: Vec<Lease>,
}

impl Queue {
    /// One claim cycle: reap first, then expire, then claim, sent together over one connection; each commits by itself before any work
    /// starts.
    ///
    /// # Errors
    /// When the database cannot be asked. Jobs that were claimed although the reply was lost come back by reap.
    pub async fn cycle(&self, room: Room) -> Result<Cycle, QueueError> {
        let asked = Instant::now();
        let connection = self.connection().await?;
        let policy = &self.policy;
        // A live worker ends itself at its deadline; give it a lease's time to say so before others step in.
        let deadline_grace_ms = ms(policy.lease);
        let reap_params: [&(dyn ToSql + Sync); 5] =
            [&deadline_grace_ms, &policy.crash_limit, &policy.export_attempts, &policy.delivery_attempts, &policy.hold_unknown];
        let slots = |free: usize| i32::try_from(free).unwrap_or(i32::MAX);
        let (exports, deliveries) = (slots(room.exports), slots(room.deliveries));
        let (lease_ms, export_ms, delivery_ms) = (ms(policy.lease), ms(policy.export_timeout), ms(policy.delivery_timeout));
        let claim_params: [&(dyn ToSql + Sync); 8] =
            [&exports, &deliveries, &self.worker, &lease_ms, &export_ms, &delivery_ms, &policy.export_attempts, &policy.delivery_attempts];
        let asking = async {
            let is_pooled = self.is_pooled();
            if !is_pooled {
                // All three are known before the first is sent, or the first time they would not go out in this order.
                for statement in [sql::REAP, sql::EXPIRE, sql::CLAIM] {
                    connection.prepare_cached(statement).await?;
                }
            }
            let (reaped, expired, claimed) = tokio::join!(
                ask(&connection, is_pooled, sql::REAP, &reap_params),
                ask(&connection, is_pooled, sql::EXPIRE, &[]),
                ask(&connection, is_pooled, sql::CLAIM, &claim_params)
            );
            // What was claimed must be started, whatever became of the other two: their work waits for the next cycle.
            let or_later = |rows: Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>, what| {
                rows.unwrap_or_else(|error| {
                    tracing::warn!(error = %QueueError::from(error), "could not {what}, the next cycle will");
                    Vec::new()
                })
            };
            claimed.map(|claimed| (or_later(reaped, "reap"), or_later(expired, "expire"), claimed))
        };
        let answer = tokio::time::timeout(self.patience(), asking).await;
        let (reaped, expired, claimed) = match answer {
            Ok(answer) => answer?,
            Err(_) => return Err(self.give_up(connection)),
        };

        Ok(Cycle {
            reaped: reaped.iter().map(reaped_from).collect(),
            expired: expired.len(),
            leases: claimed
                .iter()
                .map(|row| Lease {
                    job_id: row.get("id"),
                    export_id: row.get("export_id"),
                    kind: if row.get::<_, &str>("kind") == Kind::Export.as_str() { Kind::Export } else { Kind::Delivery },
                    token: LeaseToken(row.get("lease_token")),
                    attempt: row.get("attempt"),
                    max_attempts: row.get("max_attempts"),
                    is_probe: row.get("is_probe"),
                    deadline: asked + Duration::from_millis(row.get::<_, i64>("time_left_ms").max(0).unsigned_abs()),
                })
                .collect(),
        })
    }

    /// How long until something becomes due that this room could take, by the database's clock. `None`: nothing is ahead.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_due(&self, room: Room) -> Result<Option<Duration>, QueueError> {
        let row = self.query_opt(sql::NEXT_DUE, &[&(room.exports > 0), &(room.deliveries > 0), &ms(self.policy.lease)]).await?;
        let sleep_ms: Option<i64> = row.and_then(|row| row.get("sleep_ms"));
        Ok(sleep_ms.map(|sleep| Duration::from_millis(sleep.max(0).unsigned_abs())))
    }
}
