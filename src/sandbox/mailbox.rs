//! The mails that the SES stand-in took: each an .eml file, with a listing in memory and a way to wait for the next.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::Notify;

/// One accepted mail.
#[derive(Debug, Clone, Serialize)]
pub struct StoredMail {
    /// The provider's message id, as `SendEmail` returned it.
    pub id: String,
    /// The sender.
    pub from: String,
    /// All recipients: To, Cc and Bcc.
    pub to: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// The tags of the call.
    pub tags: Vec<(String, String)>,
    /// The configuration set of the call.
    pub configuration_set: Option<String>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// Where the .eml lies.
    #[serde(rename = "eml")]
    pub path: PathBuf,
    /// Recipients on the suppression list: accepted, counted, and not delivered.
    pub suppressed: Vec<String>,
    /// The mail as it would reach a recipient.
    #[serde(skip)]
    pub raw: Vec<u8>,
}

/// All accepted mails. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    dir: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    mails: Mutex<Shelf>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Shelf {
    mails: Vec<StoredMail>,
    /// The number of the last one. A directory that was kept from an earlier run already holds some.
    last: usize,
}

impl Mailbox {
    /// A mailbox over a directory, which is created when missing.
    pub(super) fn new(dir: &Path) -> anyhow::Result<Mailbox> {
        std::fs::create_dir_all(dir).context("create the mailbox")?;
        let dir = dir.canonicalize().context("find the mailbox")?;
        let names = dir.read_dir().context("read the mailbox")?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let last = names.filter_map(|name| name.split_once('-')?.0.parse().ok()).max().unwrap_or(0);
        let shelf = Mutex::new(Shelf { mails: Vec::new(), last });
        Ok(Mailbox { dir, shared: Arc::new(Shared { mails: shelf, arrived: Notify::new() }) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn mails(&self) -> Vec<StoredMail> {
        self.shelf().mails.clone()
    }

    pub(super) fn find(&self, id: &str) -> Option<StoredMail> {
        self.shelf().mails.iter().find(|mail| mail.id == id).cloned()
    }

    /// Waits until so many mails are there.
    pub(super) async fn until(&self, count: usize) {
        loop {
            let arrival = self.shared.arrived.notified();
            tokio::pin!(arrival);
            arrival.as_mut().enable();
            if self.shelf().mails.len() >= count {
                return;
            }
            arrival.await;
        }
    }

    /// Writes the mail as `NNNN-ID.eml` (`NNNN-ID.suppressed.eml` when it reaches nobody) and lists it. Nobody sees half a file.
    pub(super) fn store(&self, mut mail: StoredMail) -> std::io::Result<()> {
        let mut shelf = self.shelf();
        let nobody = mail.to.iter().all(|to| mail.suppressed.contains(to));
        let number = shelf.last + 1;
        let ending = if nobody { "suppressed.eml" } else { "eml" };
        mail.path = self.dir.join(format!("{number:04}-{}.{ending}", mail.id));
        let draft = self.dir.join(format!(".{}.draft", mail.id));
        std::fs::write(&draft, &mail.raw)?;
        std::fs::rename(&draft, &mail.path)?;
        shelf.last = number;
        shelf.mails.push(mail);
        drop(shelf);
        self.shared.arrived.notify_waiters();
        Ok(())
    }

    /// Forgets every mail, and removes their files.
    pub(super) fn empty(&self) -> std::io::Result<()> {
        self.shelf().mails.drain(..).try_for_each(|mail| std::fs::remove_file(mail.path))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shared.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header fields of a mail, unfolded, and the rest of it from the empty line on.
pub(super) fn split_header(raw: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let end = |mark: &[u8]| raw.windows(mark.len()).position(|window| window == mark);
    let (head, rest) = match (end(b"\r\n\r\n"), end(b"\n\n")) {
        (Some(crlf), lf) if lf.is_none_or(|lf| crlf < lf) => (&raw[..crlf], &raw[crlf + 4..]),
        (_, Some(lf)) => (&raw[..lf], &raw[lf + 2..]),
        (_, None) => (raw, &raw[raw.len()..]),
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(head).lines() {
        match (line.starts_with([' ', '\t']), fields.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => {
                // The fold is kept, so that the mail is stored as it was sent.
                value.push_str("\r\n");
                value.push_str(line);
            }
            (_, _, Some((name, value))) => fields.push((name.trim().to_owned(), value.trim_start().to_owned())),
            _ => {}
        }
    }
    (fields, rest.to_vec())
}

/// The first field of this name, unfolded and decoded.
pub(super) fn field(fields: &[(String, String)], name: &str) -> Option<String> {
    let (_, value) = fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(decode_words(&value.replace("\r\n", "")))
}

/// Decodes the UTF-8 encoded words of RFC 2047 for the listing; what it does not know stays as it is.
fn decode_words(text: &str) -> String {
    let mut out = String::new();
    let mut after_word = false;
    for word in text.split(' ') {
        let decoded = decode_word(word);
        // White space between two encoded words is not part of the text.
        if !(out.is_empty() || after_word && decoded.is_some()) {
            out.push(' ');
        }
        after_word = decoded.is_some();
        out.push_str(decoded.as_deref().unwrap_or(word));
    }
    out
}

fn decode_word(word: &str) -> Option<String> {
    let mut parts = word.strip_prefix("=?")?.strip_suffix("?=")?.splitn(3, '?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = match encoding {
        "B" | "b" => BASE64.decode(text).ok()?,
        "Q" | "q" => percent_encoding::percent_decode_str(&text.replace('%', "%25").replace('=', "%").replace('_', " ")).collect(),
        _ => return None,
    };
    if charset.eq_ignore_ascii_case("utf-8") { String::from_utf8(bytes).ok() } else { None }
}
