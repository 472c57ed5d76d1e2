//! The outbox's database: whether it is the right one, whether the login may do its work, and whether it is in good health.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;

use super::{Doctor, Finding, Known};
use crate::database::DatabaseError;

/// A table with more dead rows than live ones, and more than this, is not vacuumed as it should be: a busy hour leaves fewer.
const DEAD_ROWS: i64 = 50_000;

impl Doctor {
    pub(super) async fn outbox(&self, known: &mut Known) -> Vec<Finding> {
        let asked = Utc::now();
        let server = tokio::time::timeout(self.limits.patience, self.admin.server()).await;
        let server = server.unwrap_or_else(|_| Err(DatabaseError::Unavailable("no answer in time".into())));
        let mut findings = Vec::new();
        match server {
            Ok(server) => {
                known.database_ahead = Some(ahead(asked, server.now, Utc::now()));
                findings.push(Finding::ok("database", format!("{} answers, {}", self.place, server.name())));
                known.server = Some(server);
            }
            Err(error) => {
                findings.push(Finding::refused("database", &error));
                known.refused = Some(error);
            }
        }
        let unless = known.server.is_none().then_some("the database was not reached");
        let schema = match unless {
            None => {
                let checked = tokio::time::timeout(self.limits.patience, self.admin.check_schema()).await;
                checked.unwrap_or_else(|_| Err(DatabaseError::Unavailable("a migration is under way".into()))).err()
            }
            Some(_) => None,
        };
        let no_schema = match &schema {
            Some(error) if !matches!(error, DatabaseError::Privilege(_)) => Some("the schema is not this program's"),
            _ => unless,
        };
        let schema_is = async {
            match &schema {
                None => Finding::ok("schema", "the schema is this program's"),
                Some(error) => Finding::refused("schema", error),
            }
        };
        let basics = vec![
            ("version", async { self.version(known) }.boxed()),
            ("primary", async { self.primary(known) }.boxed()),
            ("pooler", async { self.pooler(known) }.boxed()),
            ("connections", self.connections().boxed()),
            ("schema", schema_is.boxed()),
        ];
        findings.extend(self.all(basics, unless).await);
        let of_schema = vec![
            ("grants", self.grants().boxed()),
            ("autovacuum", self.autovacuum().boxed()),
            ("snapshots", self.snapshots().boxed()),
            ("work", self.work().boxed()),
        ];
        findings.extend(self.all(of_schema, no_schema).await);
        if no_schema.is_none() {
            // When it cannot be asked, the check of the grants says what is missing.
            let asked = tokio::time::timeout(self.limits.patience, self.admin.runs_as()).await;
            known.runs_as = asked.ok().and_then(Result::ok).unwrap_or_default();
        }
        if known.server.as_ref().is_some_and(|server| server.is_standby || server.is_read_only) {
            known.refused = Some(DatabaseError::ReadOnly);
        } else if known.refused.is_none() {
            known.refused = schema;
        }
        findings
    }

    fn version(&self, known: &Known) -> Finding {
        match &known.server {
            Some(server) if server.is_too_old() => Finding::warn(
                "version",
                format!("{} is older than exportbox is made for", server.name()),
                "upgrade to PostgreSQL 14 or newer",
            ),
            Some(server) => Finding::ok("version", server.name()),
            None => Finding::skipped("version", "the database was not reached"),
        }
    }

    fn primary(&self, known: &Known) -> Finding {
        let fix = "point EXPORTBOX_DATABASE_URL at the writer, or name all hosts and target_session_attrs=read-write";
        match &known.server {
            Some(server) if server.is_standby => Finding::fail("primary", "the outbox is on a standby, which only reads", fix),
            Some(server) if server.is_read_only => {
                Finding::fail("primary", "transactions only read here (default_transaction_read_only)", fix)
            }
            _ => Finding::ok("primary", "the outbox is on a primary, which takes writes"),
        }
    }

    fn pooler(&self, known: &Known) -> Finding {
        let is_direct = known.server.as_ref().is_some_and(|server| server.is_direct);
        match (self.is_pooled, is_direct, self.has_direct) {
            (false, true, _) => Finding::ok("pooler", "none: the session keeps what it was started with"),
            (false, false, _) => Finding::fail(
                "pooler",
                "a pooler in transaction mode stands before the database, and nobody has said so",
                "set EXPORTBOX_POOLED=true, or connect directly",
            ),
            (true, _, true) => Finding::ok("pooler", "one stands before the database, and wakes come past it"),
            (true, _, false) => Finding::warn(
                "pooler",
                "one stands before the database, so no wake arrives: new requests wait for up to EXPORTBOX_POLL",
                "set EXPORTBOX_DIRECT_URL to the same database past the pooler, or EXPORTBOX_POLL to what a request may wait",
            ),
        }
    }

    async fn connections(&self) -> Finding {
        let (needed, _) = self.connections;
        let limits = match self.admin.limits().await {
            Ok(limits) => limits,
            // Its own check says so.
            Err(DatabaseError::Pooler(_)) => return Finding::skipped("connections", "a pooler that nobody has told of counts its own"),
            Err(error) => return Finding::refused("connections", &error),
        };
        let fix = "lower EXPORTBOX_SLOTS, raise the limit, or run fewer processes";
        if let Some(refusal) = limits.refusal(needed) {
            return Finding::fail("connections", format!("this process {refusal}"), fix);
        }
        let said = limits.tightest().map(|limit| format!("{} of {} are in use, a process needs {needed}", limit.used, limit.most));
        let said = said.unwrap_or_else(|| "no limit".into());
        if limits.is_short_of(needed) { Finding::warn("connections", said, fix) } else { Finding::ok("connections", said) }
    }

    async fn grants(&self) -> Finding {
        let lacking = match self.admin.lacking_rights().await {
            Ok(lacking) => lacking,
            Err(error) => return Finding::refused("grants", &error),
        };
        let Some((said, _)) = lacking.first() else {
            return Finding::ok("grants", "the login may do all that a daemon does");
        };
        let statements: Vec<&str> = lacking.iter().map(|(_, name)| *name).take(6).collect();
        let more = if lacking.len() > statements.len() { format!(" and {} more", lacking.len() - statements.len()) } else { String::new() };
        Finding::fail(
            "grants",
            format!("the login lacks rights: {said}; needed for {}{more}", statements.join(", ")),
            "grant exportbox_worker to this login; if it has that role, somebody has taken the right from the role: grant it again",
        )
    }

    async fn autovacuum(&self) -> Finding {
        let tables = match self.admin.tables().await {
            Ok(tables) => tables,
            Err(error) => return Finding::refused("autovacuum", &error),
        };
        let off: Vec<&str> = tables.iter().filter(|table| !table.is_vacuumed).map(|table| table.name.as_str()).collect();
        if !off.is_empty() {
            let fix = "run alter table exportbox.… reset (autovacuum_enabled), or set autovacuum = on on the server";
            return Finding::warn("autovacuum", format!("it is off for {}: claiming gets slower with each job", off.join(", ")), fix);
        }
        let is_behind = |table: &&crate::admin::Table| table.dead_rows > DEAD_ROWS.max(table.live_rows);
        match tables.iter().filter(is_behind).max_by_key(|table| table.dead_rows) {
            Some(table) => Finding::warn(
                "autovacuum",
                format!("it does not keep up with {}: {} dead rows, {} live ones", table.name, table.dead_rows, table.live_rows),
                "see the finding on snapshots; else raise autovacuum_max_workers or autovacuum_vacuum_cost_limit",
            ),
            None => Finding::ok("autovacuum", format!("on for all {} tables, and it keeps up", tables.len())),
        }
    }

    async fn snapshots(&self) -> Finding {
        match self.admin.oldest_snapshot(self.limits.snapshot).await {
            Ok(None) => Finding::ok("snapshots", "nothing holds back vacuum"),
            Ok(Some(snapshot)) => match snapshot.alarm {
                Some(_) => Finding::warn(
                    "snapshots",
                    format!("{} holds back vacuum since {} transactions", snapshot.holder, snapshot.transactions),
                    "let it finish, or end it: an export with exportbox cancel, a session with pg_terminate_backend, a slot by dropping it",
                ),
                None => Finding::ok("snapshots", format!("the oldest is {} transactions old", snapshot.transactions)),
            },
            Err(error) => Finding::refused("snapshots", &error),
        }
    }

    async fn work(&self) -> Finding {
        let health = match self.admin.health().await {
            Ok(health) => health,
            Err(error) => return Finding::refused("work", &error),
        };
        let number = |name: &str| health[name].as_i64().unwrap_or_default();
        let said = format!("{} due, {} running, {} dead, {} workers", number("due"), number("running"), number("dead"), number("workers"));
        if let Some(reason) = health["on_hold"].as_str() {
            return Finding::warn("work", format!("{said}; on hold is {reason}"), "mend that; the next probe releases it");
        }
        if number("dead") > 0 {
            return Finding::warn("work", said, "exportbox status, then exportbox show ID, then exportbox requeue ID");
        }
        if number("due") > 0 && number("workers") == 0 {
            return Finding::warn("work", said, "start exportbox run, or let exportbox drain come by");
        }
        Finding::ok("work", said)
    }
}

/// How far the other clock is ahead. It was read at some instant between our question and its answer.
fn ahead(asked: DateTime<Utc>, said: DateTime<Utc>, heard: DateTime<Utc>) -> TimeDelta {
    let (least, most) = (said - heard, said - asked);
    if least <= TimeDelta::zero() && most >= TimeDelta::zero() { TimeDelta::zero() } else { (least + most) / 2 }
}
