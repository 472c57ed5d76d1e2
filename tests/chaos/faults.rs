//! The faults of the schedule, done. A fault counts when it has hit: a process got the signal, a connection was there, a rule met a request.

use std::sync::Arc;
use std::time::Duration;

use exportbox::sandbox::{Action, Rule};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::network::Mode;
use crate::schedule::{Kind, Planned};
use crate::workers::{Workers, fake_clock};
use crate::world::World;

/// Operations of the store that a plain error hits.
const OPERATIONS: [&str; 7] =
    ["PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload", "HeadObject", "DeleteObject", "ListObjectsV2"];
/// Operations whose reply has a body that can be cut; the other half of `s3_cut_body` cuts what is uploaded.
const WITH_BODY: [&str; 3] = ["CreateMultipartUpload", "CompleteMultipartUpload", "ListObjectsV2"];
const UPLOADS: [&str; 2] = ["PutObject", "UploadPart"];

/// Play the whole schedule; returns when its last fault is over.
pub async fn play(world: &Arc<World>, workers: &Arc<Workers>, schedule: &[Planned]) {
    let began = Instant::now();
    let mut lasting = JoinSet::new();
    for planned in schedule {
        tokio::time::sleep_until(began + planned.at).await;
        world.tally.note(planned);
        let (world, workers, planned) = (world.clone(), workers.clone(), *planned);
        lasting.spawn(async move { apply(&world, &workers, &planned).await });
        while let Some(ended) = lasting.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = lasting.join_next().await {
        ended.unwrap();
    }
}

async fn apply(world: &World, workers: &Workers, planned: &Planned) {
    let hit = |times| world.tally.hit(planned.kind, times);
    let lasting = tokio::time::sleep(planned.lasts);
    match planned.kind {
        Kind::Kill => hit(u64::from(workers.signal(planned.pick, "KILL").is_some())),
        Kind::Term => hit(u64::from(workers.signal(planned.pick, "TERM").is_some())),
        Kind::Freeze => {
            if let Some(pid) = workers.signal(planned.pick, "STOP") {
                lasting.await;
                // It may have been killed meanwhile; it was away long enough all the same.
                workers.go_on(pid);
                hit(1);
            }
        }
        Kind::Clock => {
            if fake_clock().is_some() {
                let hours = [-9, -3, 2, 5][planned.pick as usize / 8 % 4];
                workers.set_clock(planned.pick, Some(format!("{hours:+}h")));
                lasting.await;
                workers.set_clock(planned.pick, None);
                // Counted at the end, when the tables tell which of these processes have worked.
            }
        }
        Kind::Crash => {
            // One crash at a time: the next waits until the server is back.
            let mut sandbox = world.sandbox.lock().await;
            sandbox.postgres.crash().await.unwrap();
            lasting.await;
            sandbox.postgres.restart().await.unwrap();
            hit(1);
        }
        Kind::Cut => {
            let Some(proxy) = workers.proxy(planned.pick) else { return };
            if (planned.pick / 8).is_multiple_of(2) {
                // First the replies are lost: what was asked is done, and nobody hears of it.
                proxy.set(Mode::LosingReplies);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            hit(u64::from(proxy.is_used()));
            proxy.set(Mode::Cut);
            lasting.await;
            proxy.set(Mode::Open);
        }
        Kind::Stall => {
            let Some(proxy) = workers.proxy(planned.pick) else { return };
            proxy.set(Mode::Stalled);
            hit(1);
            lasting.await;
            proxy.set(Mode::Open);
        }
        Kind::StoreFull => {
            let full = |room| async move { world.sandbox.lock().await.s3.set_capacity(room) };
            // A little still fits, so that uploads fail in their middle.
            full(Some(u64::from(planned.pick % 1024) * 1024)).await;
            lasting.await;
            full(None).await;
            // Requests that did not fit are counted at the end.
        }
        // Rules are counted at the end, by what is left of them.
        _ => add_rule(world, planned),
    }
}

fn add_rule(world: &World, planned: &Planned) {
    let pick = planned.pick as usize;
    let any = OPERATIONS[pick % OPERATIONS.len()];
    let store = |operation, action| world.store_faults.add(Rule::on(operation, action).times(planned.times));
    let mail = |action| world.mail_faults.add(Rule::on("SendEmail", action).times(planned.times));
    match planned.kind {
        Kind::Store500 => store(any, Action::error(500, "InternalError", "We encountered an internal error. Please try again.")),
        Kind::Store503 => store(any, Action::error(503, "ServiceUnavailable", "Service is unable to handle request.")),
        Kind::StoreSlowDown => store(any, Action::error(503, "SlowDown", "Please reduce your request rate.")),
        Kind::StoreHang => store(any, Action::Hang),
        Kind::StoreCut if (pick / 8).is_multiple_of(2) => store(WITH_BODY[pick % WITH_BODY.len()], Action::CutBody { after_bytes: 20 }),
        Kind::StoreCut => store(UPLOADS[pick % UPLOADS.len()], Action::CutRequest { after_bytes: 3000 }),
        Kind::StoreLostComplete => store("CompleteMultipartUpload", Action::CutReply),
        Kind::StoreErrorIn200 => {
            let code = if pick.is_multiple_of(2) { "InternalError" } else { "SlowDown" };
            store("CompleteMultipartUpload", Action::ErrorInside200 { code: code.into(), message: "Please try again.".into() });
        }
        Kind::MailThrottle => mail(Action::error(429, "TooManyRequestsException", "Maximum sending rate exceeded.")),
        Kind::MailSentThen500 => {
            let error = Action::error(500, "InternalServiceErrorException", "The request has failed due to an unknown error.");
            mail(Action::Afterwards(Box::new(error)));
        }
        Kind::MailLostReply => mail(Action::CutReply),
        Kind::MailHang => mail(Action::Hang),
        Kind::StoreSlow => store(any, Action::DelayMs(4000)),
        Kind::MailSlow => mail(Action::DelayMs(4000)),
        kind => unreachable!("{} is no rule", kind.word()),
    }
}

/// The rules have done what they will: forget the rest, and count each kind by what it hit.
pub async fn heal(world: &World, workers: &Workers, schedule: &[Planned]) {
    workers.heal();
    let left = [world.store_faults.list(), world.mail_faults.list()].concat();
    let full = {
        let sandbox = world.sandbox.lock().await;
        sandbox.s3.set_capacity(None);
        sandbox.s3.refused_for_want_of_room()
    };
    world.store_faults.clear();
    world.mail_faults.clear();
    world.tally.hit(Kind::StoreFull, full);
    for (kind, _) in crate::schedule::KINDS {
        let planned: u64 =
            schedule.iter().filter(|planned| planned.kind == kind && is_rule(kind)).map(|planned| u64::from(planned.times)).sum();
        let unused: u64 = left.iter().filter(|rule| kind_of(rule) == kind).map(|rule| u64::from(rule.times.unwrap_or(0))).sum();
        world.tally.hit(kind, planned - unused);
    }
}

fn is_rule(kind: Kind) -> bool {
    kind >= Kind::Store500 && kind != Kind::StoreFull
}

/// The kind whose rule this is.
fn kind_of(rule: &Rule) -> Kind {
    let mail = rule.operation.as_deref() == Some("SendEmail");
    match &rule.action {
        Action::Error { status: 429, .. } => Kind::MailThrottle,
        Action::Error { status: 500, .. } => Kind::Store500,
        Action::Error { code, .. } if code == "SlowDown" => Kind::StoreSlowDown,
        Action::Error { .. } => Kind::Store503,
        Action::Hang if mail => Kind::MailHang,
        Action::Hang => Kind::StoreHang,
        Action::CutReply if mail => Kind::MailLostReply,
        Action::CutReply => Kind::StoreLostComplete,
        Action::ErrorInside200 { .. } => Kind::StoreErrorIn200,
        Action::CutBody { .. } | Action::CutRequest { .. } => Kind::StoreCut,
        Action::Afterwards(_) => Kind::MailSentThen500,
        Action::DelayMs(_) if mail => Kind::MailSlow,
        Action::DelayMs(_) => Kind::StoreSlow,
    }
}
