//! What else a report says of its files: where they lie, which key encrypts them, how long they live, where the query runs.

use exportbox::database::DatabaseUrl;
use serde_json::json;

use crate::harness::World;

#[tokio::test]
async fn files_of_a_report_lie_under_its_prefix_and_losing_attempts_are_swept_there() {
    let world = World::new().await;
    world.sql("select exportbox.register_report('filed', 'select 1/exportbox.param(''n'')::int as n', '{\"n\": \"int\"}', 'app', prefix => 'shop/orders')").await;
    let id = world.request_report("filed", json!({"n": 1}), "").await;
    world.complete(&[id]).await;
    let key = world.manifest(id).await["key"].as_str().unwrap().to_string();
    assert!(key.starts_with(&format!("exports/shop/orders/{id}/")), "{key}");
    let dead = world.request_report("filed", json!({"n": 0}), "").await;
    world.drain().await;
    assert_eq!(world.death(dead).await.0, "query");
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn no_mail_promises_a_link_beyond_the_life_of_its_reports_files() {
    let mut world = World::new().await;
    world.settings.object_life = Some(std::time::Duration::from_secs(3 * 86_400));
    world.register("kept", "select 1 as n", ", object_life => '2 hours'").await;
    let more = ", recipients => '{ann@example.com}', link_ttl => '3 days'";
    let id = world.request_report("kept", json!({}), more).await;
    // The life is that of the version that the file was made with.
    world.register("kept", "select 1 as n", ", object_life => '5 minutes'").await;
    world.complete(&[id]).await;
    let told =
        "select link_cut_by = 'object' and link_expires_at - now() between '1 hour 58 minutes' and '2 hours' from exportbox.deliveries";
    assert!(world.row(told, &[]).await.get::<_, bool>(0));
}

#[tokio::test]
async fn the_servers_own_exporter_gets_the_key_or_is_passed_over_when_it_takes_none() {
    let world = World::with_aws_s3().await;
    let role = world.exporting_role("aws_s3");
    world
        .sql(&format!("select exportbox.register_report('sealed', 'select 1 as n', run_as => '{role}', kms_key => 'alias/reports')"))
        .await;
    // Without the key there is no row, and no export.
    world.answer_instead("select * from aws_s3.honest(query, bucket, file_path, region, options) where kms_key = 'alias/reports'").await;
    world.sql(&format!("grant execute on all functions in schema aws_s3 to {role}")).await;
    let id = world.request_report("sealed", json!({}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);

    world
        .sql(&format!(
            "drop function aws_s3.query_export_to_s3(text, text, text, text, text, text);
             create function aws_s3.query_export_to_s3(query text, bucket text, file_path text, region text default null, options text default null,
                 out rows_uploaded bigint, out files_uploaded bigint, out bytes_uploaded bigint)
             language sql as $$ select * from aws_s3.honest(query, bucket, file_path, region, options) $$;
             grant execute on all functions in schema aws_s3 to {role}"
        ))
        .await;
    let id = world.request_report("sealed", json!({}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["copy"]);
    // A report without a key is none the worse.
    world.sql(&format!("select exportbox.register_report('plain', 'select 1 as n', run_as => '{role}')")).await;
    let id = world.request_report("plain", json!({}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
}

#[tokio::test]
async fn an_export_waits_unburnt_for_a_daemon_that_knows_its_source() {
    let mut world = World::new().await;
    world.register("elsewhere", "select current_database() as d", ", source => 'replica'").await;
    let id = world.request_report("elsewhere", json!({}), "").await;
    world.drain().await;
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["error_class"]), (&"pending".into(), &"source_config".into()), "{export}");
    assert!(export["error"].as_str().unwrap().contains("EXPORTBOX_SOURCES"), "{export}");
    assert_eq!(world.count("select attempt::bigint from exportbox.jobs").await, 0, "no attempt is burnt");

    // Another database of the server, with the role's right to read its parameters.
    world.empty_database().await;
    let name = format!("empty_{}", world.database);
    let url = format!("{}/{name}", world.daemon_url().rsplit_once('/').unwrap().0);
    world.settings.named_sources = vec![("replica".into(), DatabaseUrl::parse(&url).unwrap())];
    world.set_jobs("run_at = now()", "true").await;
    world.complete(&[id]).await;
    assert_eq!(String::from_utf8(world.stored(id).await).unwrap(), format!("d\n{name}\n"));
}
