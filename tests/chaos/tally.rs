//! What really happened: faults that hit, by kind, and the log of the round.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use crate::schedule::{KINDS, Kind};

/// Counts of faults that hit, and the round's log.
pub struct Tally {
    hits: Mutex<BTreeMap<Kind, u64>>,
    log: Mutex<File>,
    began: Instant,
}

impl Tally {
    pub fn new(log: &Path) -> Tally {
        Tally { hits: Mutex::default(), log: Mutex::new(File::create(log).unwrap()), began: Instant::now() }
    }

    /// A fault hit somebody, so often.
    pub fn hit(&self, kind: Kind, times: u64) {
        *self.hits.lock().unwrap().entry(kind).or_default() += times;
    }

    /// How often a kind has hit.
    pub fn of(&self, kind: Kind) -> u64 {
        self.hits.lock().unwrap().get(&kind).copied().unwrap_or_default()
    }

    /// All hits.
    pub fn faults(&self) -> u64 {
        self.hits.lock().unwrap().values().sum()
    }

    /// Hits that may leave a mail of which nobody knows.
    pub fn ambiguities(&self) -> u64 {
        self.hits.lock().unwrap().iter().filter(|(kind, _)| kind.is_ambiguous()).map(|(_, hits)| hits).sum()
    }

    /// A line of the round's log, with the offset that the schedule counts from.
    pub fn note(&self, line: impl std::fmt::Display) {
        writeln!(self.log.lock().unwrap(), "{:9.3} {line}", self.began.elapsed().as_secs_f64()).unwrap();
    }

    /// A line for the log and for whoever watches.
    pub fn say(&self, line: impl std::fmt::Display) {
        println!("chaos: {line}");
        self.note(line);
    }

    /// The faults by kind, one line.
    pub fn by_kind(&self) -> String {
        KINDS.iter().map(|(kind, _)| format!("{}={}", kind.word(), self.of(*kind))).collect::<Vec<_>>().join(" ")
    }
}
