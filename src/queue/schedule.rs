//! Schedules: requesting what is due, and registering, switching and looking. When one is due is reckoned here, by cron and time zone, from the
//! database's clock; what it requests and for whom is the database's.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio_postgres::Row;

use super::{Queue, QueueError};
use crate::job::{CatchUp, Dues, Timetable};
use crate::sql;

/// A schedule that is due, or whose next instant is to be reckoned.
#[derive(Debug, Clone)]
pub struct DueSchedule {
    /// Its name.
    pub name: String,
    cron: String,
    time_zone: String,
    catch_up: CatchUp,
    planned: Option<DateTime<Utc>>,
    looked_at: DateTime<Utc>,
}

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

pub(super) fn due_from(row: &Row) -> DueSchedule {
    let limit: i32 = row.get("catch_up_limit");
    DueSchedule {
        name: row.get("name"),
        cron: row.get("cron"),
        time_zone: row.get("time_zone"),
        catch_up: match row.get("catch_up") {
            "none" => CatchUp::None(TimeDelta::milliseconds(row.get("late_after_ms"))),
            "all" => CatchUp::All(usize::try_from(limit).unwrap_or(1)),
            _ => CatchUp::Latest,
        },
        planned: row.get("next_due_at"),
        looked_at: row.get("looked_at"),
    }
}

impl Queue {
    /// Request what a schedule is due for and move it on. Returns how many requests were made; none when another process was faster, or when
    /// there was only its next instant to reckon, or when the request was refused, which its row then says.
    ///
    /// # Errors
    /// When the database cannot be asked: the schedule stays due.
    pub async fn request_scheduled(&self, due: &DueSchedule) -> Result<usize, QueueError> {
        let (dues, refusal) = match Timetable::new(&due.cron, &due.time_zone) {
            Ok(timetable) => (timetable.due(due.planned, due.looked_at, due.catch_up), None),
            // Registered past the command that would have said so.
            Err(error) => (Dues::default(), Some(error.to_string())),
        };
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&due.name, &due.planned, &dues.instants, &dues.next, &dues.passed_over, &refusal];
        let row = self.query_opt(sql::REQUEST_SCHEDULED, &params).await?;
        let requested: Option<i32> = row.and_then(|row| row.get("requested"));
        Ok(usize::try_from(requested.unwrap_or_default()).unwrap_or_default())
    }

    /// Register all of these schedules or none: arguments of `exportbox.register_schedule` by name, and the instant that each is due next. A dry run
    /// checks everything and takes it back. Returns for each whether it changed anything.
    ///
    /// # Errors
    /// `Refused` says what is wrong, after the place of the definition; or why the database cannot be asked.
    pub async fn register_schedules(
        &self,
        definitions: &[(Value, DateTime<Utc>)],
        dry_run: bool,
    ) -> Result<Vec<bool>, (Option<usize>, QueueError)> {
        let outside = |error: QueueError| (None, error);
        let mut connection = self.connection().await.map_err(outside)?;
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
        match tokio::time::timeout(self.patience(), registering).await {
            Ok(registered) => registered,
            Err(_) => Err(outside(self.give_up(connection))),
        }
    }

    /// Disable, enable or remove a schedule. False: it was so already.
    ///
    /// # Errors
    /// `Refused` when there is no such schedule; or why the database cannot be asked.
    pub async fn switch_schedule(&self, name: &str, switch: Switch) -> Result<bool, QueueError> {
        let row = self.query_opt(sql::SWITCH_SCHEDULE, &[&name, &switch.as_str()]).await?;
        Ok(row.is_some_and(|row| row.get("changed")))
    }

    /// The schedules, or the one of this name: rows of `exportbox.schedules`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn schedules(&self, name: Option<&str>) -> Result<Vec<Value>, QueueError> {
        Ok(self.query(sql::LIST_SCHEDULES, &[&name]).await?.iter().map(|row| row.get("schedule")).collect())
    }
}
