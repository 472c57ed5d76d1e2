//! The checker: what the clients wrote down, against the tables, the bucket and the mailbox. It shares no code with the daemon: SQL of its own
//! over the tables, files read from the store's disk, links fetched over plain HTTP, mails parsed by a parser of somebody else.

mod files;
mod mails;
mod tables;

use std::collections::HashSet;

use self::mails::Mailbox;
use self::tables::{Export, Tables};
use crate::ledger::{Fate, Request, Wish};
use crate::world::World;

/// The figures of the last line.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests that clients made, rolled back or not.
    pub requests: usize,
    /// Committed requests without their one final state, their bytes, or their mails.
    pub lost: usize,
    /// Mails beyond the first of a delivery.
    pub doubled: usize,
    /// Of these, the ones that no event accounts for.
    pub silent: usize,
    /// Jobs, leases, uploads, objects, attempts, holds and backends that are left over.
    pub stuck: usize,
}

/// What the checker found.
#[derive(Debug, Default)]
pub struct Findings {
    pub counts: Counts,
    pub violations: Vec<String>,
    /// Tally that nobody has to worry about.
    pub also: String,
    /// Processes with a wrong clock that have worked.
    pub clocks_off: u64,
}

impl Findings {
    fn lost(&mut self, request: &Request, what: impl std::fmt::Display) {
        self.counts.lost += 1;
        self.violations.push(format!("lost: {} ({:?}, client {}): {what}", request.id, request.wish, request.client));
    }

    fn stuck(&mut self, what: impl std::fmt::Display) {
        self.counts.stuck += 1;
        self.violations.push(format!("stuck: {what}"));
    }

    fn violation(&mut self, what: impl std::fmt::Display) {
        self.violations.push(what.to_string());
    }
}

/// Look at everything.
pub async fn check(world: &World, clocks_off: Vec<u32>) -> Findings {
    let mut findings = Findings::default();
    let admin = world.admin().await;
    let tables = Tables::read(&admin).await;
    let requests = world.ledger.all();
    let mailbox = Mailbox::read(&world.mail_dir);
    findings.counts.requests = requests.len();
    findings.clocks_off = tables::workers_among(&admin, &clocks_off).await;

    for request in &requests {
        match request.fate {
            Fate::RolledBack => never_seen(world, &tables, &mailbox, request, &mut findings),
            Fate::Committed => match one_export(&tables, request) {
                Ok(export) => ended_well(world, &tables, &mailbox, request, export, &mut findings),
                Err(what) => findings.lost(request, what),
            },
        }
    }
    let committed: HashSet<_> = requests.iter().filter(|request| request.fate == Fate::Committed).map(|request| request.id).collect();
    for id in tables.exports.keys().filter(|id| !committed.contains(id)) {
        findings.violation(format_args!("seen: {id} is in the outbox, and no client has committed it"));
    }
    mails::check(world, &tables, &mailbox, &requests, &mut findings).await;
    for left in tables::left_over(&admin).await {
        findings.stuck(left);
    }
    let uploads = world.sandbox.lock().await.s3.open_uploads().await;
    uploads.iter().for_each(|upload| findings.stuck(format_args!("the upload of {} is open", upload.key)));
    files::strays(world, &tables).into_iter().for_each(|stray| findings.stuck(format_args!("nothing points to {stray}")));
    files::panics(&world.dir).into_iter().for_each(|line| findings.violation(format_args!("panic: {line}")));

    let count = |state: &str| tables.exports.values().filter(|export| export.state == state).count();
    findings.also = format!(
        "committed={} rolled_back={} completed={} cancelled={} dead={} mails={} notices={} attempts={} aws_s3={} reaped={} unknown={} ambiguities={}",
        committed.len(),
        requests.len() - committed.len(),
        count("completed"),
        count("cancelled"),
        count("dead"),
        mailbox.mails.len(),
        mailbox.notices.len(),
        tables.attempts,
        tables.inside,
        tables.reaped,
        tables.deliveries.values().map(|delivery| delivery.unknown).sum::<i64>(),
        world.tally.ambiguities()
    );
    findings
}

/// Nothing of a request that was rolled back may be anywhere.
fn never_seen(world: &World, tables: &Tables, mailbox: &Mailbox, request: &Request, findings: &mut Findings) {
    let id = request.id;
    let stored = world.store_dir.join("exports").join(id.to_string());
    if tables.exports.contains_key(&id) || files::holds_any(&stored) || request.recipients.iter().any(|to| mailbox.to(to).next().is_some())
    {
        findings.violation(format_args!("seen: {id} was rolled back, and something of it exists"));
    }
}

fn one_export<'a>(tables: &'a Tables, request: &Request) -> Result<&'a Export, String> {
    let export = tables.exports.get(&request.id).ok_or("its row is gone")?;
    if !tables.orders.contains(&request.id) {
        return Err("the client's own row is gone".into());
    }
    if export.jobs != 1 {
        return Err(format!("it has {} export jobs", export.jobs));
    }
    let right = export.completions == i64::from(export.state == "completed");
    if right { Ok(export) } else { Err(format!("it is {}, and {} attempts have completed it", export.state, export.completions)) }
}

/// A committed request ended as it had to.
fn ended_well(world: &World, tables: &Tables, mailbox: &Mailbox, request: &Request, export: &Export, findings: &mut Findings) {
    let (state, class) = (export.state.as_str(), export.error_class.as_str());
    let may_be = match request.wish {
        Wish::File => state == "completed",
        Wish::Broken => state == "dead" && class == "query",
        Wish::Soon => state == "completed" || state == "cancelled" && class == "expired",
        // What died of lost workers before it was cancelled is not brought back.
        Wish::Cancel => state == "completed" || state == "cancelled" || state == "dead" && class != "query",
    };
    if !may_be {
        return findings.lost(request, format_args!("it is {state} ({class})"));
    }
    let mailed: Vec<&String> = request.recipients.iter().filter(|to| mailbox.to(to).next().is_some()).collect();
    if state != "completed" {
        if !export.objects.is_empty() || !mailed.is_empty() {
            findings.violation(format_args!("seen: {} is {state}, and has objects or mails", request.id));
        }
        if state == "dead" && request.recipients.iter().any(|to| mailbox.told(to) == 0) {
            findings.lost(request, "it is dead, and a recipient was not told so");
        }
        return;
    }
    if let Err(what) = files::stored(world, export, request) {
        findings.lost(request, what);
    }
    for to in &request.recipients {
        let Some(delivery) = tables.deliveries.get(to) else {
            findings.lost(request, "a recipient has no delivery");
            continue;
        };
        let may_end = if request.wish == Wish::Cancel {
            delivery.status != "pending" && delivery.status != "sending"
        } else {
            delivery.status == "accepted"
        };
        if !may_end {
            findings.lost(request, format_args!("a mail is {} ({})", delivery.status, delivery.error_class));
        } else if delivery.status == "accepted" && !mailed.contains(&to) {
            findings.lost(request, "a recipient has no mail, and its delivery says accepted");
        }
    }
}
