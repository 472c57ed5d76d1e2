//! A crash while a recipient is told that an export died: told once, but for the one window of every mail.

use super::{Scene, each, points};
use crate::harness::World;

const TELLING: (&str, &str) = ("EXPORTBOX_FAILURE_NOTICE", "recipients");

async fn dying() -> Scene {
    let world = World::new().await;
    let query = "select nonsense";
    let id = world.request(query, &["ann@example.com"]).await;
    Scene { world, id, query, settings: vec![TELLING] }
}

async fn crash_and_tell(point: &'static str) -> Scene {
    let scene = dying().await;
    let world = &scene.world;
    scene.crash(&format!("{point}=return")).await;
    let sent = usize::from(matches!(point, "message.accepted" | "message.settling" | "message.settled"));
    assert_eq!(world.mails().len(), sent, "before anybody goes on");
    // The export is dead from the first on: one ends the lost lease, the next tells what is to be told.
    for _ in 0..2 {
        world.converge(scene.id, &[TELLING]).await;
    }
    // What was sent and not heard of is sent once more, and an event says so.
    let may_be_sent = matches!(point, "message.stamped" | "message.accepted" | "message.settling");
    let mails = 1 + usize::from(may_be_sent && sent == 1);
    assert_eq!(world.mails_to("ann@example.com").len(), mails);
    assert_eq!(world.text("select concat_ws(' ', kind, status, exports) from exportbox.notices").await, "failure accepted 1");
    assert_eq!(world.count("select count(*) from exportbox.events where kind = 'unknown'").await, i64::from(may_be_sent));
    assert_eq!(world.count("select count(*) from exportbox.jobs where state in ('pending', 'running')").await, 0);
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_survives_a_crash_between_any_two_steps_and_is_doubled_in_one_window_only() {
    each(points("message.").chain(["worker.gathered"]).collect(), crash_and_tell).await;
}
