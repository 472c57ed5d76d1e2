//! The file around the data: empty files, headings, parts, compression, and what the manifest says of it all.

use crate::harness::World;
use crate::harness::exports::{checksum, through};
use crate::harness::read_mail;

/// The store takes no part below this size, so this is where an upload gets its second.
const PART: usize = 5 * 1024 * 1024;

#[tokio::test]
async fn no_rows_make_a_header_alone_or_an_empty_object_that_can_be_downloaded() {
    let world = World::new().await;
    let query = "select 1 as a, 'x' as b where false";
    let mut ids = Vec::new();
    for format in ["csv", "text", "jsonl"] {
        ids.push(world.request_with(query, &["ann@example.com"], &format!("format => '{format}'")).await);
    }
    world.complete(&ids).await;
    for (id, expected) in ids.iter().zip(["a,b\n", "", ""]) {
        assert_eq!(world.stored(*id).await, expected.as_bytes());
        let export = world.export(*id).await;
        assert_eq!((&export["rows"], &export["bytes"], &export["objects"]), (&0.into(), &expected.len().into(), &1.into()));
        assert_eq!(world.manifest(*id).await["checksum"], checksum(expected.as_bytes()));
    }
    assert_eq!(world.mails().len(), 3);
    for mail in world.mails() {
        let answer = reqwest::get(&read_mail(&mail.raw).links[0]).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_string();
        let body = answer.bytes().await.unwrap();
        assert_eq!(body.as_ref(), if content_type.starts_with("text/csv") { "a,b\n".as_bytes() } else { b"" });
    }
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let world = World::new().await;
    let query = "select from generate_series(1, 3)";
    for (more, copy) in [("", "format csv, header true"), ("format => 'text'", "format text")] {
        let id = world.request_with(query, &[], more).await;
        world.complete(&[id]).await;
        assert_eq!(world.stored(id).await, world.copy(query, copy).await);
        assert_eq!(world.export(id).await["rows"], 3);
    }
}

#[tokio::test]
async fn headings_are_what_the_query_calls_its_columns() {
    let world = World::new().await;
    let query = "select 1 as a, 2 as a, 3 as \"a,b\", 4 as \"say \"\"hi\"\"\", 5 as \" \", 6 as \"=cmd\", 7, 8 as \"a\nb\", 9 as \"Größe 🎉\", \
        10 as \"a_name_of_more_than_sixty-three_bytes_which_postgresql_cuts_at_its_end\"";
    let file = world.file(query, &[], "").await;
    assert_eq!(file.as_bytes(), world.copy(query, "format csv, header true").await);
    assert!(file.starts_with("a,a,\"a,b\",\"say \"\"hi\"\"\", ,=cmd,?column?,\"a\nb\",Größe 🎉,"), "{file}");
}

#[tokio::test]
async fn a_file_of_one_part_is_put_at_once_and_one_byte_more_makes_a_second_part() {
    let world = World::new().await;
    for (uploads, bytes) in [(0, PART - 1), (0, PART), (1, PART + 1), (2, 2 * PART), (3, 2 * PART + 1)] {
        // One line: the text and its line break.
        let query = format!("select repeat('x', {})", bytes - 1);
        let id = world.request_with(&query, &[], "format => 'text'").await;
        world.complete(&[id]).await;
        let stored = world.stored(id).await;
        assert!(stored == world.copy(&query, "format text").await && stored.len() == bytes);
        assert_eq!(world.s3.faults().hits("CreateMultipartUpload"), uploads, "{bytes} bytes");
        assert_eq!(world.manifest(id).await["checksum"], checksum(&stored));
        assert_eq!(world.export(id).await["bytes"], bytes);
    }
    assert_eq!(world.s3.faults().hits("PutObject"), 2);
    assert_eq!(world.s3.faults().hits("UploadPart"), 2 + 2 + 3);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn gunzip_accepts_a_compressed_file_and_gives_back_what_copy_gives() {
    let world = World::new().await;
    // Nothing, a little, and more than two parts of what cannot be compressed well.
    let large = "select n, md5(n::text) || md5((-n)::text) || md5((n * 7)::text) as noise from generate_series(1, 220000) as n";
    for query in ["select 1 as a where false", "select 'x' as a", large] {
        let id = world.request_with(query, &[], "compression => 'gzip', filename => 'Daten März.csv'").await;
        world.complete(&[id]).await;
        let stored = world.stored(id).await;
        through("gunzip", &["-t"], stored.clone());
        assert!(through("gunzip", &["-c"], stored.clone()) == world.copy(query, "format csv, header true").await);
        let manifest = world.manifest(id).await;
        assert_eq!(manifest["checksum"], checksum(&stored));
        assert_eq!(manifest["bytes"], stored.len());
        assert_eq!((&manifest["content_type"], &manifest["filename"]), (&"application/gzip".into(), &"Daten März.csv.gz".into()));
    }
    assert_eq!(world.s3.faults().hits("CreateMultipartUpload"), 1);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn the_manifest_tells_name_type_checksum_and_instant() {
    let world = World::new().await;
    let before: chrono::DateTime<chrono::Utc> = world.row("select clock_timestamp()", &[]).await.get(0);
    for (more, name, content_type) in [
        ("filename => 'Umsätze \"März\".csv'", "Umsätze _März_.csv", "text/csv; charset=utf-8"),
        ("format => 'text'", "export.txt", "text/plain; charset=utf-8"),
        ("format => 'jsonl'", "export.jsonl", "application/jsonl"),
        ("format => 'jsonl', compression => 'gzip'", "export.jsonl.gz", "application/gzip"),
    ] {
        let id = world.request_with("select n from generate_series(1, 10) as n", &[], more).await;
        world.complete(&[id]).await;
        let manifest = world.manifest(id).await;
        assert_eq!((&manifest["filename"], &manifest["content_type"]), (&name.into(), &content_type.into()));
        assert_eq!((&manifest["checksum"], &manifest["rows"]), (&checksum(&world.stored(id).await).into(), &10.into()));
        let as_of: chrono::DateTime<chrono::Utc> = serde_json::from_value(manifest["as_of"].clone()).unwrap();
        assert!(as_of > before, "{as_of}");
        let key = manifest["key"].as_str().unwrap();
        assert!(key.starts_with(&format!("exports/{id}/")) && key.is_ascii() && !key.contains(['"', ' ']), "{key}");
    }
}
