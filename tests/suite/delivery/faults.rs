//! SES as it is on bad days.

use exportbox::sandbox::{Action, Rule, SesOptions};

use super::QUERY;
use crate::harness::World;
use crate::harness::rows::JOBS;

const ANN: &[&str] = &["ann@example.com"];

#[tokio::test]
async fn a_throttled_mail_is_sent_later_and_once() {
    let world = World::new().await;
    let slow_down = Action::error(429, "TooManyRequestsException", "Maximum sending rate exceeded.");
    world.ses.faults().add(Rule::on("SendEmail", slow_down).times(2));
    let id = world.request(QUERY, ANN).await;
    for _ in 0..2 {
        world.drain().await;
        assert_eq!(world.statuses(id).await, ["ann@example.com pending mail_throttled"]);
        assert_eq!(world.state(id).await, "delivering");
        assert!(world.row("select run_at > now() from exportbox.jobs where kind = 'delivery'", &[]).await.get::<_, bool>(0));
        world.let_time_pass().await;
    }
    world.complete(&[id]).await;
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted"]);
    assert_eq!((world.mails().len(), world.count("select attempts::bigint from exportbox.deliveries").await), (1, 3));
    assert_eq!(world.events().await, [""; 0]);
}

#[tokio::test]
async fn a_rejected_mail_dies_and_the_others_get_theirs() {
    let world = World::new().await;
    let rejected = Action::error(400, "MessageRejected", "Email contains canary-7431 for bob@example.com");
    world.ses.faults().add(Rule::on("SendEmail", rejected).key_contains("bob@"));
    let id = world.request(QUERY, &["ann@example.com", "bob@example.com", "cat@example.com"]).await;
    let (tally, _) = world.drain().await;
    assert_eq!((tally.mailed, tally.dead), (2, 1));
    let statuses = ["ann@example.com accepted", "bob@example.com rejected mail_rejected", "cat@example.com accepted"];
    assert_eq!(world.statuses(id).await, statuses);
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["undelivered"]), (&"completed".into(), &1.into()));
    assert_eq!(world.mails().len(), 2);
    // Neither what SES said nor the address is in any error.
    let shown = "select concat((select string_agg(concat(error, error_class), '') from exportbox.jobs), (select string_agg(error, '') from exportbox.deliveries), \
        (select string_agg(error, '') from exportbox.attempts), (select string_agg(detail, '') from exportbox.events))";
    let shown = world.text(shown).await;
    assert!(shown.contains("rejects") && !shown.contains("canary") && !shown.contains("bob@"), "{shown}");
}

#[tokio::test]
async fn a_lost_reply_is_unknown_and_sent_again_exactly_once() {
    let world = World::new().await;
    world.ses.faults().add(Rule::on("SendEmail", Action::CutReply).times(1));
    let id = world.request(QUERY, ANN).await;
    world.drain().await;
    assert_eq!(world.statuses(id).await, ["ann@example.com unknown mail_unknown"]);
    assert_eq!((world.mails().len(), world.state(id).await.as_str()), (1, "delivering"));
    assert_eq!(world.events().await, ["unknown 1"]);
    world.let_time_pass().await;
    world.complete(&[id]).await;
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted"]);
    let mails = world.mails_to("ann@example.com");
    assert_eq!(mails.len(), 2);
    // SES writes its own Message-ID; ours tells the two apart from two deliveries.
    assert_eq!(mails[0].headers["x-exportbox-delivery"], mails[1].headers["x-exportbox-delivery"]);
    assert_eq!(world.events().await, ["unknown 1"]);
}

#[tokio::test]
async fn a_mail_that_may_have_been_sent_is_held_for_a_person_where_that_is_the_policy() {
    let mut world = World::new().await;
    world.settings.policy.hold_unknown = true;
    world.ses.faults().add(Rule::on("SendEmail", Action::CutReply).times(1));
    let id = world.request(QUERY, ANN).await;
    let (tally, _) = world.drain().await;
    assert_eq!((tally.mailed, tally.dead), (0, 1));
    assert_eq!(world.statuses(id).await, ["ann@example.com unknown mail_unknown"]);
    assert_eq!(world.text("select state from exportbox.jobs where kind = 'delivery'").await, "dead");
    world.let_time_pass().await;
    world.drain().await;
    assert_eq!(world.mails().len(), 1, "a mail was sent again though a person was to decide");
    assert_eq!(world.events().await, ["dead 1", "unknown 1"]);
    world.requeue(id).await;
    world.complete(&[id]).await;
    assert_eq!((world.mails().len(), world.statuses(id).await), (2, vec!["ann@example.com accepted".to_string()]));
}

#[tokio::test]
async fn an_answer_of_500_is_unknown_and_one_that_never_left_is_not() {
    let world = World::new().await;
    world.ses.faults().add(Rule::on("SendEmail", Action::error(500, "InternalFailure", "")).times(1));
    let id = world.request(QUERY, ANN).await;
    world.drain().await;
    assert_eq!(world.statuses(id).await, ["ann@example.com unknown mail_unknown"]);
    world.let_time_pass().await;
    world.complete(&[id]).await;

    let mut world = World::new().await;
    world.ses.stop().await;
    let id = world.request(QUERY, ANN).await;
    world.drain().await;
    assert_eq!(world.statuses(id).await, ["ann@example.com pending mail_unavailable"]);
    assert_eq!(world.events().await, [""; 0]);
}

#[tokio::test]
async fn paused_sending_holds_the_mails_unburnt_and_ends_by_itself() {
    let world = World::new().await;
    world.ses.set_sending_enabled(false);
    let id = world.request(QUERY, &["ann@example.com", "bob@example.com"]).await;
    for _ in 0..10 {
        // More probes than a mail has attempts.
        let (tally, left) = world.drain().await;
        assert_eq!((tally.mailed, tally.dead), (0, 0));
        assert!(left.on_hold.is_some_and(|reason| reason.contains("Sending is paused")));
        world.let_time_pass().await;
    }
    assert_eq!(world.count("select count(*) from exportbox.jobs where kind = 'delivery' and state = 'pending' and attempt = 0").await, 2);
    let health = world.text("select on_hold from exportbox.health").await;
    assert!(health.contains("delivery: Sending is paused"), "{health}");
    assert_eq!(world.state(id).await, "delivering");
    // What is on hold is probed one mail at a time, not stormed.
    assert!(world.ses.faults().hits("SendEmail") <= 2 + 10);
    world.ses.set_sending_enabled(true);
    world.complete(&[id]).await;
    assert_eq!((world.mails().len(), world.text("select on_hold from exportbox.health").await.as_str()), (2, ""));
    assert_eq!(world.events().await, ["held 1", "released 1"]);
}

#[tokio::test]
async fn exports_go_on_while_mails_are_on_hold() {
    let world = World::with_ses(SesOptions { verified: Some(vec!["other.example".into()]), ..SesOptions::default() }).await;
    let first = world.request(QUERY, ANN).await;
    world.drain().await;
    let health = world.text("select on_hold from exportbox.health").await;
    assert!(health.contains("verify the identity of EXPORTBOX_MAIL_FROM"), "{health}");
    let second = world.request(QUERY, ANN).await;
    world.drain().await;
    for id in [first, second] {
        assert_eq!((world.state(id).await.as_str(), world.stored(id).await), ("delivering", super::FILE.to_vec()));
    }
}

#[tokio::test]
async fn a_spent_daily_quota_burns_no_attempt() {
    let world = World::new().await;
    world.ses.set_max_24_hour_send(0.0);
    let id = world.request(QUERY, ANN).await;
    for _ in 0..3 {
        world.drain().await;
        world.let_time_pass().await;
    }
    assert_eq!(world.statuses(id).await, ["ann@example.com pending mail_throttled"]);
    assert_eq!(world.count("select attempt::bigint from exportbox.jobs where kind = 'delivery'").await, 0);
    world.ses.set_max_24_hour_send(1.0);
    world.complete(&[id]).await;
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_wrong_bucket_buries_no_mail() {
    let mut world = World::new().await;
    world.hold_deliveries().await;
    let id = world.request(QUERY, ANN).await;
    world.drain().await;
    world.let_deliveries_go().await;
    let right = std::mem::replace(&mut world.settings.bucket, "exports-typo".into());
    let (tally, left) = world.drain().await;
    assert_eq!((tally.mailed, tally.dead), (0, 0));
    assert!(left.on_hold.is_some(), "a missing bucket holds the mails");
    assert_eq!(world.statuses(id).await, ["ann@example.com pending store_config"]);
    world.settings.bucket = right;
    world.set_probes("now()").await;
    world.let_time_pass().await;
    world.complete(&[id]).await;
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted"]);
}

#[tokio::test]
async fn a_drain_with_a_small_budget_mails_too() {
    let world = World::new().await;
    let id = world.request(QUERY, ANN).await;
    for _ in 0..2 {
        let budget = exportbox::worker::Budget { max_jobs: Some(1), ..Default::default() };
        world.daemon().await.drain(budget, Default::default()).await.unwrap();
    }
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted"]);
}

#[tokio::test]
async fn an_outage_of_the_store_burns_no_attempt_and_is_asked_ever_less_often() {
    let world = World::new().await;
    let away = Action::error(500, "InternalError", "We encountered an internal error.");
    world.s3.faults().add(Rule::on("PutObject", away));
    let id = world.request(QUERY, ANN).await;
    for _ in 0..7 {
        world.drain().await;
        assert_eq!(world.state(id).await, "pending");
        world.let_time_pass().await;
    }
    let job = format!("select (attempt, leases)::text from {JOBS}");
    assert_eq!(world.text(&job).await, "(0,7)");
    world.drain().await;
    // The eighth delay of the class is 256 s, a quarter more or less.
    assert!(world.count("select extract(epoch from run_at - now())::bigint from exportbox.jobs").await > 150);
    world.let_time_pass().await;
    world.s3.faults().clear();
    world.complete(&[id]).await;
    assert_eq!(world.state(id).await, "completed");
}
