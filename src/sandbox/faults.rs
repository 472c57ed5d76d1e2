//! Scripted faults, and a count of the requests that arrived. The S3 and the SES stand-in each hold one `Faults`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Answer with this error in the service's own wire shape, and do nothing else.
    Error {
        /// HTTP status.
        status: u16,
        /// The provider's error code, for example `SlowDown` or `MessageRejected`.
        code: String,
        /// The provider's sentence.
        #[serde(default)]
        message: String,
        /// Sent as the header `retry-after`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// Wait, then proceed as if nothing had been scripted.
    DelayMs(u64),
    /// Read the request and never answer, until the client goes.
    Hang,
    /// Do the work, then drop the connection without a reply: the lost reply.
    CutReply,
    /// `CompleteMultipartUpload` only: status 200 with an `<Error>` inside, and nothing is completed.
    ErrorInside200 {
        /// The provider's error code, for example `InternalError`.
        code: String,
        /// The provider's sentence.
        #[serde(default)]
        message: String,
    },
    /// Send this much of the reply's body, then drop the connection.
    CutBody {
        /// Bytes of the body that still arrive.
        after_bytes: u64,
    },
    /// Read this much of the request's body, then drop the connection, and do nothing.
    CutRequest {
        /// Bytes of the body that are still read.
        after_bytes: u64,
    },
    /// Do the work, then answer with this [`Action::Error`] all the same.
    Afterwards(Box<Action>),
}

impl Action {
    /// An error without a retry-after.
    pub fn error(status: u16, code: &str, message: &str) -> Action {
        Action::Error { status, code: code.into(), message: message.into(), retry_after_seconds: None }
    }
}

/// When an [`Action`] applies. The first rule that matches a request wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The API's name of the operation, for example `UploadPart` or `SendEmail`; none: every operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Only where this text occurs in the object's key (S3), or in the path or a recipient's address (SES).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_contains: Option<String>,
    /// How many requests it still hits; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How many matching requests it still lets pass first.
    #[serde(default)]
    pub skip: u32,
    /// What happens.
    pub action: Action,
}

impl Rule {
    /// Hits every request of one operation.
    pub fn on(operation: &str, action: Action) -> Rule {
        Rule { operation: Some(operation.into()), key_contains: None, times: None, skip: 0, action }
    }

    /// Hits only so many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Rule {
        Rule { times: Some(times), ..self }
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn skip(self, skip: u32) -> Rule {
        Rule { skip, ..self }
    }

    /// Hits only where this text occurs in the key, the path or a recipient's address.
    #[must_use]
    pub fn key_contains(self, text: &str) -> Rule {
        Rule { key_contains: Some(text.into()), ..self }
    }

    fn matches(&self, operation: &str, key: &str) -> bool {
        self.operation.as_deref().is_none_or(|wanted| wanted == operation)
            && self.key_contains.as_deref().is_none_or(|text| key.contains(text))
    }
}

/// A handle on one stand-in's rules and counters. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Script {
    rules: Vec<Rule>,
    seen: HashMap<String, u64>,
}

impl Faults {
    /// Adds a rule after the ones that are there.
    pub fn add(&self, rule: Rule) {
        self.script().rules.push(rule);
    }

    /// The rules that can still hit, with what is left of `times` and `skip`.
    pub fn list(&self) -> Vec<Rule> {
        self.script().rules.clone()
    }

    /// Forgets all rules; the counters stay.
    pub fn clear(&self) {
        self.script().rules.clear();
    }

    /// How many requests of this operation have arrived since the start, hit by a fault or not.
    pub fn hits(&self, operation: &str) -> u64 {
        self.script().seen.get(operation).copied().unwrap_or(0)
    }

    /// Requests that have arrived, by operation.
    pub fn counts(&self) -> HashMap<String, u64> {
        self.script().seen.clone()
    }

    /// Waits until at least `count` requests of this operation have arrived since the start. Put a timeout around it.
    pub async fn until_hit(&self, operation: &str, count: u64) {
        loop {
            let arrival = self.shared.arrived.notified();
            tokio::pin!(arrival);
            // Registered before looking: an arrival between the two is not lost.
            arrival.as_mut().enable();
            if self.hits(operation) >= count {
                return;
            }
            arrival.await;
        }
    }

    /// Counts a request and says what is to go wrong with it.
    pub(super) fn arrive(&self, operation: &str, key: &str) -> Option<Action> {
        let action = {
            let mut script = self.script();
            *script.seen.entry(operation.to_owned()).or_default() += 1;
            let mut action = None;
            for rule in script.rules.iter_mut().filter(|rule| rule.matches(operation, key)) {
                if rule.skip > 0 {
                    rule.skip -= 1;
                    continue;
                }
                if let Some(left) = &mut rule.times {
                    *left = left.saturating_sub(1);
                }
                action = Some(rule.action.clone());
                break;
            }
            script.rules.retain(|rule| rule.times != Some(0));
            action
        };
        self.shared.arrived.notify_waiters();
        action
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // No code panics while it holds the lock; a poisoned script would still be a whole one.
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
