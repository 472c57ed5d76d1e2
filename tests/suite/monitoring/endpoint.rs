//! The real program with `EXPORTBOX_HTTP`.

use exportbox::metrics::{METRICS, MetricKind};
use exportbox::queue::{FreeSlots, Scan};

use crate::harness::canary::leak_in;
use crate::harness::process::{assert_gave_up, signal};
use crate::harness::proxy::Proxy;
use crate::harness::{GATED, World, postgres};

const EXPORT: (&str, &str) = ("kind", "export");
const DELIVERY: (&str, &str) = ("kind", "delivery");

#[tokio::test]
async fn every_metric_is_shown_from_the_start_with_every_value_of_its_labels() {
    let world = World::new().await;
    let watched = world.watched(&[]).await;
    let page = watched.until_metric("exportbox_slots", &[EXPORT], 4.0).await;
    let names: Vec<String> = page.declared().into_iter().collect();
    let mut expected: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected, "{}", page.0);
    for metric in METRICS {
        let expected: usize = metric.labels.iter().map(|(_, values)| values.len()).product();
        let counted = if metric.kind == MetricKind::Histogram { format!("{}_count", metric.name) } else { metric.name.to_string() };
        let shown = page.series().filter(|(name, ..)| *name == counted).count();
        assert_eq!(shown, expected, "{}: {}", metric.name, page.0);
    }
    assert!(page.series().count() < 250, "{} series", page.series().count());
    assert_eq!(page.of("exportbox_database_up", &[]), Some(1.0));
}

#[tokio::test]
async fn an_export_and_its_mails_are_counted() {
    let world = World::new().await;
    let watched = world.watched(&[("EXPORTBOX_HEARTBEAT", "100ms")]).await;
    let gate = world.gate().await;
    let id = world.request(&format!("{GATED} union all select generate_series(1, 41)"), &["ann@example.com", "bob@example.com"]).await;
    world.until_at_gate(id).await;
    let page = watched.until_metric("exportbox_jobs", &[EXPORT, ("state", "running")], 1.0).await;
    assert_eq!(page.of("exportbox_busy_slots", &[EXPORT]), Some(1.0));
    gate.open().await;
    world.until_state(id, "completed").await;
    // It counts what is written.
    let page = watched.until_metric("exportbox_mails_total", &[("status", "accepted")], 2.0).await;
    for (name, labels, value) in [
        ("exportbox_claimed_jobs_total", vec![EXPORT], 1.0),
        ("exportbox_claimed_jobs_total", vec![DELIVERY], 2.0),
        ("exportbox_attempts_total", vec![EXPORT, ("outcome", "completed")], 1.0),
        ("exportbox_attempts_total", vec![DELIVERY, ("outcome", "completed")], 2.0),
        ("exportbox_attempt_duration_seconds_count", vec![EXPORT], 1.0),
        ("exportbox_export_size_rows_sum", vec![], 42.0),
        ("exportbox_export_size_bytes_count", vec![], 1.0),
    ] {
        assert_eq!(page.of(name, &labels), Some(value), "{name} {labels:?}: {}", page.0);
    }
    assert!(page.of("exportbox_heartbeats_total", &[("outcome", "landed")]) > Some(0.0), "{}", page.0);
    watched.until_metric("exportbox_busy_slots", &[EXPORT], 0.0).await;
}

#[tokio::test]
async fn what_fails_is_counted_by_its_class_and_what_the_provider_said() {
    use exportbox::sandbox::{Action, Rule};
    let world = World::new().await;
    world.ses.faults().add(Rule::on("SendEmail", Action::error(400, "MessageRejected", "Spam.")).times(1));
    let watched = world.watched(&[]).await;
    world.request("select no_such_column", &[]).await;
    world.request("select 1 as one", &["ann@example.com"]).await;
    let page = watched.until_metric("exportbox_mails_total", &[("status", "rejected")], 1.0).await;
    assert_eq!(page.of("exportbox_failures_total", &[DELIVERY, ("class", "mail_rejected")]), Some(1.0));
    let page = watched.until_metric("exportbox_failures_total", &[EXPORT, ("class", "query")], 1.0).await;
    assert_eq!(page.of("exportbox_attempts_total", &[EXPORT, ("outcome", "dead")]), Some(1.0), "{}", page.0);
    watched.until_metric("exportbox_jobs", &[EXPORT, ("state", "dead")], 1.0).await;
}

#[tokio::test]
async fn what_waits_is_shown_with_its_age_and_its_hold() {
    let world = World::new().await;
    world.hold("message", "mail_config", "Planted.", "null").await;
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    world.request_with("select 2 as two", &[], "run_at => now() + interval '1 day'").await;
    let watched = world.watched(&[]).await;
    world.until_state(id, "delivering").await;
    world.set_jobs("run_at = now() - interval '1 hour'", "kind = 'message'").await;
    let page = watched.until_metric("exportbox_jobs", &[DELIVERY, ("state", "due")], 1.0).await;
    assert_eq!(page.of("exportbox_jobs", &[EXPORT, ("state", "waiting")]), Some(1.0), "{}", page.0);
    assert_eq!((page.of("exportbox_on_hold", &[DELIVERY]), page.of("exportbox_on_hold", &[EXPORT])), (Some(1.0), Some(0.0)));
    assert_eq!((page.of("exportbox_workers", &[]), page.of("exportbox_oldest_due_age_seconds", &[EXPORT])), (Some(1.0), Some(0.0)));
    // A page may be a few seconds old.
    let aged = |age: Option<f64>| age.is_some_and(|age| (3600.0..7200.0).contains(&age));
    while !aged(watched.metrics().await.of("exportbox_oldest_due_age_seconds", &[DELIVERY])) {
        tokio::task::yield_now().await;
    }
    // More processes would not start what somebody has paused.
    world.pause("deliveries").await;
    let page = watched.until_metric("exportbox_jobs", &[DELIVERY, ("state", "due")], 0.0).await;
    assert_eq!(page.of("exportbox_oldest_due_age_seconds", &[DELIVERY]), Some(0.0), "{}", page.0);
}

#[tokio::test]
async fn while_the_database_is_away_the_page_says_so_and_the_counters_go_on() {
    let world = World::new().await;
    let proxy = Proxy::start(postgres().port()).await;
    let url = proxy.url(&world.daemon_url());
    let watched = world.watched(&[("EXPORTBOX_DATABASE_URL", url.as_str())]).await;
    watched.until_metric("exportbox_database_up", &[], 1.0).await;
    assert_eq!(watched.page("/ready").await.0, 200);
    proxy.refuse("57P03");
    let page = watched.until_metric("exportbox_database_up", &[], 0.0).await;
    assert!(page.declared().contains("exportbox_claimed_jobs_total"));
    for metric in METRICS.iter().filter(|metric| metric.is_of_tables) {
        assert!(!page.declared().contains(metric.name), "{} is shown though nobody knows it", metric.name);
    }
    assert_eq!((watched.page("/health").await.0, watched.page("/ready").await.0), (200, 503));
    proxy.resume();
    watched.until_metric("exportbox_database_up", &[], 1.0).await;
    assert_eq!(watched.page("/ready").await.0, 200);
}

#[tokio::test]
async fn a_process_that_stops_is_alive_and_not_ready() {
    let world = World::new().await;
    let gate = world.gate().await;
    let mut watched = world.watched(&[]).await;
    let id = world.request(GATED, &[]).await;
    world.until_at_gate(id).await;
    signal(&watched.logged.child, "TERM").await;
    watched.logged.until_said("stopping").await;
    assert_eq!((watched.page("/health").await.0, watched.page("/ready").await), (200, (503, "stopping\n".to_string())));
    gate.open().await;
    assert!(watched.logged.child.wait().await.unwrap().success());
}

#[tokio::test]
async fn an_address_that_nobody_can_listen_on_is_2_and_its_setting_is_named() {
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [taken.local_addr().unwrap().to_string(), "nonsense".into(), "203.0.113.1:9187".into()] {
        let output = world.run_with(&["run"], &[("EXPORTBOX_HTTP", &address)]).await;
        assert_gave_up(&output, 2, &["EXPORTBOX_HTTP", "address:port"], "hunter2");
    }
}

#[tokio::test]
async fn no_page_says_anything_of_a_request() {
    let world = World::new().await;
    let watched = world.watched(&[]).await;
    let id = world.request_canaries("select 'canary-7431' as one").await;
    world.request_canaries("select 'canary-7431'::int as one").await;
    world.until_state(id, "completed").await;
    let page = watched.until_metric("exportbox_jobs", &[EXPORT, ("state", "dead")], 1.0).await;
    for text in [page.0, watched.page("/ready").await.1, watched.page("/health").await.1] {
        assert_eq!(leak_in(&text), None);
        assert!(!text.contains(&id.to_string()), "an id is a series of its own: {text}");
    }
}

#[tokio::test]
async fn what_is_taken_back_from_a_lost_worker_and_what_is_too_late_is_counted() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[]).await;
    assert_eq!(world.queue("lost").cycle(FreeSlots { exports: 1, messages: 0 }, Scan::Full).await.unwrap().leases.len(), 1);
    world.let_leases_lapse().await;
    world.request_with("select 2 as two", &[], "run_at => now() + interval '1 hour', not_after => now() + interval '2 hours'").await;
    world.set_jobs("not_after = now() - interval '1 s'", "not_after is not null").await;
    let watched = world.watched(&[]).await;
    let page = watched.until_metric("exportbox_reaped_jobs_total", &[("state", "pending")], 1.0).await;
    assert_eq!(page.of("exportbox_reaped_jobs_total", &[("state", "dead")]), Some(0.0));
    watched.until_metric("exportbox_expired_jobs_total", &[], 1.0).await;
    world.let_back_offs_end().await;
    world.until_state(id, "completed").await;
}

#[tokio::test]
async fn a_process_that_cannot_beat_counts_what_it_misses_and_what_it_loses() {
    let world = World::new().await;
    let proxy = Proxy::start(postgres().port()).await;
    let (outbox, source) = (proxy.url(&world.daemon_url()), world.daemon_url());
    let settings = [
        ("EXPORTBOX_DATABASE_URL", outbox.as_str()),
        ("EXPORTBOX_SOURCE_URL", source.as_str()),
        ("EXPORTBOX_LEASE", "3s"),
        ("EXPORTBOX_HEARTBEAT", "200ms"),
        ("EXPORTBOX_POLL", "200ms"),
    ];
    let watched = world.watched(&settings).await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    world.until_at_gate(id).await;
    proxy.refuse("57P03");
    let page = watched.until_metric("exportbox_lost_leases_total", &[], 1.0).await;
    assert!(page.of("exportbox_heartbeats_total", &[("outcome", "missed")]) > Some(0.0), "{}", page.0);
    while watched.metrics().await.of("exportbox_database_errors_total", &[]) == Some(0.0) {
        tokio::task::yield_now().await;
    }
    proxy.resume();
    gate.open().await;
    world.until_state(id, "pending").await;
    world.let_back_offs_end().await;
    world.until_state(id, "completed").await;
    let page = watched.until_metric("exportbox_attempts_total", &[EXPORT, ("outcome", "completed")], 1.0).await;
    assert_eq!(page.of("exportbox_attempts_total", &[EXPORT, ("outcome", "lease_lost")]), Some(1.0), "{}", page.0);
}
