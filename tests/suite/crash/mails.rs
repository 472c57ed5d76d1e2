//! A crash of a delivery's attempt: one window can double a mail, and only that one.

use super::{Path, Scene, each, points};
use crate::harness::World;

const BOB: &str = "bob@example.com: accepted, completed, 1 mails";

/// What is to be seen of one crash while the first of two recipients is served.
#[derive(Debug, Clone, Copy)]
struct Case {
    point: &'static str,
    /// Whether the mail may have been sent when the process is dead.
    may_be_sent: bool,
    /// Mails that the provider has then.
    sent: usize,
    /// The outcomes of the delivery's attempts in the end.
    outcomes: &'static str,
}

fn case(point: &'static str) -> Case {
    let case = |may_be_sent, sent| Case { point, may_be_sent, sent, outcomes: "reaped, completed" };
    match point {
        "message.claimed" | "message.loaded" | "message.prepared" => case(false, 0),
        "message.stamped" => case(true, 0),
        "message.accepted" | "message.settling" => case(true, 1),
        "message.settled" => Case { outcomes: "completed", ..case(false, 1) },
        _ => panic!("{point} has no expectation"),
    }
}

async fn reaped_status(world: &World) -> String {
    world.let_leases_lapse().await;
    world.reap().await;
    world.text("select string_agg(status, ', ') from exportbox.deliveries where status <> 'pending'").await
}

async fn crash_and_converge(case: Case) -> Scene {
    let scene = Scene::new(Path::Small).await;
    let (world, id) = (&scene.world, scene.id);
    scene.crash(&format!("{}=return", case.point)).await;
    assert_eq!(world.mails().len(), case.sent);
    // The worker is lost; before anything else is done, the row says what that means for the mail.
    let meanwhile = match (case.may_be_sent, case.outcomes) {
        (true, _) => "unknown",
        (false, "completed") => "accepted",
        (false, _) => "",
    };
    assert_eq!(reaped_status(world).await, meanwhile);
    world.converge(id, &[]).await;
    scene.assert_converged().await;
    assert_eq!(world.outcomes(id).await, "completed");
    // The one window: what was sent and not heard of is sent once more. Everything else is sent once.
    let mails = 1 + usize::from(case.may_be_sent && case.sent == 1);
    assert_eq!(world.served(id).await, [&format!("ann@example.com: accepted, {}, {mails} mails", case.outcomes), BOB]);
    let events: &[&str] = match (case.may_be_sent, meanwhile) {
        (true, _) => &["reaped 1", "unknown 1"],
        (false, "accepted") => &[],
        (false, _) => &["reaped 1"],
    };
    assert_eq!(world.events().await, events);
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_survives_a_crash_between_any_two_steps_and_is_doubled_in_one_window_only() {
    each(points("message.").map(case).collect(), crash_and_converge).await;
}

async fn crash_and_hold(case: Case) -> Scene {
    let hold = [("EXPORTBOX_UNKNOWN", "hold")];
    let mut scene = Scene::new(Path::Small).await;
    scene.settings.extend(hold);
    let (world, id) = (&scene.world, scene.id);
    scene.crash(&format!("{}=return", case.point)).await;
    world.converge(id, &hold).await;
    world.assert_nothing_is_left_behind(id).await;
    // Whether it was sent or not, nobody sends it again by himself, however often the world turns.
    world.converge(id, &hold).await;
    let outcomes = if case.may_be_sent { "unknown, reaped" } else { &format!("accepted, {}", case.outcomes) };
    let sent = if case.may_be_sent { case.sent } else { 1 };
    assert_eq!(world.served(id).await, [&format!("ann@example.com: {outcomes}, {sent} mails"), BOB]);
    if case.may_be_sent {
        let job = "select concat_ws(' ', job.state, job.error_class, job.error) from exportbox.jobs as job where job.error is not null";
        assert_eq!(world.text(job).await, "dead unknown The mail may have been sent when its worker was lost. Requeue to send it again.");
        assert_eq!(world.events().await, ["reaped 1", "unknown 1"]);
        assert_eq!(world.export(id).await["undelivered"], 1);
        // A person decides.
        world.requeue(id).await;
        world.converge(id, &hold).await;
        assert_eq!(world.served(id).await, [&format!("ann@example.com: accepted, reaped, completed, {} mails", sent + 1), BOB]);
    }
    scene.assert_converged().await;
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_doubles_a_mail_where_the_policy_is_to_hold() {
    each(points("message.").map(case).collect(), crash_and_hold).await;
}
