//! How long what is final is kept.

use std::time::Duration;

use clap::Args;

use crate::admin::Retention;

/// An age, or none: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

pub(super) fn age(text: &str) -> Result<Age, String> {
    if text == "forever" {
        return Ok(Age(None));
    }
    humantime::parse_duration(text).map(|length| Age(Some(length))).map_err(|_| "write a duration such as 90d, or forever".to_string())
}

/// How long what is final is kept.
#[derive(Args, Debug, Clone)]
pub struct RetentionArgs {
    /// How long completed exports are kept, with their mails, attempts and files: a duration such as 90d, or forever
    #[arg(long, env = "EXPORTBOX_KEEP_COMPLETED", value_parser = age, default_value = "forever", value_name = "AGE")]
    pub keep_completed: Age,
    /// The same for exports that are dead, or that have a dead mail
    #[arg(long, env = "EXPORTBOX_KEEP_DEAD", value_parser = age, default_value = "forever", value_name = "AGE")]
    pub keep_dead: Age,
    /// The same for exports that were cancelled, or that have a cancelled mail
    #[arg(long, env = "EXPORTBOX_KEEP_CANCELLED", value_parser = age, default_value = "forever", value_name = "AGE")]
    pub keep_cancelled: Age,
    /// What deletes the files of exports that are not kept any more: rows (this program, with their rows) or lifecycle (the bucket's own
    /// rule)
    #[arg(long, env = "EXPORTBOX_DELETE_OBJECTS", default_value = "rows", value_parser = ["rows", "lifecycle"])]
    pub delete_objects: String,
}

impl RetentionArgs {
    /// The rules.
    pub fn rules(&self) -> Retention {
        Retention {
            completed: self.keep_completed.0,
            dead: self.keep_dead.0,
            cancelled: self.keep_cancelled.0,
            leave_objects: self.delete_objects == "lifecycle",
        }
    }
}
