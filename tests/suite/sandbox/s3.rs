//! The S3 stand-in through the real SDK, where it has to be as strict as AWS.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use base64::Engine;

use super::{S3World, refusal};

const MIB: usize = 1024 * 1024;

fn crc32(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(crc32fast::hash(bytes).to_be_bytes())
}

#[tokio::test]
async fn a_multipart_upload_becomes_its_parts_in_order_and_then_its_id_is_unknown() {
    let world = S3World::start().await;
    let id = world.begin("a/b.csv").await;
    let (first, second) = (vec![b'1'; 5 * MIB], b"the end".to_vec());
    // Out of order on the way: the numbers decide.
    let last = world.part("a/b.csv", &id, 2, second.clone()).await;
    let parts = vec![world.part("a/b.csv", &id, 1, first.clone()).await, last];
    assert_eq!(parts[0].checksum_crc32(), Some(crc32(&first).as_str()), "the part's CRC32 is echoed");
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    let complete = || {
        let call = world.client.complete_multipart_upload().bucket("exports").key("a/b.csv").upload_id(&id);
        call.multipart_upload(S3World::completion(parts.clone())).send()
    };
    complete().await.unwrap();
    assert_eq!(world.get("a/b.csv").await, [first, second].concat());
    assert_eq!(refusal(complete().await), ("NoSuchUpload".into(), 404));
    let part = world.client.upload_part().bucket("exports").key("a/b.csv").upload_id(&id).part_number(1).body(vec![1].into());
    assert_eq!(refusal(part.send().await), ("NoSuchUpload".into(), 404));
    let abort = world.client.abort_multipart_upload().bucket("exports").key("a/b.csv").upload_id(&id);
    assert_eq!(refusal(abort.send().await), ("NoSuchUpload".into(), 404));
}

#[tokio::test]
async fn an_aborted_upload_is_gone_with_its_parts() {
    let world = S3World::start().await;
    let id = world.begin("x").await;
    let part = world.part("x", &id, 1, b"part".to_vec()).await;
    assert_eq!(world.s3.open_uploads().await[0].bytes, 4);
    let abort = || world.client.abort_multipart_upload().bucket("exports").key("x").upload_id(&id).send();
    abort().await.unwrap();
    assert_eq!(world.s3.open_uploads().await, []);
    assert_eq!(refusal(abort().await), ("NoSuchUpload".into(), 404));
    let call = world.client.complete_multipart_upload().bucket("exports").key("x").upload_id(&id);
    assert_eq!(refusal(call.multipart_upload(S3World::completion(vec![part])).send().await), ("NoSuchUpload".into(), 404));
    let call = world.client.list_parts().bucket("exports").key("x").upload_id("never-existed");
    assert_eq!(refusal(call.send().await), ("NoSuchUpload".into(), 404));
    let left: Vec<_> = std::fs::read_dir(world.s3.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["exports"], "parts are left on disk");
}

#[tokio::test]
async fn a_refused_completion_leaves_the_upload_open() {
    let world = S3World::start().await;
    let id = world.begin("x").await;
    let small = vec![world.part("x", &id, 1, b"small".to_vec()).await, world.part("x", &id, 2, b"last".to_vec()).await];
    let complete = |parts| {
        let call = world.client.complete_multipart_upload().bucket("exports").key("x").upload_id(&id);
        call.multipart_upload(S3World::completion(parts)).send()
    };
    assert_eq!(refusal(complete(small.clone()).await), ("EntityTooSmall".into(), 400));
    assert_eq!(refusal(complete(vec![small[1].clone(), small[0].clone()]).await), ("InvalidPartOrder".into(), 400));
    let mut wrong = small[0].clone();
    wrong.e_tag = Some("\"00000000000000000000000000000000\"".into());
    assert_eq!(refusal(complete(vec![wrong]).await), ("InvalidPart".into(), 400));
    complete(vec![small[0].clone()]).await.unwrap();
    assert_eq!(world.get("x").await, b"small");
}

#[tokio::test]
async fn if_none_match_lets_exactly_one_of_many_writers_through() {
    let world = S3World::start().await;
    let writers = (0..8).map(|n| {
        let call =
            world.client.put_object().bucket("exports").key("once").if_none_match("*").body(format!("writer {n}").into_bytes().into());
        tokio::spawn(call.send())
    });
    let writers: Vec<_> = writers.collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(_) => won += 1,
            refused => assert_eq!(refusal(refused), ("PreconditionFailed".into(), 412)),
        }
    }
    assert_eq!(won, 1);
    let id = world.begin("once").await;
    let part = world.part("once", &id, 1, b"late".to_vec()).await;
    let call = world.client.complete_multipart_upload().bucket("exports").key("once").upload_id(&id).if_none_match("*");
    assert_eq!(refusal(call.multipart_upload(S3World::completion(vec![part])).send().await), ("PreconditionFailed".into(), 412));
    assert!(world.get("once").await.starts_with(b"writer "));
}

#[tokio::test]
async fn open_uploads_are_listed_by_prefix_and_page_with_their_parts() {
    let world = S3World::start().await;
    for key in ["jobs/1/a", "jobs/2/b", "jobs/2/c", "other"] {
        world.begin(key).await;
    }
    let id = world.begin("jobs/2/b").await;
    world.part("jobs/2/b", &id, 3, b"three".to_vec()).await;
    world.part("jobs/2/b", &id, 1, b"one".to_vec()).await;
    let (mut found, mut key_marker, mut id_marker) = (Vec::new(), None, None);
    loop {
        let call = world.client.list_multipart_uploads().bucket("exports").prefix("jobs/").max_uploads(2);
        let page = call.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await.unwrap();
        assert!(page.uploads().len() <= 2);
        found.extend(page.uploads().iter().map(|upload| upload.key().unwrap().to_owned()));
        if !page.is_truncated().unwrap() {
            break;
        }
        (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
    }
    assert_eq!(found, ["jobs/1/a", "jobs/2/b", "jobs/2/b", "jobs/2/c"]);
    let listed = world.client.list_parts().bucket("exports").key("jobs/2/b").upload_id(&id).send().await.unwrap();
    let parts: Vec<_> = listed.parts().iter().map(|part| (part.part_number().unwrap(), part.size().unwrap())).collect();
    assert_eq!(parts, [(1, 3), (3, 5)]);
}

#[tokio::test]
async fn what_arrives_with_a_wrong_checksum_is_refused_and_not_stored() {
    let world = S3World::start().await;
    let put =
        |crc32: String| world.client.put_object().bucket("exports").key("x").checksum_crc32(crc32).body(b"data".to_vec().into()).send();
    assert_eq!(refusal(put(crc32(b"other")).await), ("BadDigest".into(), 400));
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    let stored = put(crc32(b"data")).await.unwrap();
    assert_eq!(stored.checksum_crc32(), Some(crc32(b"data").as_str()));
    assert_eq!(refusal(put(crc32(b"other")).await), ("BadDigest".into(), 400));
    assert_eq!(world.get("x").await, b"data", "the object from before is untouched");
    let id = world.begin("y").await;
    let part = world.client.upload_part().bucket("exports").key("y").upload_id(&id).part_number(1);
    let part = part.checksum_crc32(crc32(b"other")).body(b"data".to_vec().into());
    assert_eq!(refusal(part.send().await), ("BadDigest".into(), 400));
    assert_eq!(world.s3.open_uploads().await[0].parts, 0);
}

#[tokio::test]
async fn a_full_object_checksum_is_verified_at_complete_and_told_to_those_who_ask() {
    let world = S3World::start().await;
    let created = world.client.create_multipart_upload().bucket("exports").key("x");
    let created = created.checksum_algorithm(ChecksumAlgorithm::Crc32).checksum_type(ChecksumType::FullObject).send().await.unwrap();
    let id = created.upload_id.unwrap();
    let (first, second) = (vec![7; 5 * MIB], b"tail".to_vec());
    let parts = vec![world.part("x", &id, 1, first.clone()).await, world.part("x", &id, 2, second.clone()).await];
    let whole = crc32(&[first, second].concat());
    let complete = |crc32: String| {
        let call = world.client.complete_multipart_upload().bucket("exports").key("x").upload_id(&id);
        let call = call.checksum_type(ChecksumType::FullObject).checksum_crc32(crc32);
        call.multipart_upload(S3World::completion(parts.clone())).send()
    };
    assert_eq!(refusal(complete(crc32(b"other")).await), ("BadDigest".into(), 400));
    assert_eq!(complete(whole.clone()).await.unwrap().checksum_crc32(), Some(whole.as_str()));
    let head = || world.client.head_object().bucket("exports").key("x");
    let asked = head().checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(asked.checksum_crc32(), Some(whole.as_str()));
    assert_eq!(asked.checksum_type(), Some(&ChecksumType::FullObject));
    assert_eq!(head().send().await.unwrap().checksum_crc32(), None);
    // A new object under the key has a checksum of its own.
    world.put("x", b"new").await;
    assert_eq!(head().checksum_mode(ChecksumMode::Enabled).send().await.unwrap().checksum_crc32(), Some(crc32(b"new").as_str()));
}

#[tokio::test]
async fn a_missing_bucket_is_no_such_bucket_for_every_call() {
    let world = S3World::start().await;
    let missing = ("NoSuchBucket".to_owned(), 404);
    assert_eq!(refusal(world.client.put_object().bucket("nowhere").key("x").body(vec![1].into()).send().await), missing);
    assert_eq!(refusal(world.client.get_object().bucket("nowhere").key("x").send().await), missing);
    assert_eq!(refusal(world.client.create_multipart_upload().bucket("nowhere").key("x").send().await), missing);
    assert_eq!(refusal(world.client.list_objects_v2().bucket("nowhere").send().await), missing);
    assert_eq!(refusal(world.client.list_multipart_uploads().bucket("nowhere").send().await), missing);
    assert_eq!(refusal(world.client.delete_object().bucket("nowhere").key("x").send().await), missing);
    assert_eq!(refusal(world.client.head_bucket().bucket("nowhere").send().await), ("NotFound".into(), 404));
    assert_eq!(refusal(world.client.get_object().bucket("exports").key("x").send().await), ("NoSuchKey".into(), 404));
}

#[tokio::test]
async fn a_key_of_1024_bytes_is_stored_listed_and_removed_under_its_name() {
    let world = S3World::start().await;
    let long = format!("jobs/{}{}", format!("{}/", "k".repeat(202)).repeat(5), "last");
    let keys = ["jobs/1/a".to_owned(), long.clone(), "jobs/z".to_owned()];
    for key in &keys {
        world.put(key, key.as_bytes()).await;
    }
    let id = world.begin(&long).await;
    let part = world.part(&long, &id, 1, long.clone().into_bytes()).await;
    let call = world.client.complete_multipart_upload().bucket("exports").key(&long).upload_id(&id);
    call.multipart_upload(S3World::completion(vec![part])).send().await.unwrap();
    assert_eq!(world.get(&long).await, long.as_bytes());
    let list = world.client.list_objects_v2().bucket("exports").prefix("jobs/").send().await.unwrap();
    assert_eq!(list.contents().iter().map(|object| object.key().unwrap()).collect::<Vec<_>>(), keys);
    let page = world.client.list_objects_v2().bucket("exports").max_keys(2).send().await.unwrap();
    let next = world.client.list_objects_v2().bucket("exports").continuation_token(page.next_continuation_token().unwrap());
    assert_eq!(next.send().await.unwrap().contents()[0].key(), Some("jobs/z"));
    let groups = world.client.list_objects_v2().bucket("exports").prefix("jobs/").delimiter("/").send().await.unwrap();
    assert_eq!((groups.common_prefixes().len(), groups.contents().len()), (2, 1));
    world.client.delete_object().bucket("exports").key(&long).send().await.unwrap();
    let left = world.s3.objects("exports").await.unwrap();
    assert_eq!(left, [("jobs/1/a".to_owned(), 8), ("jobs/z".to_owned(), 6)]);
}

#[tokio::test]
async fn a_signed_link_downloads_under_its_own_name_until_it_expires_and_refuses_changes() {
    let world = S3World::start().await;
    world.put("report", b"a,b\n1,2\n").await;
    let sign = async |begin: std::time::SystemTime| {
        let config = PresigningConfig::builder().start_time(begin).expires_in(Duration::from_secs(60)).build().unwrap();
        let call = world.client.get_object().bucket("exports").key("report");
        let call = call.response_content_disposition("attachment; filename=\"June.csv\"").response_content_type("text/csv");
        call.presigned(config).await.unwrap().uri().to_owned()
    };
    let now = std::time::SystemTime::now();
    let link = sign(now).await;
    let got = reqwest::get(&link).await.unwrap();
    assert_eq!(got.status(), 200);
    assert_eq!(got.headers()["content-disposition"], "attachment; filename=\"June.csv\"");
    assert_eq!(got.headers()["content-type"], "text/csv");
    assert_eq!(got.bytes().await.unwrap(), "a,b\n1,2\n");

    let range = reqwest::Client::new().get(&link).header("range", "bytes=4-6").send().await.unwrap();
    assert_eq!((range.status().as_u16(), range.headers()["content-range"].to_str().unwrap()), (206, "bytes 4-6/8"));
    assert_eq!(range.bytes().await.unwrap(), "1,2");

    let late = reqwest::get(sign(now - Duration::from_secs(120)).await).await.unwrap();
    assert_eq!(late.status(), 403);
    assert!(late.text().await.unwrap().contains("Request has expired"));

    for changed in [link.replace("June", "July"), link.replace("/report?", "/other?"), link.replace("Expires=60", "Expires=6000")] {
        assert_ne!(changed, link);
        let refused = reqwest::get(&changed).await.unwrap();
        assert_eq!(refused.status(), 403);
        assert!(refused.text().await.unwrap().contains("SignatureDoesNotMatch"));
    }
    let unsigned = reqwest::get(format!("{}/exports/report", world.s3.endpoint())).await.unwrap();
    assert_eq!(unsigned.status(), 403);
}
