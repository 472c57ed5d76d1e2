//! Erasing a person: what is stopped, what is removed, what is left, and when it is refused.

use exportbox::job::{Failure, FailureClass, Note, Verdict};
use exportbox::queue::Noted;

use crate::harness::process::{assert_gave_up, code, json, stdout};
use crate::harness::requests::refusal;
use crate::harness::{GATED, World};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";

#[tokio::test]
async fn files_made_for_an_erased_person_alone_leave_the_bucket_and_those_of_others_stay() {
    let world = World::new().await;
    let alone = world.request_with("select 1 as one", &[ANN], "filename => 'of ann@example.com.csv'").await;
    let shared = world.request("select 2 as two", &[BOB, ANN]).await;
    world.complete(&[alone, shared]).await;
    assert_eq!(world.s3.objects("exports").await.unwrap().len(), 2);
    let links: Vec<String> = world.mails_to(ANN).into_iter().chain(world.mails_to(BOB)).flat_map(|mail| mail.links).collect();
    let link_to = |id: uuid::Uuid| links.iter().find(|link| link.contains(&id.to_string())).unwrap();
    world.operator().await.execute("select exportbox.erase($1, 'ticket 4711')", &[&ANN]).await.unwrap();
    // Out of sight at once, out of the bucket with the next sweep.
    assert_eq!(world.count(&format!("select count(*) from exportbox.objects where export_id = '{alone}'")).await, 0);
    world.drain().await;
    let left = world.s3.objects("exports").await.unwrap();
    assert!(left.len() == 1 && left[0].0.contains(&shared.to_string()), "{left:?}");
    world.assert_store_is_clean().await;
    // A link that she has had already leads nowhere.
    let mut answers = Vec::new();
    for id in [alone, shared] {
        answers.push(reqwest::get(link_to(id)).await.unwrap().status().is_success());
    }
    assert_eq!(answers, [false, true]);
    // A key spells the address with other characters.
    assert_eq!(world.places_of("ann_example.com").await, Vec::<String>::new());
    let row = world
        .row("select address_hash = exportbox.address_hash('ANN@example.com'), reason, length(address_hash) from exportbox.erasure", &[]);
    let row = row.await;
    assert_eq!((row.get::<_, bool>(0), row.get::<_, &str>(1), row.get::<_, i32>(2)), (true, "ticket 4711", 64));
    // Whoever has the hash and not the key cannot try addresses.
    world.sql("update exportbox.privacy_key set key = 'another'").await;
    assert_eq!(
        world.count("select count(*) from exportbox.erasure where address_hash = exportbox.address_hash('ann@example.com')").await,
        0
    );
}

#[tokio::test]
async fn whoever_is_erased_gets_no_mail_that_waits_and_nobody_can_requeue_it() {
    let world = World::new().await;
    let (alone, shared) = (world.request("select 1 as one", &[ANN]).await, world.request("select 2 as two", &[BOB, ANN]).await);
    world.hold_deliveries().await;
    world.drain().await;
    let operator = world.operator().await;
    operator.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    for id in [alone, shared] {
        assert_eq!(operator.query_one("select exportbox.requeue($1)", &[&id]).await.unwrap().get::<_, i32>(0), 0);
    }
    world.let_deliveries_go().await;
    world.let_time_pass().await;
    world.drain().await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (0, 1));
    let shown = world.statuses(shared).await;
    assert!(shown.len() == 2 && shown[0].starts_with("bob@example.com accepted"), "{shown:?}");
    assert!(shown[1].starts_with("erased:") && shown[1].ends_with(" cancelled"), "{shown:?}");
    let reader = world.login("reader", &["exportbox_reader"]).await;
    let masked = "select string_agg(recipient, ' ' order by recipient) from exportbox.deliveries where export_id = $1";
    let masked = reader.query_one(masked, &[&shared]).await.unwrap();
    assert_eq!(masked.get::<_, &str>(0), "b***@example.com erased");
}

#[tokio::test]
async fn a_request_not_made_yet_that_is_for_or_about_an_erased_person_is_never_made() {
    let world = World::new().await;
    let for_her = world.request("select 1 as one", &[ANN]).await;
    let about_her =
        world.request_with("select exportbox.param('who') as who", &[BOB], &format!("params => '{{\"who\": \"{ANN}\"}}'")).await;
    let without_her = world.request("select 3 as three", &[BOB, ANN]).await;
    let operator = world.operator().await;
    operator.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    for id in [for_her, about_her] {
        assert_eq!(world.state(id).await, "cancelled");
        assert_eq!(operator.query_one("select exportbox.requeue($1)", &[&id]).await.unwrap().get::<_, i32>(0), 0);
    }
    world.complete(&[without_her]).await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (0, 1));
}

#[tokio::test]
async fn an_export_that_runs_for_an_erased_person_is_stopped_and_leaves_nothing() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[ANN]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    world.operator().await.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    world.until_state(id, "cancelled").await;
    gate.open().await;
    running.stop().await;
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn an_export_that_is_being_completed_while_a_recipient_is_erased_mails_the_others_only() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[BOB, ANN]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    let erasing = world.another_admin().await;
    erasing.batch_execute("begin").await.unwrap();
    erasing.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    gate.open().await;
    // The statement that queues the mails has begun, and waits for the job's row.
    world.until("select exists (select from pg_stat_activity where query like '-- name: complete_export%' and wait_event_type = 'Lock' and datname = current_database())").await;
    erasing.batch_execute("commit").await.unwrap();
    world.until_state(id, "completed").await;
    running.stop().await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (0, 1));
    assert_eq!(world.places_of(ANN).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_legal_hold_on_the_address_or_on_an_export_keeps_both_until_it_is_lifted() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[ANN, BOB]).await;
    world.complete(&[id]).await;
    let operator = world.operator().await;
    for (what, address) in [(format!("address => '{ANN}'"), ANN), (format!("export_id => '{id}'"), BOB)] {
        let hold: i64 = operator.query_one(&format!("select exportbox.place_legal_hold('case 7', {what})"), &[]).await.unwrap().get(0);
        let before = world.tables().await;
        let said = refusal(&operator, &format!("select exportbox.erase('{address}')")).await;
        assert_eq!(said.code, "EB071");
        assert!(said.message.contains("case 7") && !said.message.contains(address), "{said:?}");
        assert_eq!(world.tables().await, before);
        if what.starts_with("export_id") {
            assert_eq!(refusal(&world.admin, &format!("delete from exportbox.outbox where id = '{id}'")).await.code, "23503");
        }
        assert!(operator.query_one("select exportbox.lift_legal_hold($1)", &[&hold]).await.unwrap().get::<_, bool>(0));
        assert!(!operator.query_one("select exportbox.lift_legal_hold($1)", &[&hold]).await.unwrap().get::<_, bool>(0));
        operator.execute("select exportbox.erase($1)", &[&address]).await.unwrap();
        assert!(!world.places_of(address).await.contains(&"delivery.recipient".to_string()));
    }
    assert!(world.places_of(ANN).await.is_empty());
}

#[tokio::test]
async fn a_hold_that_is_being_placed_is_seen_by_an_erasure_that_has_begun() {
    let world = World::new().await;
    let (placing, erasing) = (world.another_admin().await, world.another_admin().await);
    placing.batch_execute("begin; select exportbox.place_legal_hold('case 7', address => 'ann@example.com')").await.unwrap();
    let erased = tokio::spawn(async move { refusal(&erasing, "select exportbox.erase('ann@example.com')").await });
    world.until("select exists (select from pg_stat_activity where query like '%exportbox.erase%' and wait_event_type = 'Lock' and datname = current_database())").await;
    placing.batch_execute("commit").await.unwrap();
    assert_eq!(erased.await.unwrap().code, "EB071");
}

#[tokio::test]
async fn what_is_said_of_a_held_export_is_held_with_it() {
    let world = World::new().await;
    let held = world.request("select 1 as one", &[BOB]).await;
    world.complete(&[held]).await;
    world.sql(&format!("select exportbox.place_legal_hold('case 8', export_id => '{held}')")).await;
    world.set_attempts("error_detail = 'Key (email)=(ann@example.com)'", "exporter is not null").await;
    assert_eq!(refusal(&world.admin, "select exportbox.erase('ann@example.com')").await.code, "EB071");
    assert_eq!(world.places_of(ANN).await, ["attempt.error_detail"]);
}

#[tokio::test]
async fn neither_hold_nor_erasure_is_decided_by_an_older_snapshot() {
    let world = World::new().await;
    let _ = world.request("select 1 as one", &[ANN]).await;
    for level in ["repeatable read", "serializable"] {
        for ask in [
            "select exportbox.erase('ann@example.com')",
            "select exportbox.place_legal_hold('case 9', address => 'ann@example.com')",
            "select exportbox.prune(completed => '1 day')",
        ] {
            let older = world.another_admin().await;
            older.batch_execute(&format!("begin isolation level {level}; select count(*) from exportbox.exports")).await.unwrap();
            assert_eq!(refusal(&older, ask).await.code, "EB072", "{level}: {ask}");
        }
    }
}

#[tokio::test]
async fn what_a_running_attempt_remembers_of_an_erased_person_is_not_written_again() {
    let world = World::new().await;
    let gate = world.gate().await;
    let named = world.request_with(GATED, &[BOB], "filename => 'of_ann@example.com.csv'").await;
    let running = world.start().await;
    world.until_at_gate(named).await;
    world.operator().await.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    gate.open().await;
    world.until_state(named, "cancelled").await;
    running.stop().await;
    assert_eq!(world.places_of(ANN).await, Vec::<String>::new());
    assert_eq!(world.count("select count(*) from exportbox.objects").await, 0);
}

/// Its lease is its own, and it has not heard of anything: what it writes is looked at where it is written.
#[tokio::test]
async fn what_a_worker_writes_that_has_heard_of_no_erasure_names_nobody() {
    for verdict in [Verdict::Retry, Verdict::Bury, Verdict::Postpone] {
        let world = World::new().await;
        world.request_with("select 1 as one", &[BOB], "filename => 'of_ann@example.com.csv'").await;
        let lease = world.claim("one", 1, 0).await.pop().unwrap();
        world.operator().await.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
        let queue = world.queue("one");
        let place = Note::Store { bucket: "exports".into(), key: "exports/of_ann_example.com.csv".into(), upload_id: None };
        assert_eq!(queue.note(lease.token(), &place).await, Ok(Noted::LeaseLost));
        let failure = Failure::new(FailureClass::Internal, verdict, "A test.").with_detail(format!("no room for of_{ANN}.csv"));
        queue.settle(lease, failure.into()).await.unwrap();
        for spelling in [ANN, "ann_example.com"] {
            assert_eq!(world.places_of(spelling).await, Vec::<String>::new(), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn only_operators_erase_and_a_dry_run_changes_nothing() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[ANN]).await;
    world.complete(&[id]).await;
    for role in ["exportbox_requester", "exportbox_adhoc", "exportbox_reader", "exportbox_worker"] {
        let client = world.login(&role.replace("exportbox_", "mere_"), &[role]).await;
        for call in [
            "erase('ann@example.com')",
            "place_legal_hold('x', address => 'ann@example.com')",
            "lift_legal_hold(1)",
            "address_hash('ann@example.com')",
        ] {
            assert_eq!(refusal(&client, &format!("select exportbox.{call}")).await.code, "42501", "{role} {call}");
        }
    }
    let operator = world.operator().await;
    let before = world.tables().await;
    let said: serde_json::Value = operator.query_one("select exportbox.erase($1, dry_run => true)", &[&ANN]).await.unwrap().get(0);
    assert_eq!((&said["requests"], &said["objects"], said.get("erasure")), (&1.into(), &1.into(), None), "{said}");
    assert_eq!((world.tables().await, world.count("select count(*) from exportbox.erasure").await), (before, 0));
    for wrong in ["''", "'ann'", "null", "'two@example.com addresses@example.com'", "'ann@example.com', 'for ann@example.com'"] {
        let said = refusal(&operator, &format!("select exportbox.erase({wrong})")).await;
        assert!(said.code == "EB011" || said.code == "EB072", "{said:?}");
        assert!(!said.message.contains('@'), "an address in the server's log: {said:?}");
    }
}

#[tokio::test]
async fn the_command_erases_says_what_it_touched_and_takes_the_address_from_standard_input() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[ANN]).await;
    world.complete(&[id]).await;
    world.operator().await;
    let name = format!("operator_{}", world.database);
    let url = crate::harness::postgres().url(&name, &name, &world.database);
    let settings = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let dry = world.run_with(&["erase", ANN, "--dry-run"], &settings).await;
    assert_eq!(code(&dry), 0);
    assert!(stdout(&dry).starts_with("would be erased from 1 request and 1 mail; 0 jobs cancelled"), "{}", stdout(&dry));
    assert_gave_up(&world.run_with(&["erase", "ann"], &settings).await, 1, &["not an e-mail address"], &name);
    let done = json(&world.run_fed(&["erase", "-", "--json", "--reason", "ticket 1"], &settings, "ann@example.com\n").await);
    assert_eq!((&done["requests"], &done["deliveries"], &done["dry_run"]), (&1.into(), &1.into(), &false.into()), "{done}");
    assert!(world.places_of(ANN).await.is_empty());
    assert_eq!(code(&world.run(&["erase", ANN]).await), 2, "the daemon's login is no operator");
}
