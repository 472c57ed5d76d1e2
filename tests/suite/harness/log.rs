//! A process of the program whose log is read while it runs.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::process::signal;
use super::{PATIENCE, World};

/// The process and what it has logged so far.
pub struct Logged {
    pub child: Child,
    said: Arc<Mutex<String>>,
}

impl World {
    /// Start the program and read along.
    pub async fn logged(&self, arguments: &[&str]) -> Logged {
        Logged::read(self.spawn(arguments))
    }

    /// So many of them at once, on a database of that URL.
    pub fn logged_many(&self, count: usize, arguments: &[&str], url: &str) -> Vec<Logged> {
        (0..count).map(|_| Logged::read(self.program(arguments).env("EXPORTBOX_DATABASE_URL", url).spawn().unwrap())).collect()
    }
}

/// Stop them all in order; none has logged an error.
pub async fn stop_in_order(processes: Vec<Logged>) {
    for mut process in processes {
        signal(&process.child, "TERM").await;
        assert!(process.child.wait().await.unwrap().success(), "{}", process.said());
        assert!(!process.said().contains("ERROR"), "{}", process.said());
    }
}

impl Logged {
    /// Read along with a process whose standard error is a pipe.
    pub fn read(mut child: Child) -> Logged {
        let said = Arc::new(Mutex::new(String::new()));
        let (mut lines, log) = (BufReader::new(child.stderr.take().unwrap()).lines(), said.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Logged { child, said }
    }

    /// Everything so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Wait until it has said these words.
    pub async fn until_said(&mut self, words: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.said().contains(words) {
            assert!(tokio::time::Instant::now() < deadline, "it never said {words:?}: {}", self.said());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
