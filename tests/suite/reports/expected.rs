//! Whether a report would be exported in the database or streamed, and why: the same answer from every command and from doctor.

use exportbox::doctor::CheckStatus;
use exportbox::export::ExporterSetting;
use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::doctor::assert_found;
use crate::harness::process::{assert_gave_up, code, json, stdout};
use crate::harness::requests::refusal;

/// A world whose daemon may call aws_s3, with the report `items`, which its operator may seal. The second is the operator's URL.
async fn world_with_items() -> (World, String) {
    let world = World::with_sealed_reports().await;
    let (url, operator) = world.operators().await;
    world.sql(&format!("grant {} to operator_{}", world.reports(), world.database)).await;
    let register = "select exportbox.register_report('items', 'select n, word from public.item', run_as => $1)";
    operator.execute(register, &[&world.reports()]).await.unwrap();
    (world, url)
}

/// What `report show` says of it.
async fn shown(world: &World, url: &str, settings: &[(&str, &str)]) -> Value {
    let settings: Vec<(&str, &str)> = [("EXPORTBOX_DATABASE_URL", url)].iter().chain(settings).copied().collect();
    json(&world.run_with(&["report", "show", "items", "--json"], &settings).await)["export"].clone()
}

#[tokio::test]
async fn a_report_is_streamed_until_somebody_seals_it_and_every_command_says_so() {
    let (world, url) = world_with_items().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let said = async |arguments: &[&str]| stdout(&world.run_with(arguments, &as_operator).await);
    let file = world
        .file_of("items.toml", &format!("name = \"items\"\nrun_as = \"{}\"\nquery = \"select n, word from public.item\"", world.reports()));
    let file = file.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["report", "add", file],
        &["report", "show", "items"],
        &["report", "test", "items"],
        &["report", "test", file],
        &["report", "add", file, "--dry-run"],
    ];
    for command in commands {
        let told = said(command).await;
        assert!(told.contains("streamed: it is not sealed") && told.contains("exportbox report seal items"), "{command:?}: {told}");
    }
    assert!(said(&["report", "list"]).await.contains("streamed: not sealed"));
    assert_found(&world.doctor().await, "reports", CheckStatus::Warn, &["items streamed: it is not sealed", "exportbox report seal items"]);
    let id = world.request_report("items", json!({}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["copy"]);

    assert!(said(&["report", "seal", "items"]).await.contains("in the database: it is sealed; compressed files are streamed"));
    for command in commands {
        let told = said(command).await;
        assert!(told.contains("in the database: it is sealed; compressed files are streamed"), "{command:?}: {told}");
    }
    assert!(said(&["report", "list"]).await.contains("in the database: sealed"));
    assert_found(&world.doctor().await, "reports", CheckStatus::Ok, &["items in the database: it is sealed"]);
    let id = world.request_report("items", json!({}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);

    let expected = json!({"exporter": "aws_s3", "reason": "sealed", "sentence": "it is sealed", "what_to_do": null});
    for command in
        [&["report", "show", "items", "--json"][..], &["report", "test", "items", "--json"], &["report", "seal", "items", "--json"]]
    {
        assert_eq!(json(&world.run_with(command, &as_operator).await)["export"], expected, "{command:?}");
    }
    for command in [&["report", "list", "--json"][..], &["report", "add", file, "--json"]] {
        assert_eq!(json(&world.run_with(command, &as_operator).await)["reports"][0]["export"], expected, "{command:?}");
    }
}

#[tokio::test]
async fn what_keeps_a_report_from_the_database_is_named_with_what_to_do() {
    let (world, url) = world_with_items().await;
    let (daemon, reports) = (format!("{}_daemon", world.database), world.reports());
    let seal = "select exportbox.seal_report('items')";
    for (change, reason, to_do) in [
        ("grant create on schema public to public".to_string(), "open_schema", "revoke create on schema public from public"),
        (format!("revoke create on schema public from public; {seal}"), "sealed", ""),
        (format!("alter function exportbox.SEALED() owner to {daemon}"), "changed", "exportbox report seal items"),
        (seal.into(), "sealed", ""),
        (
            format!("revoke execute on all functions in schema aws_s3 from {daemon}, {0}_exporter", world.database),
            "login",
            "grant usage on schema aws_s3",
        ),
        (format!("grant usage on schema aws_s3 to {reports}; grant execute on all functions in schema aws_s3 to {reports}"), "role", ""),
        ("update exportbox.report set source = 'archive'".into(), "elsewhere", ""),
        ("update exportbox.report set source = 'default'; drop schema aws_s3 cascade".into(), "no_aws_s3", ""),
    ] {
        let sealed = world.text("select exportbox.sealed_name('items', 1)").await;
        world.sql(&change.replace("SEALED", &sealed)).await;
        let said = shown(&world, &url, &[]).await;
        assert_eq!(said["reason"], reason, "{change}: {said}");
        let in_database = ["sealed", "role"].contains(&reason);
        assert_eq!(said["exporter"], if in_database { "aws_s3" } else { "copy" }, "{change}: {said}");
        assert!(said["what_to_do"].as_str().unwrap_or_default().contains(to_do), "{change}: {said}");
        assert_eq!(said["what_to_do"].is_null(), to_do.is_empty(), "{change}: {said}");
    }
}

#[tokio::test]
async fn a_type_that_cannot_be_sealed_is_told_by_whoever_has_seen_the_columns() {
    let (world, url) = world_with_items().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    world.sql("create type public.mood as enum ('good')").await;
    let file = world.file_of(
        "moods.toml",
        &format!("name = \"moods\"\nrun_as = \"{}\"\nquery = \"select 'good'::public.mood as mood\"", world.reports()),
    );
    let file = file.to_str().unwrap();
    for command in [&["report", "add", file][..], &["report", "test", file], &["report", "test", "moods"]] {
        let told = stdout(&world.run_with(command, &as_operator).await);
        assert!(told.contains("type that is not built in") && told.contains("cast the column to text"), "{command:?}: {told}");
    }
    let refused = world.run_with(&["report", "seal", "moods"], &as_operator).await;
    assert_gave_up(&refused, 1, &["moods", "not built in"], "hunter2");
    assert_eq!(code(&world.run_with(&["report", "seal", "nothing"], &as_operator).await), 1);
}

#[tokio::test]
async fn the_settings_of_the_daemon_come_before_what_the_database_says() {
    let (mut world, url) = world_with_items().await;
    world.sql("select exportbox.seal_report('items')").await;
    for (settings, exporter, reason) in [
        (("EXPORTBOX_EXPORTER", "auto"), json!("aws_s3"), "sealed"),
        (("EXPORTBOX_EXPORTER", "copy"), json!("copy"), "setting"),
        (("EXPORTBOX_EXPORTER", "aws_s3"), json!("aws_s3"), "sealed"),
        (("AWS_REGION", ""), json!("copy"), "no_region"),
    ] {
        let said = shown(&world, &url, &[settings, ("AWS_EC2_METADATA_DISABLED", "true")]).await;
        assert_eq!((&said["exporter"], said["reason"].as_str()), (&exporter, Some(reason)), "{settings:?}");
    }
    world.settings.exporter = ExporterSetting::Copy;
    assert_found(&world.doctor().await, "reports", CheckStatus::Ok, &["items streamed: EXPORTBOX_EXPORTER is copy"]);
}

#[tokio::test]
async fn who_exports_a_report_is_for_readers_and_sealing_for_operators() {
    let (world, _) = world_with_items().await;
    let asked = "select reason from exportbox.exporter_of('items', 1)";
    assert_eq!(world.login("reader", &["exportbox_reader"]).await.query_one(asked, &[]).await.unwrap().get::<_, &str>(0), "not_sealed");
    assert_eq!(refusal(&world.app().await, asked).await.code, "42501");
    let reader = world.login("reader_who_seals", &["exportbox_reader", &world.reports()]).await;
    assert_eq!(refusal(&reader, "select exportbox.seal_report('items')").await.code, "42501");
}
