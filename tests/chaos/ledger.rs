//! What the clients themselves wrote down about their requests, and the bytes that each query must give. The checker believes this and nothing
//! that the daemon says.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use uuid::Uuid;

/// What became of the client's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Committed,
    RolledBack,
}

/// What a request wants beside its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To be completed.
    File,
    /// To be cancelled a little later.
    Cancel,
    /// To be given up when it has not started soon.
    Soon,
    /// It is wrong: to be refused for good.
    Broken,
}

/// What the client heard when it cancelled.
#[derive(Debug, Clone)]
pub struct Cancelled {
    /// The function's answer; none: it was lost.
    pub answer: Option<String>,
    /// After the answer.
    pub at: DateTime<Utc>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub id: Uuid,
    pub client: usize,
    /// Through a role that may use aws_s3.
    pub inside: bool,
    pub lines: usize,
    pub slow_s: u32,
    pub jsonl: bool,
    pub gzip: bool,
    pub recipients: Vec<String>,
    pub wish: Wish,
    pub fate: Fate,
    pub cancelled: Option<Cancelled>,
}

impl Request {
    /// The ad-hoc query.
    pub fn query(&self) -> String {
        let broken = if self.wish == Wish::Broken { ", line.no_such_column" } else { "" };
        let (count, seconds) = (self.lines, self.slow_s);
        if seconds == 0 {
            return format!("select line.n, line.text{broken} from shop.line where line.n <= {count} order by line.n");
        }
        format!(
            "with nap as materialized (select pg_sleep({seconds})) \
             select line.n, line.text{broken} from nap, shop.line where line.n <= {count} order by line.n"
        )
    }

    /// The file before compression: made from what was put into the table, never asked of anybody.
    pub fn content(&self, lines: &[String]) -> Vec<u8> {
        let mut content = Vec::new();
        if !self.jsonl {
            content.extend_from_slice(b"n,text\n");
        }
        for (n, text) in (1..).zip(&lines[..self.lines]) {
            let written = if self.jsonl { writeln!(content, "{{\"n\":{n},\"text\":\"{text}\"}}") } else { writeln!(content, "{n},{text}") };
            written.unwrap();
        }
        content
    }
}

/// The lines of the table: letters and digits at random, so that gzip does not make large files small.
pub fn lines(seed: u64, count: usize) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|_| (0..100).map(|_| rng.alphanumeric()).collect()).collect()
}

/// All requests of the round, also as lines of a file.
pub struct Ledger {
    requests: Mutex<Vec<Request>>,
    file: Mutex<std::fs::File>,
}

impl Ledger {
    pub fn new(path: &Path) -> Ledger {
        Ledger { requests: Mutex::default(), file: Mutex::new(std::fs::File::create(path).unwrap()) }
    }

    /// A transaction has ended, and how it ended is known.
    pub fn add(&self, request: Request) {
        writeln!(self.file.lock().unwrap(), "{request:?}").unwrap();
        self.requests.lock().unwrap().push(request);
    }

    /// A client has asked to cancel one of its requests.
    pub fn cancelled(&self, id: Uuid, cancelled: Cancelled) {
        writeln!(self.file.lock().unwrap(), "{id} {cancelled:?}").unwrap();
        let mut requests = self.requests.lock().unwrap();
        let request = requests.iter_mut().find(|request| request.id == id).expect("it was added when it was committed");
        request.cancelled = Some(cancelled);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}
