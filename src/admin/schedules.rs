//! Schedules as people see them: registering, switching and listing. The database's functions check and record.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Admin;
use crate::database::DatabaseError;
use crate::sql;

/// What people may do to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Request nothing from now on.
    Disable,
    /// Go on from the next instant.
    Enable,
    /// Forget it.
    Remove,
}

impl Switch {
    /// The verb.
    pub fn as_str(self) -> &'static str {
        match self {
            Switch::Disable => "disable",
            Switch::Enable => "enable",
            Switch::Remove => "remove",
        }
    }
}

impl Admin {
    /// Register all of these schedules or none. Each has the arguments of `exportbox.register_schedule` by name, and the instant at which it is due
    /// next. A dry run checks everything and rolls back. Returns for each whether it changed anything.
    ///
    /// # Errors
    /// `Refused` says what is wrong, after the place of the definition; or why the database cannot be asked.
    pub async fn register_schedules(
        &self,
        definitions: &[(Value, DateTime<Utc>)],
        dry_run: bool,
    ) -> Result<Vec<bool>, (Option<usize>, DatabaseError)> {
        let outside = |error: DatabaseError| (None, error);
        let mut connection = self.pool.connection().await.map_err(outside)?;
        let registering = async {
            let transaction = connection.transaction().await.map_err(|error| outside(error.into()))?;
            let mut registered = Vec::new();
            for (place, (definition, next)) in definitions.iter().enumerate() {
                let row =
                    transaction.query_typed_one(sql::REGISTER_SCHEDULE, &sql::typed(sql::REGISTER_SCHEDULE, &[definition, next])).await;
                registered.push(row.map_err(|error| (Some(place), error.into()))?.get("registered"));
            }
            let ended = if dry_run { transaction.rollback().await } else { transaction.commit().await };
            ended.map_err(|error| outside(error.into()))?;
            Ok(registered)
        };
        match tokio::time::timeout(self.pool.patience(), registering).await {
            Ok(registered) => registered,
            Err(_) => Err(outside(self.pool.give_up(connection))),
        }
    }

    /// Disable, enable or remove a schedule. False: it was so already.
    ///
    /// # Errors
    /// `Refused` when there is no such schedule; or why the database cannot be asked.
    pub async fn switch_schedule(&self, name: &str, switch: Switch) -> Result<bool, DatabaseError> {
        let row = self.pool.query_opt(sql::SWITCH_SCHEDULE, &[&name, &switch.as_str()]).await?;
        Ok(row.is_some_and(|row| row.get("changed")))
    }

    /// The schedules, or the one of this name: rows of `exportbox.schedules`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn schedules(&self, name: Option<&str>) -> Result<Vec<Value>, DatabaseError> {
        Ok(self.pool.query(sql::LIST_SCHEDULES, &[&name]).await?.iter().map(|row| row.get("schedule")).collect())
    }
}
