//! What people ask, read from the views as JSON: the columns are the views', and so is what each role may see.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::pool::ms;
use super::{Queue, QueueError};
use crate::job::mask_addresses;
use crate::sql;

/// Everything about one export.
#[derive(Debug, Serialize)]
pub struct Story {
    /// A row of `exportbox.exports`.
    pub export: Value,
    /// Rows of `exportbox.objects`.
    pub objects: Vec<Value>,
    /// Rows of `exportbox.deliveries`.
    pub deliveries: Vec<Value>,
    /// Rows of `exportbox.attempts`.
    pub attempts: Vec<Value>,
    /// Rows of `exportbox.events`.
    pub events: Vec<Value>,
    /// Rows of `exportbox.dead`.
    pub dead: Vec<Value>,
}

/// What a drain leaves behind.
#[derive(Debug, Clone)]
pub struct Leftover {
    /// Jobs that could start now.
    pub due: i64,
    /// Those of them whose report usually takes longer than the time that was left.
    pub too_long: i64,
    /// Jobs for a later instant, or on hold.
    pub waiting: i64,
    /// Jobs that somebody has paused.
    pub paused: i64,
    /// Jobs under a lease of another process.
    pub running_elsewhere: i64,
    /// When something becomes due.
    pub next_due_at: Option<DateTime<Utc>>,
    /// What a wrong setting holds up, with what to do.
    pub on_hold: Option<String>,
}

impl Queue {
    async fn rows(&self, statement: &'static str, export_id: Uuid) -> Result<Vec<Value>, QueueError> {
        Ok(self.query(statement, &[&export_id]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// One row of `exportbox.exports`. `None`: there is none, or the caller may not see it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn export(&self, export_id: Uuid) -> Result<Option<Value>, QueueError> {
        Ok(self.rows(sql::SHOW_EXPORT, export_id).await?.into_iter().next())
    }

    /// Everything about one export. Addresses are masked, also those that a provider has put into its error, unless they are asked for: a
    /// terminal is shared, recorded and pasted into tickets.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn story(&self, export_id: Uuid, in_clear: bool) -> Result<Option<Story>, QueueError> {
        let Some(export) = self.export(export_id).await? else { return Ok(None) };
        let mut story = Story {
            export,
            objects: self.rows(sql::SHOW_OBJECTS, export_id).await?,
            deliveries: self.rows(sql::SHOW_DELIVERIES, export_id).await?,
            attempts: self.rows(sql::SHOW_ATTEMPTS, export_id).await?,
            events: self.rows(sql::SHOW_EVENTS, export_id).await?,
            dead: self.dead(Some(export_id), &super::Filter::default(), 100).await?,
        };
        let mask = |rows: &mut Vec<Value>, column: &str| {
            for row in rows {
                if let Some(text) = row[column].as_str() {
                    row[column] = mask_addresses(text).into();
                }
            }
        };
        if !in_clear {
            mask(&mut story.deliveries, "recipient");
            mask(&mut story.attempts, "error_detail");
        }
        Ok(Some(story))
    }

    /// The health view.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn health(&self) -> Result<Value, QueueError> {
        let row = self.query_opt(sql::HEALTH, &[]).await?;
        Ok(row.map(|row| row.get("health")).unwrap_or_default())
    }

    /// The newest exports.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn recent(&self, how_many: i64) -> Result<Vec<Value>, QueueError> {
        Ok(self.query(sql::STATUS_RECENT, &[&how_many]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Why each job of an export is where it is: rows of `exportbox.explain`.
    ///
    /// # Errors
    /// `Refused` when there is no such export or it is not the caller's; or why the database cannot be asked.
    pub async fn explain(&self, export_id: Uuid) -> Result<Vec<Value>, QueueError> {
        self.rows(sql::EXPLAIN, export_id).await
    }

    /// What is paused: rows of `exportbox.pauses`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pauses(&self) -> Result<Vec<Value>, QueueError> {
        Ok(self.query(sql::LIST_PAUSES, &[]).await?.iter().map(|row| row.get("pause")).collect())
    }

    /// What is left when this process, a drain, has nothing more to do or no more time. Remembers that it came to its end.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn leftover(&self, time_left: Option<Duration>) -> Result<Leftover, QueueError> {
        let row = self.query_opt(sql::DRAINED, &[&self.worker, &time_left.map(ms)]).await?;
        let row = row.ok_or_else(|| QueueError::Statement("no row of counts".into()))?;
        Ok(Leftover {
            due: row.get("due"),
            too_long: row.get("too_long"),
            waiting: row.get("waiting"),
            paused: row.get("paused"),
            running_elsewhere: row.get("running_elsewhere"),
            next_due_at: row.get("next_due_at"),
            on_hold: row.get("on_hold"),
        })
    }
}
