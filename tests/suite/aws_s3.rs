//! The in-database exporter through the whole daemon: when it is taken, that its files are found and verified, and that nothing is left.

use exportbox::export::ExporterSetting;
use exportbox::sandbox::{Action, Rule};

use crate::harness::World;
use crate::harness::process::{code, stderr};

const QUERY: &str =
    "select n, 'row \"' || n || E'\",\\n' || repeat('x', 40) as text, null::int as nothing from generate_series(1, 3000) as n";
const CSV: &str = "format csv, header true";
const ANN: &[&str] = &["ann@example.com"];

#[tokio::test]
async fn auto_takes_it_only_where_the_role_the_server_and_the_format_allow_it() {
    let world = World::with_aws_s3().await;
    let plain = world.request(QUERY, &[]).await;
    let gzip = world.request_with(QUERY, &[], "compression => 'gzip'").await;
    let app = world.app().await;
    let call = "select exportbox.request_export(query => $1)";
    let of_another_role = app.query_one(call, &[&QUERY]).await.unwrap().get(0);
    world.complete(&[plain, gzip, of_another_role]).await;
    assert_eq!(world.exporters(plain).await, ["aws_s3"]);
    assert_eq!(world.exporters(gzip).await, ["copy"]);
    assert_eq!(world.exporters(of_another_role).await, ["copy"]);
    assert_eq!(world.stored(plain).await, world.stored(of_another_role).await);

    let without = World::new().await;
    let id = without.request(QUERY, &[]).await;
    without.complete(&[id]).await;
    assert_eq!(without.exporters(id).await, ["copy"]);
}

#[tokio::test]
async fn its_files_are_what_copy_gives() {
    let world = World::with_aws_s3().await;
    let text = "select E'\\\\.' as a, E'a\\tb\\nc' as b, '' as c, null as d, 'Größe 🎉' as e, E'\\\\' as f";
    let odd =
        r##"format_options => '{"delimiter": ";", "null": "\\N", "quote": "''", "escape": "#", "force_quote": "*", "header": false}'"##;
    let odd_copy = r"format csv, header false, delimiter ';', null '\N', quote '''', escape '#', force_quote *";
    let mut requests = Vec::new();
    for query in [QUERY, text, "select 1 as a where false", "select 1 as a -- the end"] {
        for (more, copy) in [("", CSV), (odd, odd_copy), ("format => 'text'", "format text")] {
            requests.push((query, copy, world.request_with(query, &[], more).await));
        }
    }
    let ids: Vec<_> = requests.iter().map(|(.., id)| *id).collect();
    world.complete(&ids).await;
    for (query, copy, id) in requests {
        assert_eq!(world.exporters(id).await, ["aws_s3"]);
        let (stored, expected) = (world.stored(id).await, world.copy(query, copy).await);
        assert!(stored == expected, "{query}, {copy}:\n{}\n{}", String::from_utf8_lossy(&stored), String::from_utf8_lossy(&expected));
        assert_eq!(world.export(id).await["bytes"], expected.len());
    }
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn json_lines_the_formula_guard_and_parameters_work_inside_the_database_too() {
    let world = World::with_aws_s3().await;
    let injection = "x'; drop table item; -- \\' \" %s\n) to program 'touch X' --";
    let params = serde_json::json!({"a": injection}).to_string().replace('\'', "''");
    let query = "select exportbox.param('a') as a, exportbox.param('missing') is null as missing, '{\"b\":\n1}'::json as c";
    let id = world.request_with(query, &[], &format!("format => 'jsonl', params => '{params}'")).await;
    let guarded = world.request("select '=1+1' as \"=a\", -1 as b", ANN).await;
    world.complete(&[id, guarded]).await;
    let row: serde_json::Value = serde_json::from_slice(&world.stored(id).await).unwrap();
    assert_eq!(row, serde_json::json!({"a": injection, "missing": true, "c": {"b": 1}}));
    assert_eq!(world.stored(guarded).await, b"'=a,b\n'=1+1,-1\n");
    assert_eq!([world.exporters(id).await, world.exporters(guarded).await].concat(), ["aws_s3", "aws_s3"]);
}

#[tokio::test]
async fn a_file_in_several_parts_is_mailed_as_links_that_join_to_what_copy_gives() {
    let world = World::with_aws_s3().await;
    world.sql(&format!("alter database {} set aws_s3.split_bytes = '30000'", world.database)).await;
    let id = world.request_with(QUERY, ANN, "filename => 'orders.csv'").await;
    world.complete(&[id]).await;
    let expected = world.copy(QUERY, CSV).await;
    let parts = expected.len().div_ceil(30_000);
    assert!(parts > 5);
    let export = world.export(id).await;
    assert_eq!((&export["objects"], &export["rows"], &export["bytes"]), (&parts.into(), &3000.into(), &expected.len().into()));
    assert!(world.stored(id).await == expected);
    let in_order = "select array_agg(part order by part) = array_agg(part order by length(key), key) from exportbox.objects";
    assert!(world.row(in_order, &[]).await.get::<_, bool>(0));

    let mail = world.mails_to("ann@example.com").remove(0);
    assert_eq!(mail.links.len(), parts);
    let mut joined = Vec::new();
    for (link, number) in mail.links.iter().zip(1..) {
        let answer = reqwest::get(link).await.unwrap();
        let disposition = answer.headers()["content-disposition"].to_str().unwrap().to_string();
        assert!(disposition.ends_with(&format!("orders.csv.part{number:02}")), "{disposition}");
        assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
        joined.extend(answer.bytes().await.unwrap());
    }
    assert!(joined == expected);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_part_that_is_missing_makes_the_attempt_count_for_nothing() {
    let world = World::with_aws_s3().await;
    world.sql(&format!("alter database {} set aws_s3.split_bytes = '30000'", world.database)).await;
    world.s3.faults().add(Rule::on("HeadObject", Action::error(404, "NotFound", "")).key_contains("_part3").times(1));
    let id = world.request(QUERY, ANN).await;
    world.drain().await;
    assert_not_visible(&world, id, "verification").await;
    world.let_time_pass().await;
    world.complete(&[id]).await;
    assert!(world.stored(id).await == world.copy(QUERY, CSV).await);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn another_size_than_reported_makes_the_attempt_count_for_nothing() {
    let world = World::with_aws_s3().await;
    world
        .answer_instead("select e.rows_uploaded, e.files_uploaded, e.bytes_uploaded + 1 from aws_s3.honest($1, $2, $3, $4, $5, $6) as e")
        .await;
    let id = world.request(QUERY, ANN).await;
    world.drain().await;
    assert_not_visible(&world, id, "verification").await;
}

#[tokio::test]
async fn no_file_for_no_rows_still_gives_something_to_download() {
    let world = World::with_aws_s3().await;
    // What RDS does there is not documented.
    world.answer_instead("select 0::bigint, 0::bigint, 0::bigint").await;
    let id = world.request_with("select 1 as a where false", ANN, "format => 'text'").await;
    world.complete(&[id]).await;
    assert_eq!(world.stored(id).await, b"");
    let answer = reqwest::get(&world.mails_to("ann@example.com")[0].links[0]).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0));
    world.assert_store_is_clean().await;
}

/// Tried again later, nothing to see and nothing left.
async fn assert_not_visible(world: &World, id: uuid::Uuid, class: &str) {
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["error_class"]), (&"pending".into(), &class.into()), "{export}");
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    assert_eq!(world.count("select (select count(*) from exportbox.objects) + (select count(*) from exportbox.deliveries)").await, 0);
    assert!(world.mails().is_empty());
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn trouble_of_the_database_with_s3_is_tried_again() {
    for operation in ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"] {
        let world = World::with_aws_s3().await;
        world.s3.faults().add(Rule::on(operation, Action::error(400, "InvalidRequest", "Something went wrong.")));
        let id = world.request(QUERY, ANN).await;
        world.drain().await;
        assert_not_visible(&world, id, "store_unavailable").await;
        world.s3.faults().clear();
        world.let_time_pass().await;
        world.complete(&[id]).await;
    }
}

#[tokio::test]
async fn a_database_that_s3_refuses_holds_exports_and_says_why() {
    let world = World::with_aws_s3().await;
    world.s3.faults().add(Rule::on("CreateMultipartUpload", Action::error(403, "AccessDenied", "Access Denied")));
    let id = world.request(QUERY, ANN).await;
    let output = world.run(&["drain"]).await;
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["error_class"]), (&"pending".into(), &"store_access".into()));
    assert_eq!(world.count("select attempt::bigint from exportbox.jobs").await, 0);
    assert!(world.text("select on_hold from exportbox.health").await.contains("S3 refuses the database's role"));
    world.s3.faults().clear();
    world.let_time_pass().await;
    world.complete(&[id]).await;
}

#[tokio::test]
async fn where_it_is_forced_and_cannot_be_used_the_request_waits_unburnt_and_says_why() {
    let mut world = World::with_aws_s3().await;
    world.settings.exporter = ExporterSetting::AwsS3;
    let gzip = world.request_with(QUERY, &[], "compression => 'gzip'").await;
    let ungranted = world.app().await.query_one("select exportbox.request_export(query => $1)", &[&QUERY]).await.unwrap().get(0);
    world.drain().await;
    let mut nowhere = World::new().await;
    nowhere.settings.exporter = ExporterSetting::AwsS3;
    let missing = nowhere.request(QUERY, &[]).await;
    nowhere.drain().await;
    for (world, id, sentence) in [
        (&world, gzip, "aws_s3 cannot compress"),
        (&world, ungranted, "The role of this export may not call aws_s3"),
        (&nowhere, missing, "The source database has no aws_s3"),
    ] {
        let row =
            world.row("select state, error_class, error, attempt, run_at > now() from exportbox.jobs where export_id = $1", &[&id]).await;
        let (state, class, error): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!((state.as_str(), class.as_str(), row.get::<_, i16>(3), row.get::<_, bool>(4)), ("pending", "aws_s3_config", 0, true));
        assert!(error.starts_with(sentence), "{error}");
    }
}

#[tokio::test]
async fn a_cancel_while_the_database_uploads_leaves_nothing() {
    let world = World::with_aws_s3().await;
    let id = world.request("select repeat('x', 1000000) from generate_series(1, 20) union all select pg_sleep(600)::text", ANN).await;
    let running = world.start().await;
    let uploading = async || world.s3.open_uploads().await.iter().any(|upload| upload.parts > 0);
    crate::sandbox::until_async(uploading).await;
    world.cancel(id).await;
    world.until_state(id, "cancelled").await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    running.stop().await;
    assert_eq!(world.backends_of(id).await, 0);
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    world.assert_store_is_clean().await;
    assert!(world.mails().is_empty());
}
