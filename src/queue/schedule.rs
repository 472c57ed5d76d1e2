//! Schedules that are due: requesting what they ask for. When a schedule is due is computed here, by its cron expression and time zone, from the
//! database's clock. The database decides what is requested, and for whom.

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;

use super::Queue;
use crate::database::DatabaseError;
use crate::job::{CatchUp, Dues, Timetable};
use crate::sql;

/// A schedule that is due, or whose next instant must be computed.
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
    /// Make the requests that a schedule is due for, and set its next instant. Returns how many requests were made. It is none when another process was
    /// faster, when only the next instant was missing, or when the request was refused; the schedule's row says so then.
    ///
    /// # Errors
    /// When the database cannot be asked: the schedule stays due.
    pub async fn request_scheduled(&self, due: &DueSchedule) -> Result<usize, DatabaseError> {
        let (dues, refusal) = match Timetable::new(&due.cron, &due.time_zone) {
            Ok(timetable) => (timetable.due(due.planned, due.looked_at, due.catch_up), None),
            // It was not registered by the command, which would have refused it.
            Err(error) => (Dues::default(), Some(error.to_string())),
        };
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&due.name, &due.planned, &dues.instants, &dues.next, &dues.passed_over, &refusal];
        let row = self.pool.query_opt(sql::REQUEST_SCHEDULED, &params).await?;
        let requested: Option<i32> = row.and_then(|row| row.get("requested"));
        Ok(usize::try_from(requested.unwrap_or_default()).unwrap_or_default())
    }
}
