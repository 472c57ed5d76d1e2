//! The health view: the last drain, connections, the mail quota.

use crate::harness::World;
use crate::harness::process::code;
use exportbox::sandbox::{Action, Rule};

#[tokio::test]
async fn health_says_when_a_drain_last_ended_and_how() {
    let world = World::new().await;
    let before = world.health().await;
    assert!(before["last_drain_at"].is_null() && before["last_drain"].is_null(), "{before}");
    let drained = async |arguments: &[&str], settings: &[(&str, &str)]| {
        let output = world.run_with(&[&["drain", "--json"], arguments].concat(), settings).await;
        let health = world.health().await;
        assert!(health["last_drain_at"].is_string());
        (code(&output), health["last_drain"].as_str().unwrap().to_string())
    };
    assert_eq!(drained(&[], &[]).await, (0, "drained".into()));
    for _ in 0..2 {
        world.request("select nonsense", &[]).await;
    }
    assert_eq!(drained(&["--max-jobs", "1"], &[]).await, (10, "budget".into()));
    assert_eq!(drained(&[], &[]).await, (11, "dead".into()));
    world.request("select 1", &[]).await;
    assert_eq!(drained(&[], &[("EXPORTBOX_BUCKET", "no-such-bucket")]).await, (2, "on_hold".into()));
    assert_eq!(world.count("select count(*) from exportbox.last_drain").await, 1, "one row, however many drains");
}

#[tokio::test]
async fn health_says_what_is_left_of_the_mail_quota_as_far_as_it_was_asked() {
    let world = World::new().await;
    world.drain().await;
    assert!(world.health().await["mail_quota_left"].is_null(), "an empty drain asks nobody");
    world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    let after_a_mail = world.health().await;
    let left = after_a_mail["mail_quota_left"].as_i64().unwrap();
    assert!(left > 0 && after_a_mail["mail_quota_asked_at"].is_string(), "{after_a_mail}");
    assert_eq!(world.count("select sent from exportbox.mail_quota").await, 1);
    // A run asks at its start.
    world.sql("delete from exportbox.mail_quota").await;
    let daemon = world.start().await;
    world.until("select mail_quota_left is not null from exportbox.health").await;
    daemon.stop().await;
    // No limit is no figure.
    world.sql("update exportbox.mail_quota set most_a_day = null").await;
    assert!(world.health().await["mail_quota_left"].is_null());
}

#[tokio::test]
async fn health_counts_the_connections_of_the_daemons_login_and_of_the_server() {
    let world = World::new().await;
    // Another world's daemon may come and go: at least this one's is there.
    let daemon = world.start().await;
    world.until("select login_connections >= 1 and server_connections >= login_connections from exportbox.health").await;
    let expected = "select current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
        - coalesce(current_setting('reserved_connections', true)::bigint, 0)";
    assert_eq!(world.health().await["server_connection_limit"], world.count(expected).await);
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_may_not_ask_for_the_quota_mails_all_the_same() {
    let world = World::new().await;
    let denied = Action::error(403, "AccessDeniedException", "User is not authorized to perform ses:GetAccount");
    world.ses.faults().add(Rule::on("GetAccount", denied));
    let id = world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    assert_eq!((world.state(id).await.as_str(), world.mails().len()), ("completed", 1));
    let health = world.health().await;
    assert!(health["mail_quota_left"].is_null() && health["last_drain"] == "drained", "{health}");
}
