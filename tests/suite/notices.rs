//! Mails about failures: who is told what, once, and never one mail for each failure of a storm.

use std::time::Duration;

use chrono::DateTime;
use exportbox::job::{Note, StopReason};
use exportbox::message::notice::{Digest, DigestLine, FailedExport, Failures, compose_digest, compose_failures};
use exportbox::queue::Settled;
use exportbox::sandbox::{Action, Rule};
use exportbox::worker::NoticeOptions;
use uuid::Uuid;

use crate::harness::process::{code, stderr};
use crate::harness::{ReadMail, World};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const OPS: &str = "ops@example.com";
const MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

/// A world whose recipients and one operator are told of failures.
async fn telling() -> World {
    let mut world = World::new().await;
    world.settings.work.notices = NoticeOptions::new(true, MINUTES, [OPS.to_string()], HOUR);
    world
}

impl World {
    async fn notices(&self) -> Vec<String> {
        let lines = "select concat_ws(' ', kind, recipient, status) from exportbox.notices order by 1";
        self.admin.query(lines, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// A window later.
    async fn let_a_window_pass(&self) {
        let of_jobs = "run_at = run_at - interval '1 hour', lease_expires_at = lease_expires_at - interval '1 hour'";
        self.set_notices("planned_at = planned_at - interval '1 hour'", of_jobs).await;
    }

    /// What is over ended in the middle of the last full hour.
    async fn as_if_in_the_last_hour(&self) {
        self.set_jobs("finished_at = date_trunc('hour', now() - interval '30 seconds') - interval '30 minutes'", "finished_at is not null")
            .await;
    }
}

/// The references that a failure notice lists.
fn references(mail: &ReadMail) -> Vec<Uuid> {
    mail.text.lines().filter_map(|line| line.trim().strip_prefix("Reference:  export ")).map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn nobody_is_told_anything_unless_the_settings_say_so() {
    let world = World::new().await;
    world.request("select nonsense", &[ANN]).await;
    world.drain().await;
    world.as_if_in_the_last_hour().await;
    world.drain().await;
    assert_eq!((world.mails().len(), world.notices().await.len()), (0, 0));
}

#[tokio::test]
async fn each_recipient_of_an_export_that_died_is_told_in_plain_words_and_without_data() {
    let world = telling().await;
    let id = world
        .request_with(
            "select 'needle' as n, nonsense",
            &[ANN, "Ann@Example.com", BOB],
            "filename => 'haystack.csv', subject => 'Straw', message => 'Dry.'",
        )
        .await;
    let fine = world.request("select 1 as one", &[BOB]).await;
    let (tally, _) = world.drain().await;
    assert_eq!((tally.dead, tally.mailed), (1, 3));
    assert_eq!(world.state(fine).await, "completed");
    assert_eq!(world.mails_to(ANN).len(), 1);
    for mail in [&world.mails_to(ANN)[0], world.mails_to(BOB).iter().find(|mail| mail.links.is_empty()).unwrap()] {
        assert_eq!((mail.subject.as_str(), references(mail)), ("Your export could not be made", vec![id]));
        assert_eq!(
            (mail.headers["x-exportbox-export"].as_str(), mail.headers["auto-submitted"].as_str()),
            (id.to_string().as_str(), "auto-generated")
        );
        for body in [&mail.text, &mail.html] {
            assert!(body.contains("there is a mistake in how it was set up") && body.contains(&id.to_string()), "{body}");
            for data in ["needle", "nonsense", "haystack", "Straw", "Dry", "SQLSTATE", "42703", "select", "@", "canary"] {
                assert!(!body.contains(data), "{data} in {body}");
            }
        }
    }
    assert_eq!(world.notices().await, ["failure ann@example.com accepted", "failure bob@example.com accepted"]);
    // Told once.
    world.let_a_window_pass().await;
    world.drain().await;
    assert_eq!(world.mails().len(), 3);
}

#[tokio::test]
async fn a_storm_of_failures_is_one_mail_now_and_one_a_window_later_that_lists_the_rest() {
    let world = telling().await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(world.request("select nonsense", &[ANN]).await);
    }
    let (tally, _) = world.drain().await;
    assert_eq!((tally.dead, world.mails_to(ANN).len()), (30, 1));
    world.drain().await;
    assert_eq!(world.mails_to(ANN).len(), 1, "the window is not over");
    // Late ones are put into the mail that is collected already.
    for _ in 0..5 {
        ids.push(world.request("select nonsense", &[ANN]).await);
    }
    world.drain().await;
    world.let_a_window_pass().await;
    world.drain().await;
    let mails = world.mails_to(ANN);
    let mut told: Vec<Uuid> = mails.iter().flat_map(references).collect();
    told.sort();
    ids.sort();
    assert_eq!((mails.len(), told), (2, ids), "each once");
    assert!(
        mails[1].subject.ends_with("exports could not be made") && !mails[1].headers.contains_key("x-exportbox-export"),
        "{}",
        mails[1].subject
    );
}

#[tokio::test]
async fn what_was_requeued_before_its_notice_left_is_not_told() {
    let world = telling().await;
    let first = world.request("select nonsense", &[ANN]).await;
    world.drain().await;
    let second = world.request("select nonsense", &[ANN]).await;
    world.drain().await;
    world.requeue(second).await;
    world.set_jobs("run_at = now() + interval '1 day'", &format!("export_id = '{second}'")).await;
    world.let_a_window_pass().await;
    world.drain().await;
    assert_eq!(world.mails_to(ANN).iter().flat_map(references).collect::<Vec<_>>(), [first]);
    assert_eq!(world.notices().await, ["failure ann@example.com accepted", "failure ann@example.com cancelled"]);
    // Dead again, it is news again.
    world.let_time_pass().await;
    world.drain().await;
    world.let_a_window_pass().await;
    world.drain().await;
    assert_eq!(world.mails_to(ANN).iter().flat_map(references).collect::<Vec<_>>(), [first, second]);
}

#[tokio::test]
async fn processes_that_look_at_once_tell_each_recipient_once() {
    let mut world = World::new().await;
    let recipients: Vec<String> = (0..40).map(|n| format!("r{n}@example.com")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    for _ in 0..3 {
        world.request("select nonsense", &recipients).await;
    }
    world.drain().await;
    world.settings.work.notices = NoticeOptions::new(true, MINUTES, [OPS.to_string(), "Ops@Example.com".into()], HOUR);
    world.as_if_in_the_last_hour().await;
    // Still news, as failures go.
    world.set_jobs("noticed_at = null", "true").await;
    tokio::join!(world.drain(), world.drain(), world.drain(), world.drain());
    let mut told: Vec<String> = world.mails().iter().flat_map(|mail| mail.to.clone()).collect();
    told.sort();
    let mut expected: Vec<String> = recipients.iter().map(ToString::to_string).chain([OPS.into()]).collect();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(world.count("select count(*) from exportbox.notices where status <> 'accepted'").await, 0);
    world.sql("select pg_stat_clear_snapshot()").await;
    assert_eq!(world.count("select deadlocks from pg_stat_database where datname = current_database()").await, 0);
}

#[tokio::test]
async fn a_lost_reply_is_unknown_and_told_again_or_held_as_the_policy_says() {
    for hold in [false, true] {
        let mut world = telling().await;
        world.settings.policy.hold_unknown = hold;
        world.ses.faults().add(Rule::on("SendEmail", Action::CutReply).times(1));
        world.request("select nonsense", &[ANN]).await;
        world.drain().await;
        assert_eq!(world.notices().await, ["failure ann@example.com unknown"]);
        assert_eq!(world.count("select count(*) from exportbox.events where kind = 'unknown'").await, 1);
        world.let_a_window_pass().await;
        world.drain().await;
        assert_eq!(world.mails_to(ANN).len(), if hold { 1 } else { 2 });
        assert_eq!(world.notices().await, [format!("failure ann@example.com {}", if hold { "unknown" } else { "accepted" })]);
    }
}

#[tokio::test]
async fn a_notice_whose_worker_was_lost_is_taken_over_and_the_late_worker_writes_nothing() {
    for hold in [false, true] {
        let mut world = telling().await;
        world.settings.policy.hold_unknown = hold;
        world.request("select nonsense", &[ANN]).await;
        world.hold_deliveries().await;
        world.drain().await;
        assert_eq!(world.notices().await, ["failure ann@example.com pending"], "mails are on hold");
        world.let_deliveries_go().await;
        let queue = world.queue("one");
        let lost = world.claim("one", 0, 1).await.remove(0);
        queue.note(lost.token(), &Note::Sending).await.unwrap();
        world.drain().await;
        assert!(world.mails().is_empty(), "somebody else's for as long as its lease");
        world.let_a_window_pass().await;
        world.drain().await;
        world.let_back_offs_end().await;
        world.drain().await;
        assert_eq!(world.mails_to(ANN).len(), usize::from(!hold));
        let ended = world.notices().await;
        assert_eq!(ended, [format!("failure ann@example.com {}", if hold { "unknown" } else { "accepted" })]);
        assert_eq!(queue.settle(lost, StopReason::Cancelled.into()).await, Ok(Settled::LeaseLost), "its lease is gone");
        assert_eq!(world.notices().await, ended);
        assert_eq!(world.count("select count(*) from exportbox.events where kind = 'unknown'").await, 1);
    }
}

#[tokio::test]
async fn a_notice_that_is_refused_dies_and_one_that_a_setting_holds_up_waits_unburnt() {
    let world = telling().await;
    world
        .ses
        .faults()
        .add(Rule::on("SendEmail", Action::error(400, "MessageRejected", "No mail for ann@example.com.")).key_contains("ann@"));
    world.ses.faults().add(Rule::on("SendEmail", Action::error(400, "SendingPausedException", "Paused.")).key_contains("bob@"));
    world.request("select nonsense", &[ANN, BOB]).await;
    world.drain().await;
    assert_eq!(world.notices().await, ["failure ann@example.com rejected", "failure bob@example.com pending"]);
    let errors = world.text("select string_agg(concat(error, error_class), ' ') || (select string_agg(detail, ' ') from exportbox.events) from exportbox.notices").await;
    assert!(errors.contains("mail_rejected") && !errors.contains("ann@"), "{errors}");
    assert_eq!(world.count("select attempt::bigint from exportbox.jobs where export_id is null and state = 'pending'").await, 0, "unburnt");
    world.ses.faults().clear();
    world.let_time_pass().await;
    world.drain().await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (0, 1));
}

#[tokio::test]
async fn operators_get_a_digest_by_class_and_code_with_what_to_do_and_none_when_nothing_died() {
    let mut world = World::new().await;
    world.settings.work.notices = NoticeOptions::new(false, MINUTES, [OPS.to_string()], HOUR);
    world.request("select 1 as one", &[ANN]).await;
    world.drain().await;
    world.as_if_in_the_last_hour().await;
    world.drain().await;
    assert!(world.mails_to(OPS).is_empty() && world.notices().await.is_empty());
    world
        .ses
        .faults()
        .add(Rule::on("SendEmail", Action::error(400, "MessageRejected", "No mail for bob@example.com.")).key_contains("bob@"));
    for query in ["select needle", "select needle", "select 1/0", "select 1 as one"] {
        world.request(query, &[BOB]).await;
    }
    world.drain().await;
    assert!(world.mails_to(OPS).is_empty(), "its hour is not over");
    world.as_if_in_the_last_hour().await;
    world.drain().await;
    world.drain().await;
    let mails = world.mails_to(OPS);
    assert_eq!((mails.len(), mails[0].subject.as_str()), (1, "exportbox: 3 exports and 1 mail failed"));
    let text = &mails[0].text;
    for words in [
        "2 exports: query (42703)",
        "1 export: query (22012)",
        "1 mail: mail_rejected (MessageRejected)",
        "To do:  Request a corrected query",
        "First:",
        "exportbox dead",
    ] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
    assert!(!text.contains("needle") && !text.contains('@') && !text.contains("canary"), "{text}");
    assert!(world.mails_to(BOB).is_empty(), "recipients are told nothing here");
}

#[tokio::test]
async fn who_was_erased_is_told_nothing_and_is_in_no_notice() {
    let world = telling().await;
    world.request("select nonsense", &[ANN, BOB]).await;
    world.hold_deliveries().await;
    world.drain().await;
    world.operator().await.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    world.let_deliveries_go().await;
    world.drain().await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (0, 1));
    assert!(world.places_of(ANN).await.is_empty());
}

#[tokio::test]
async fn a_daemon_that_sleeps_tells_of_what_dies_and_stops_without_leaving_any_half_told() {
    let world = telling().await;
    let daemon = world.start().await;
    world.request("select nonsense", &[ANN]).await;
    world.until("select exists (select from exportbox.notices where status = 'accepted')").await;
    daemon.stop().await;
    assert_eq!((world.mails_to(ANN).len(), world.notices().await.len()), (1, 1));
}

#[tokio::test]
async fn the_settings_are_checked_and_no_address_of_theirs_is_repeated() {
    let world = World::new().await;
    for (name, value) in [
        ("EXPORTBOX_FAILURE_NOTICE", "everybody"),
        ("EXPORTBOX_OPERATORS", "ops"),
        ("EXPORTBOX_OPERATORS", "Eve <eve@example.com>"),
        ("EXPORTBOX_DIGEST_EVERY", "1s"),
        ("EXPORTBOX_FAILURE_WINDOW", "10d"),
    ] {
        let output = world.run_with(&["drain"], &[(name, value)]).await;
        let option = format!("--{}", name.trim_start_matches("EXPORTBOX_").to_lowercase().replace('_', "-"));
        assert_eq!(code(&output), 2, "{name}={value}");
        assert!(stderr(&output).contains(name) || stderr(&output).contains(&option), "{}", stderr(&output));
        assert!(!stderr(&output).contains("eve@"), "{}", stderr(&output));
    }
    world.request("select nonsense", &[ANN]).await;
    let told = world
        .run_with(&["drain"], &[("EXPORTBOX_FAILURE_NOTICE", "recipients"), ("EXPORTBOX_OPERATORS", "ops@example.com, b@example.com")])
        .await;
    assert_eq!((code(&told), world.mails_to(ANN).len()), (11, 1), "{}", stderr(&told));
}

fn at(text: &str) -> DateTime<chrono::Utc> {
    text.parse().unwrap()
}

fn assert_as_before(name: &str, body: &str) {
    insta::with_settings!({ snapshot_path => "snapshots", omit_expression => true }, { insta::assert_snapshot!(name, body) });
}

#[test]
fn notices_read_as_before_and_escape_what_they_name() {
    let export = |n, report: Option<&str>, class: &str| FailedExport {
        id: Uuid::from_u128(n),
        report: report.map(ToString::to_string),
        requested_at: at("2026-11-22T05:20:31Z"),
        error_class: class.into(),
    };
    let exports = vec![export(1, Some("<b>&sales"), "timeout"), export(2, None, "crashed")];
    let several = compose_failures(&Failures { exports, count: 60 });
    assert_eq!(several.subject, "60 exports could not be made");
    assert!(several.html.contains("&lt;b&gt;&amp;sales") && several.text.contains("<b>&sales"));
    assert_as_before("failure_text", &several.text);
    assert_as_before("failure_html", &several.html);
    let line = |kind: &str, class: &str, code: Option<&str>, jobs| DigestLine {
        kind: kind.into(),
        error_class: class.into(),
        code: code.map(ToString::to_string),
        jobs,
        oldest: at("2026-11-22T05:00:01Z"),
        newest: at("2026-11-22T05:59:59Z"),
        what_to_do: Some("Do <this> & that.".into()),
    };
    let lines = vec![line("export", "query", Some("42P01"), 1200), line("delivery", "mail_unknown", None, 1)];
    let digest = compose_digest(&Digest { from: at("2026-11-22T05:00:00Z"), until: at("2026-11-22T06:00:00Z"), lines });
    assert_eq!(digest.subject, "exportbox: 1,200 exports and 1 mail failed");
    assert!(digest.html.contains("Do &lt;this&gt; &amp; that."));
    assert_as_before("digest_text", &digest.text);
    assert_as_before("digest_html", &digest.html);
}
