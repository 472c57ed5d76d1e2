//! A new link without a new export: who gets it, when it is refused, and that the file is looked at before.

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::process::{code, json, stderr, stdout};
use crate::harness::requests::{Refusal, refusal};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";

async fn relink(client: &Client, id: Uuid, to: Option<&str>) -> i32 {
    client.query_one("select exportbox.relink($1, $2)", &[&id, &to]).await.unwrap().get(0)
}

async fn refused(client: &Client, id: Uuid, to: &str) -> Refusal {
    refusal(client, &format!("select exportbox.relink('{id}'{to})")).await
}

#[tokio::test]
async fn every_recipient_gets_a_new_link_that_works_and_nothing_is_exported_again() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[ANN, BOB]).await;
    world.complete(&[id]).await;
    // Its requester may.
    let app = world.app().await;
    assert_eq!(relink(&app, id, None).await, 2);
    assert_eq!(world.state(id).await, "delivering");
    world.complete(&[id]).await;
    let mails = world.mails_to(ANN);
    assert_eq!((mails.len(), world.mails_to(BOB).len()), (2, 2));
    let deliveries = [&mails[0], &mails[1]].map(|mail| mail.headers["x-exportbox-delivery"].clone());
    assert_ne!(deliveries[0], deliveries[1]);
    for mail in &mails {
        assert_eq!(reqwest::get(&mail.links[0]).await.unwrap().bytes().await.unwrap(), "one\r\n1\r\n".replace("\r\n", "\n"));
    }
    assert_eq!(world.count("select attempts::bigint from exportbox.exports").await, 1);
    let line = "select actor || ' ' || detail from exportbox.events where kind = 'relinked'";
    assert_eq!(world.text(line).await, "app 2 mails");
    assert_eq!(relink(&app, id, Some("BOB@example.com")).await, 1, "whatever its case");
    world.complete(&[id]).await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (2, 3));
}

#[tokio::test]
async fn a_mail_that_failed_has_a_fresh_start_and_counts_as_undelivered_no_more() {
    let world = World::new().await;
    let rejected = exportbox::sandbox::Action::error(400, "MessageRejected", "No.");
    world.ses.faults().add(exportbox::sandbox::Rule::on("SendEmail", rejected).key_contains("bob@"));
    let id = world.request("select 1 as one", &[ANN, BOB]).await;
    world.drain().await;
    assert_eq!(world.export(id).await["undelivered"], 1);
    world.ses.faults().clear();
    assert_eq!(relink(&world.app().await, id, Some(BOB)).await, 1);
    world.complete(&[id]).await;
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted", "bob@example.com accepted"]);
    assert_eq!(world.export(id).await["undelivered"], 0);
}

#[tokio::test]
async fn it_is_refused_where_there_is_no_file_or_nobody_to_send_it_to() {
    let world = World::new().await;
    let app = world.app().await;
    let (pending, later) = (world.request("select 1", &[ANN]).await, "run_at => now() + interval '1 day'");
    world.set_jobs(&later.replace("=>", "="), &format!("export_id = '{pending}'")).await;
    let dead = world.request("select nonsense", &[ANN]).await;
    let (gone, alone, open) =
        (world.request("select 2", &[ANN]).await, world.request("select 3", &[]).await, world.request("select 4", &[ANN]).await);
    let register = "select exportbox.register_report('brief', 'select 5 as five', run_as => 'app', object_life => '1 hour')";
    world.sql(register).await;
    let old = world.request_report("brief", json!({}), &format!(", recipients => '{{{ANN}}}'")).await;
    world.drain().await;
    world.forget_objects(gone).await;
    world.set_objects(old, "created_at = now() - interval '59 minutes 30 seconds'").await;
    world.hold_deliveries().await;
    assert_eq!(relink(&app, open, None).await, 1);
    for (id, code, words) in [
        (pending, "EB092", "is pending"),
        (dead, "EB092", "is dead"),
        (gone, "EB092", "removed"),
        (old, "EB092", "end of its life"),
        (alone, "EB092", "no recipient"),
        (open, "EB092", "no recipient"),
        (Uuid::new_v4(), "EB061", "not yours"),
    ] {
        let said = refused(&app, id, "").await;
        assert!(said.code == code && said.message.contains(words) && !said.hint.is_empty(), "{id} {said:?}");
    }
    let other = world.login("other", &["exportbox_requester"]).await;
    assert_eq!(refused(&other, open, "").await.code, "EB061");
    world.let_deliveries_go().await;
    world.complete(&[open]).await;
    for _ in 0..4 {
        relink(&app, open, None).await;
        world.complete(&[open]).await;
    }
    let said = refused(&app, open, "").await;
    assert!(said.code == "EB093" && said.message.contains("five times"), "{said:?}");
    assert_eq!(refused(&world.operator().await, open, "").await.code, "EB093");
    assert_eq!(world.mails_to(ANN).len(), 3 + 5, "three exports, and one of them relinked five times");
}

#[tokio::test]
async fn another_address_is_for_operators_and_for_domains_that_the_report_allows() {
    let world = World::new().await;
    let (app, operator) = (world.app().await, world.operator().await);
    let register = "select exportbox.register_report('sales', 'select 1 as one', run_as => 'app', recipient_domains => '{example.com}')";
    world.sql(register).await;
    let id = world.request_report("sales", json!({}), &format!(", recipients => '{{{ANN}}}'")).await;
    let adhoc = world.request("select 1 as one", &[ANN]).await;
    world.complete(&[id, adhoc]).await;
    for (client, id, to, code) in [
        (&app, id, BOB, "EB094"),
        (&operator, adhoc, BOB, "EB094"),
        (&operator, id, "bob@elsewhere.example", "EB012"),
        (&operator, id, "bob", "EB011"),
        (&operator, id, "bob@example.com, eve@example.com", "EB011"),
        (&operator, id, "bob@example.com\r\nBcc: eve@example.com", "EB011"),
    ] {
        let said = refused(client, id, &format!(", '{to}'")).await;
        assert_eq!(said.code, code, "{to}: {said:?}");
        assert!(!said.message.contains("bob") && !said.hint.contains("bob"), "{said:?}");
    }
    assert_eq!(relink(&operator, id, Some(BOB)).await, 1);
    world.complete(&[id]).await;
    assert_eq!(world.mails_to(BOB).len(), 1);
    assert!(world.text("select detail from exportbox.events where kind = 'relinked'").await.contains("does not name"));
    // Erased, it is nobody's to name again for this export.
    operator.execute("select exportbox.erase($1)", &[&BOB]).await.unwrap();
    assert_eq!(refused(&operator, id, &format!(", '{BOB}'")).await.code, "EB094");
    operator.execute("select exportbox.erase($1)", &[&ANN]).await.unwrap();
    assert_eq!(refused(&operator, id, "").await.code, "EB092");
    assert!(world.places_of(BOB).await.is_empty());
}

#[tokio::test]
async fn no_link_is_mailed_to_a_file_that_is_gone_from_the_bucket() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[ANN]).await;
    world.complete(&[id]).await;
    let key = world.text("select key from exportbox.objects").await;
    world.store().delete(&key).await.unwrap();
    assert_eq!(relink(&world.app().await, id, None).await, 1);
    let (tally, _) = world.drain().await;
    assert_eq!((tally.mailed, tally.dead, world.mails_to(ANN).len()), (0, 1, 1));
    let shown = "select error_class || ': ' || what_to_do from exportbox.dead";
    assert_eq!(world.text(shown).await, "file_gone: Request the export again.");
}

#[tokio::test]
async fn the_command_relinks_says_how_many_and_takes_an_address_from_standard_input() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[ANN, BOB]).await;
    world.complete(&[id]).await;
    let text = id.to_string();
    let done = world.run(&["relink", &text]).await;
    assert_eq!((code(&done), stdout(&done).contains("2 mails with a new link")), (0, true), "{}", stderr(&done));
    world.complete(&[id]).await;
    let done = json(&world.run_fed(&["relink", &text, "--to", "-", "--json"], &[], "bob@example.com\n").await);
    assert_eq!(done, json!({"id": text, "mails": 1}));
    world.complete(&[id]).await;
    assert_eq!((world.mails_to(ANN).len(), world.mails_to(BOB).len()), (2, 3));
    let stranger = world.run(&["relink", &text, "--to", "eve@example.com"]).await;
    assert_eq!(code(&stranger), 1);
    assert!(stderr(&stranger).contains("no recipient of export") && !stderr(&stranger).contains("eve@"), "{}", stderr(&stranger));
}
