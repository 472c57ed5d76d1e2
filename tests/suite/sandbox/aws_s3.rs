//! The aws_s3 stand-in: the documented signatures, results and errors.

use std::sync::atomic::{AtomicU32, Ordering};

use exportbox::sandbox::{Action, Rule};
use futures_util::TryStreamExt;
use tokio_postgres::Client;

use super::{shared, soon, until_async};

/// A database of its own with a role that may export and no more, and a connection as that role.
struct World {
    exporter: Client,
    role: String,
    key: String,
}

const ROWS: &str = "select n, 'row \"' || n || E'\",\\n' || repeat('x', 40) as text, null::int as nothing from generate_series(1, 5000) n";
const CALL: &str = "select rows_uploaded, files_uploaded, bytes_uploaded \
    from aws_s3.query_export_to_s3($1::text, $2::text, $3::text, $4::text, options := $5::text)";

impl World {
    async fn start() -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("aws_s3_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        shared().create_database(&name).await.unwrap();
        let admin = shared().connect(&name).await.unwrap();
        admin.batch_execute(&format!("create role {name} login password 'p'")).await.unwrap();
        shared().grant_aws_s3(&admin, &name).await.unwrap();
        let (exporter, connection) =
            tokio_postgres::connect(&shared().postgres.url(&name, "p", &name), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        World { exporter, role: name.clone(), key: format!("{name}/file.csv") }
    }

    /// Rows, files and bytes as the function reports them.
    async fn export(&self, query: &str, options: &str) -> Result<(i64, i64, i64), tokio_postgres::Error> {
        let row = self.exporter.query_one(CALL, &[&query, &"exports", &self.key, &"eu-west-1", &options]).await?;
        Ok((row.get(0), row.get(1), row.get(2)))
    }

    /// The bytes of COPY to the client.
    async fn copied(&self, query: &str, options: &str) -> Vec<u8> {
        let copy = self.exporter.copy_out(&format!("copy ({query}) to stdout with ({options})")).await.unwrap();
        copy.try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
        .unwrap()
    }

    /// Names and contents of the objects that the export made, in the order of the parts.
    async fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let mut keys: Vec<String> = shared().s3.objects("exports").await.unwrap().into_iter().map(|(key, _)| key).collect();
        keys.retain(|key| key.starts_with(&self.key));
        keys.sort_by_key(|key| (key.len(), key.clone()));
        let read = |key: String| {
            let bytes = std::fs::read(shared().s3.dir().join("exports").join(&key)).unwrap();
            (key, bytes)
        };
        keys.into_iter().map(read).collect()
    }

    async fn nothing_is_left(&self) {
        assert_eq!(self.stored().await, []);
        let open = shared().s3.open_uploads().await;
        assert!(!open.iter().any(|upload| upload.key.starts_with(&self.key)), "{open:?}");
    }
}

fn state(error: &tokio_postgres::Error) -> &str {
    error.code().unwrap().code()
}

#[tokio::test]
async fn both_overloads_store_the_bytes_of_copy() {
    let world = World::start().await;
    let options = "format csv, header true, null 'NULL'";
    let expected = world.copied(ROWS, options).await;
    let counted = (5000, 1, i64::try_from(expected.len()).unwrap());
    assert_eq!(world.export(ROWS, options).await.unwrap(), counted);
    assert_eq!(world.stored().await, [(world.key.clone(), expected.clone())]);
    // The composite overload, positionally; an existing object is overwritten silently.
    let call = "select * from aws_s3.query_export_to_s3($1, aws_commons.create_s3_uri('exports', $2, 'eu-west-1'), $3)";
    let row = world.exporter.query_one(call, &[&ROWS, &world.key, &options]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), counted);
    assert_eq!(world.stored().await, [(world.key.clone(), expected)]);
    // The shortest call: region and options have defaults.
    let row = world.exporter.query_one("select * from aws_s3.query_export_to_s3('select 1', 'exports', $1)", &[&world.key]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (1_i64, 1_i64, 2_i64));
    assert_eq!(world.stored().await, [(world.key.clone(), b"1\n".to_vec())]);
}

#[tokio::test]
async fn a_lowered_split_size_cuts_the_stream_into_numbered_parts() {
    let world = World::start().await;
    let expected = world.copied(ROWS, "format text").await;
    world.exporter.execute("select set_config('aws_s3.split_bytes', '30000', false)", &[]).await.unwrap();
    let (rows, files, bytes) = world.export(ROWS, "format text").await.unwrap();
    let stored = world.stored().await;
    assert_eq!((rows, files, bytes), (5000, stored.len() as i64, expected.len() as i64));
    assert_eq!(stored.len(), expected.len().div_ceil(30000));
    assert_eq!(stored[1].0, format!("{}_part2", world.key));
    assert!(stored[..stored.len() - 1].iter().all(|(_, bytes)| bytes.len() == 30000));
    assert_eq!(stored.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>(), expected);
    // Exactly one file full is one file.
    world.exporter.execute("select set_config('aws_s3.split_bytes', '4', false)", &[]).await.unwrap();
    assert_eq!(world.export("select 123", "format text").await.unwrap(), (1, 1, 4));
}

#[tokio::test]
async fn files_larger_than_one_upload_part_arrive_whole() {
    let world = World::start().await;
    let query = "select repeat(md5(n::text), 1000) from generate_series(1, 600) n";
    let expected = world.copied(query, "format text").await;
    assert!(expected.len() > 16 * 1024 * 1024);
    assert_eq!(world.export(query, "format text").await.unwrap(), (600, 1, expected.len() as i64));
    assert!(world.stored().await[0].1 == expected);
}

#[tokio::test]
async fn an_empty_result_is_an_empty_object() {
    let world = World::start().await;
    assert_eq!(world.export("select 1 where false", "format csv").await.unwrap(), (0, 1, 0));
    assert_eq!(world.stored().await, [(world.key.clone(), Vec::new())]);
}

#[tokio::test]
async fn errors_of_the_query_pass_through_and_leave_nothing() {
    let world = World::start().await;
    for (query, expected) in [
        ("select * from nowhere", "42P01"),
        ("selekt 1", "42601"),
        ("select 1 / (n - 4000) from generate_series(1, 5000) n", "22012"),
        ("select 1) to program 'true' --", "42601"),
    ] {
        assert_eq!(state(&world.export(query, "format csv").await.unwrap_err()), expected, "{query}");
        world.nothing_is_left().await;
    }
    assert_eq!(state(&world.export("select 1", "format nonsense").await.unwrap_err()), "22023");
}

#[tokio::test]
async fn a_statement_timeout_is_57014_and_nothing_of_the_file_appears() {
    let world = World::start().await;
    world.exporter.batch_execute("set statement_timeout = '300ms'").await.unwrap();
    let slow = "select n, pg_sleep(0.01) from generate_series(1, 100000) n";
    assert_eq!(state(&soon(world.export(slow, "format csv")).await.unwrap_err()), "57014");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_export_that_is_cancelled_or_ended_while_it_uploads_leaves_no_object_and_no_open_upload() {
    for (how, expected) in [("pg_cancel_backend", "57014"), ("pg_terminate_backend", "57P01")] {
        let world = World::start().await;
        let pid: i32 = world.exporter.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        let admin = shared().connect(&world.role).await.unwrap();
        let begins_and_waits = "select repeat('x', 1000000) from generate_series(1, 20) union all select pg_sleep(600)::text";
        let end_it = async {
            // At least one part is stored before the end comes.
            let mine = async || shared().s3.open_uploads().await.into_iter().any(|upload| upload.key == world.key && upload.parts > 0);
            until_async(mine).await;
            admin.execute(&format!("select {how}($1)"), &[&pid]).await.unwrap();
        };
        let (ended, ()) = soon(async { tokio::join!(world.export(begins_and_waits, "format text"), end_it) }).await;
        assert_eq!(state(&ended.unwrap_err()), expected);
        let gone = async || !shared().s3.open_uploads().await.iter().any(|upload| upload.key.starts_with(&world.key));
        until_async(gone).await;
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_failed_upload_is_58000_with_what_the_client_said() {
    let world = World::start().await;
    for operation in ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"] {
        let denied = Action::error(403, "AccessDenied", "Access Denied");
        shared().s3.faults().add(Rule::on(operation, denied).key_contains(&world.key).times(1));
        let error = world.export(ROWS, "format csv").await.unwrap_err();
        assert_eq!(state(&error), "58000", "{operation}");
        let error = error.as_db_error().unwrap();
        assert_eq!(error.message(), "could not upload to Amazon S3");
        assert_eq!(error.detail(), Some("Amazon S3 client returned 'Access Denied'."));
        world.nothing_is_left().await;
    }
    let missing = world.exporter.query_one(CALL, &[&"select 1", &"nowhere", &world.key, &"eu-west-1", &"format csv"]).await.unwrap_err();
    assert_eq!(state(&missing), "58000");
    let region = world.exporter.query_one(CALL, &[&"select 1", &"exports", &world.key, &"us-east-1", &"format csv"]).await.unwrap_err();
    assert_eq!(state(&region), "58000");
}

#[tokio::test]
async fn an_export_works_in_a_read_only_transaction_and_sees_its_snapshot() {
    let world = World::start().await;
    let admin = shared().connect(&world.role).await.unwrap();
    admin.batch_execute(&format!("create table t as select 1 as n; grant select on t to {}", world.role)).await.unwrap();
    world.exporter.batch_execute("begin isolation level repeatable read read only; select * from t").await.unwrap();
    admin.batch_execute("insert into t values (2)").await.unwrap();
    assert_eq!(world.export("select n from t", "format csv").await.unwrap().0, 1);
    world.exporter.batch_execute("rollback").await.unwrap();
    assert_eq!(world.stored().await, [(world.key.clone(), b"1\n".to_vec())]);
    assert_eq!(world.export("select n from t", "format csv").await.unwrap().0, 2);
}

#[tokio::test]
async fn the_query_runs_with_the_rights_of_its_caller_and_nobody_calls_without_a_grant() {
    let world = World::start().await;
    assert_eq!(state(&world.export("select * from pg_authid", "format csv").await.unwrap_err()), "42501");
    let other = format!("{}_other", world.role);
    let admin = shared().connect(&world.role).await.unwrap();
    admin.batch_execute(&format!("create role {other} in role pg_execute_server_program; set role {other}")).await.unwrap();
    let refused = admin.query_one(CALL, &[&"select 1", &"exports", &world.key, &"eu-west-1", &"format csv"]).await.unwrap_err();
    assert_eq!(state(&refused), "42501");
    world.nothing_is_left().await;
}
