//! The link in the mail: what it downloads, until when, and what cuts it short.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{FILE, QUERY};
use crate::harness::World;

#[tokio::test]
async fn the_link_downloads_the_file_under_its_name_and_type() {
    let world = World::new().await;
    let plain = world.request_with(QUERY, &["ann@example.com"], "filename => 'Umsätze März.csv'").await;
    let gzip = world.request_with(QUERY, &["bob@example.com"], "compression => 'gzip', format => 'jsonl'").await;
    world.complete(&[plain, gzip]).await;
    for (id, to, name, content_type) in [
        (plain, "ann@example.com", "filename*=UTF-8''Ums%C3%A4tze%20M%C3%A4rz.csv", "text/csv; charset=utf-8"),
        (gzip, "bob@example.com", "filename*=UTF-8''export.jsonl.gz", "application/gzip"),
    ] {
        let mail = world.mails_to(to).remove(0);
        assert_eq!(mail.links.len(), 1);
        assert!(mail.html.contains(&mail.links[0].replace('&', "&amp;")));
        let answer = reqwest::get(&mail.links[0]).await.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_string();
        let disposition = header("content-disposition");
        assert!(disposition.starts_with("attachment; filename=\"") && disposition.ends_with(name), "{disposition}");
        assert_eq!(header("content-type"), content_type);
        assert!(!answer.headers().contains_key("content-encoding"));
        assert_eq!(answer.bytes().await.unwrap(), world.stored(id).await);
    }
    assert_eq!(world.stored(plain).await, FILE);
}

/// The instant at which a signed link dies, as the link itself says.
fn dies_at(link: &str) -> DateTime<Utc> {
    let url = reqwest::Url::parse(link).unwrap();
    let part = |name: &str| url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned();
    let signed = chrono::NaiveDateTime::parse_from_str(&part("X-Amz-Date"), "%Y%m%dT%H%M%SZ").unwrap().and_utc();
    signed + TimeDelta::seconds(part("X-Amz-Expires").parse().unwrap())
}

/// Wish, what cuts it, and the life that is left.
async fn assert_told(world: &World, ttl: &str, cut_by: Option<&str>, life: Duration) {
    let id = world.request_with(QUERY, &["ann@example.com"], &format!("link_ttl => '{ttl}'")).await;
    world.complete(&[id]).await;
    let mail = world.mails_to("ann@example.com").pop().unwrap();
    let dies = dies_at(&mail.links[0]);
    let off = (dies - Utc::now()).num_seconds() - i64::try_from(life.as_secs()).unwrap();
    assert!((-20..=1).contains(&off), "off by {off} s");
    // The view, the mail and the link name the same instant.
    let row = world.row("select link_expires_at, link_cut_by from exportbox.deliveries where export_id = $1", &[&id]).await;
    assert_eq!((row.get::<_, DateTime<Utc>>(0), row.get::<_, Option<String>>(1).as_deref()), (dies, cut_by));
    assert!(mail.text.contains(&dies.format("until %-d %B %Y, %H:%M UTC").to_string()), "{}", mail.text);
    assert_eq!(mail.text.contains("The link ends earlier than asked for"), cut_by.is_some(), "{}", mail.text);
    let told = world.row("select count(*) from exportbox.events where export_id = $1 and kind = 'link_cut'", &[&id]).await;
    assert_eq!(told.get::<_, i64>(0), i64::from(cut_by.is_some()));
}

#[tokio::test]
async fn a_link_lives_as_long_as_asked_for() {
    let world = World::new().await;
    assert_told(&world, "2 minutes", None, Duration::from_secs(120)).await;
    assert_told(&world, "7 days", None, Duration::from_secs(7 * 86_400)).await;
}

#[tokio::test]
async fn a_link_that_dies_with_the_signing_credentials_says_so() {
    let mut world = World::new().await;
    world.sign_with_credentials_for(Duration::from_secs(1800));
    assert_told(&world, "1 hour", Some("credentials"), Duration::from_secs(1800)).await;
    assert_told(&world, "10 minutes", None, Duration::from_secs(600)).await;
}

#[tokio::test]
async fn a_link_that_dies_with_the_object_says_so() {
    let mut world = World::new().await;
    world.settings.object_life = Some(Duration::from_secs(2 * 86_400));
    assert_told(&world, "3 days", Some("object"), Duration::from_secs(2 * 86_400)).await;
    world.sign_with_credentials_for(Duration::from_secs(1800));
    assert_told(&world, "3 days", Some("credentials"), Duration::from_secs(1800)).await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_changed_is_not_mailed() {
    let world = World::new().await;
    for change in ["gone", "changed"] {
        world.hold_deliveries().await;
        let id = world.request(QUERY, &["ann@example.com"]).await;
        world.drain().await;
        let key = world.text(&format!("select key from exportbox.objects where export_id = '{id}'")).await;
        world.store().delete(&key).await.unwrap();
        if change == "changed" {
            let object = exportbox::store::NewObject { key, ..Default::default() };
            world.store().put(&object, "n\n".into(), crc32fast::hash(b"n\n")).await.unwrap();
        }
        world.let_deliveries_go().await;
        let (tally, _) = world.drain().await;
        assert_eq!((tally.mailed, tally.dead), (0, 1));
        assert_eq!(world.statuses(id).await, ["ann@example.com dead file_gone"]);
        let export = world.export(id).await;
        assert_eq!((&export["state"], &export["undelivered"]), (&"completed".into(), &1.into()));
    }
    assert_eq!(world.ses.faults().hits("SendEmail"), 0);
}
