//! The cases, a file each. A case measures figure and floor in turn, as often as is wanted.

mod drain;

use std::pin::Pin;

use super::Wanted;
use super::line::Line;

type Running = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Line>>> + Send>>;

/// One case.
pub struct Case {
    /// What `CASE=` finds it by.
    pub name: &'static str,
    /// What is measured, against what.
    pub about: &'static str,
    /// Measures.
    pub run: fn(Wanted) -> Running,
}

/// All of them, in the order in which they run.
pub fn all() -> Vec<Case> {
    vec![Case {
        name: "drain",
        about: "a whole `exportbox drain` with nothing due, against `psql -c 'select 1'`",
        run: |wanted| Box::pin(drain::measure(wanted)),
    }]
}
