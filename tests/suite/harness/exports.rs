//! Verbs of tests about files: make many, read them, compare.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::World;

impl World {
    /// Drain and expect these exports to be completed.
    pub async fn complete(&self, ids: &[Uuid]) {
        self.drain().await;
        for id in ids {
            let export = self.export(*id).await;
            assert_eq!(export["state"], "completed", "{export}");
        }
    }

    /// Request one export, drain, and read its file.
    pub async fn file(&self, query: &str, recipients: &[&str], more: &str) -> String {
        let id = self.request_with(query, recipients, more).await;
        self.complete(&[id]).await;
        String::from_utf8(self.stored(id).await).unwrap()
    }

    /// Request all, drain once, and read their files.
    pub async fn files(&self, requests: &[(&str, &[&str], &str)]) -> Vec<String> {
        let mut ids = Vec::new();
        for (query, recipients, more) in requests {
            ids.push(self.request_with(query, recipients, more).await);
        }
        self.complete(&ids).await;
        let mut files = Vec::new();
        for id in ids {
            files.push(String::from_utf8(self.stored(id).await).unwrap());
        }
        files
    }

    /// Expect an export to be dead after one attempt; returns its class and sentence.
    pub async fn death(&self, id: Uuid) -> (String, String) {
        let export = self.export(id).await;
        assert_eq!((&export["state"], &export["attempts"]), (&"dead".into(), &1.into()), "{export}");
        let word = |name: &str| export[name].as_str().unwrap().to_string();
        (word("error_class"), word("error"))
    }

    /// What the application gets of a query, row by row as `row_to_json` writes it.
    pub async fn rows_as_json(&self, query: &str) -> Vec<Value> {
        let app = self.app().await;
        app.batch_execute("set timezone = 'UTC'").await.unwrap();
        let rows = app.query(&format!("select row_to_json(row_of.*)::text from ({query}\n) as row_of"), &[]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    /// The manifest row of an export with one file, as JSON.
    pub async fn manifest(&self, id: Uuid) -> Value {
        self.row("select to_jsonb(o) from exportbox.objects as o where export_id = $1", &[&id]).await.get(0)
    }
}

/// Run a program of the machine over bytes; its output, when it is content with them.
pub fn through(program: &str, arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Written from a thread of its own: the program may answer before it has read all.
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
    output.stdout
}

/// The SHA-256 of bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the manifest says of a file with these bytes.
pub fn checksum(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// The rows and cells of a CSV as RFC 4180 reads them: a reader that shares nothing with the one that wrote them.
pub fn cells(csv: &str, delimiter: char, quote: char) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut text = csv.chars().peekable();
    let mut quoted = false;
    while let Some(c) = text.next() {
        if quoted {
            match c {
                c if c == quote && text.next_if_eq(&quote).is_some() => cell.push(quote),
                c if c == quote => quoted = false,
                c => cell.push(c),
            }
        } else if c == quote && cell.is_empty() {
            quoted = true;
        } else if c == delimiter || c == '\n' {
            row.push(std::mem::take(&mut cell));
            if c == '\n' {
                rows.push(std::mem::take(&mut row));
            }
        } else {
            cell.push(c);
        }
    }
    assert!(!quoted && cell.is_empty() && row.is_empty(), "the file ends within a row");
    rows
}
