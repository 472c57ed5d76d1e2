//! What people ask, read from the views as JSON. The views decide which columns there are, and what each role may see.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Admin;
use crate::database::DatabaseError;
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

impl Admin {
    async fn rows(&self, statement: &'static str, export_id: Uuid) -> Result<Vec<Value>, DatabaseError> {
        Ok(self.pool.query(statement, &[&export_id]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// One row of `exportbox.exports`. `None`: there is none, or the caller may not see it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn export(&self, export_id: Uuid) -> Result<Option<Value>, DatabaseError> {
        Ok(self.rows(sql::SHOW_EXPORT, export_id).await?.into_iter().next())
    }

    /// Everything about one export. Addresses are masked, also those that a provider has put into its error, unless they are asked for: a
    /// terminal is shared, recorded and pasted into tickets.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn story(&self, export_id: Uuid, in_clear: bool) -> Result<Option<Story>, DatabaseError> {
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
    pub async fn health(&self) -> Result<Value, DatabaseError> {
        let row = self.pool.query_opt(sql::HEALTH, &[]).await?;
        Ok(row.map(|row| row.get("health")).unwrap_or_default())
    }

    /// The newest exports.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn recent(&self, how_many: i64) -> Result<Vec<Value>, DatabaseError> {
        Ok(self.pool.query(sql::STATUS_RECENT, &[&how_many]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Why each job of an export is where it is: rows of `exportbox.explain`.
    ///
    /// # Errors
    /// `Refused` when there is no such export or it is not the caller's; or why the database cannot be asked.
    pub async fn explain(&self, export_id: Uuid) -> Result<Vec<Value>, DatabaseError> {
        self.rows(sql::EXPLAIN, export_id).await
    }

    /// What is paused: rows of `exportbox.pauses`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pauses(&self) -> Result<Vec<Value>, DatabaseError> {
        Ok(self.pool.query(sql::LIST_PAUSES, &[]).await?.iter().map(|row| row.get("pause")).collect())
    }
}
