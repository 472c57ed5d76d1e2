//! Who gets a mail, when, and what it says.

use super::QUERY;
use crate::harness::World;

#[tokio::test]
async fn each_recipient_gets_one_mail_and_duplicates_collapse() {
    let world = World::new().await;
    let recipients = ["ann@example.com", "Ann@Example.COM", "bob@example.com", "ann@example.com", "BOB@example.com"];
    let id = world.request(QUERY, &recipients).await;
    let (tally, left) = world.drain().await;
    assert_eq!((tally.exported, tally.mailed, tally.dead, left.due), (1, 2, 0, 0));
    let mut to: Vec<String> = world.mails().into_iter().flat_map(|mail| mail.to).collect();
    to.sort();
    assert_eq!(to, ["ann@example.com", "bob@example.com"]);
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted", "bob@example.com accepted"]);
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["mails"], &export["undelivered"]), (&"completed".into(), &2.into(), &0.into()));
    let ids = "select bool_and(provider = 'ses' and message_id is not null and attempts = 1 and link_expires_at > now()) from exportbox.deliveries";
    assert!(world.row(ids, &[]).await.get::<_, bool>(0));
    for mail in world.mails() {
        let known = world.row("select count(*) from exportbox.deliveries where message_id = $1", &[&mail.id]).await;
        assert_eq!(known.get::<_, i64>(0), 1);
    }
}

#[tokio::test]
async fn without_recipients_the_file_is_all() {
    let world = World::new().await;
    let id = world.request(QUERY, &[]).await;
    world.complete(&[id]).await;
    assert_eq!(world.stored(id).await, super::FILE);
    assert_eq!((world.mails().len(), world.ses.faults().hits("SendEmail")), (0, 0));
    assert_eq!(world.statuses(id).await, [""; 0]);
}

#[tokio::test]
async fn the_mail_says_what_the_request_says() {
    let world = World::new().await;
    let more = "subject => 'Ihre Umsätze <März>', message => E'Guten Tag,\\n<b>5 & 6</b> {{ x }}', filename => 'Umsätze \"März\".csv'";
    let id = world.request_with(QUERY, &["ann@example.com"], more).await;
    world.complete(&[id]).await;
    let mail = world.mails_to("ann@example.com").remove(0);
    assert_eq!(mail.subject, "Ihre Umsätze <März>");
    let text = mail.text.replace("\r\n", "\n");
    let reference = format!("Reference: export {id}");
    for part in ["Umsätze _März_.csv is ready", "Guten Tag,\n<b>5 & 6</b> {{ x }}", "3 rows, 8 bytes", &reference] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(mail.html.contains("&lt;b&gt;5 &amp; 6&lt;&#x2f;b&gt;") || mail.html.contains("&lt;b&gt;5 &amp; 6&lt;/b&gt;"), "{}", mail.html);
    assert_eq!(mail.headers["x-exportbox-export"], id.to_string());
    let delivery = world.text("select id::text from exportbox.deliveries").await;
    assert_eq!(mail.headers["x-exportbox-delivery"], delivery);
    assert_eq!(mail.headers["from"], "Exports <exports@example.com>");
}

#[tokio::test]
async fn no_mail_exists_before_the_manifest_does() {
    // Whichever half of the statement fails, neither half is there.
    for table in ["object", "message"] {
        let world = World::new().await;
        let refuse = "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$";
        world.sql(&format!("{refuse}; create trigger refuse before insert on exportbox.{table} execute function public.refuse()")).await;
        let id = world.request(QUERY, &["ann@example.com"]).await;
        let (tally, _) = world.drain().await;
        assert_eq!((tally.exported, tally.mailed), (0, 0));
        assert_eq!(world.state(id).await, "running");
        let made = "select (select count(*) from exportbox.objects) + (select count(*) from exportbox.deliveries)";
        assert_eq!(world.count(made).await, 0);
        assert_eq!(world.ses.faults().hits("SendEmail"), 0);
        // Its lease runs out, and another attempt brings it to its end.
        world.sql(&format!("drop trigger refuse on exportbox.{table}")).await;
        world.let_leases_lapse().await;
        world.drain().await;
        world.let_time_pass().await;
        world.complete(&[id]).await;
        assert_eq!(world.mails().len(), 1);
        world.assert_store_is_clean().await;
    }
}

#[tokio::test]
async fn an_export_is_delivering_until_the_last_mail_is_final() {
    let world = World::new().await;
    world.hold_deliveries().await;
    let id = world.request(QUERY, &["ann@example.com", "bob@example.com"]).await;
    world.drain().await;
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["finished_at"], &export["mails"]), (&"delivering".into(), &serde_json::Value::Null, &2.into()));
    world.let_deliveries_go().await;
    let bob = format!("id = (select id from exportbox.deliveries where export_id = '{id}' and recipient = 'bob@example.com')");
    world.set_jobs("run_at = now() + interval '1 hour'", &bob).await;
    world.drain().await;
    assert_eq!((world.mails().len(), world.state(id).await.as_str()), (1, "delivering"));
    world.let_time_pass().await;
    world.complete(&[id]).await;
    assert_eq!(world.mails().len(), 2);
    assert!(world.export(id).await["finished_at"].is_string());
}
