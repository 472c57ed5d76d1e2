//! Scripted faults: each goes wrong the way it says, and only where it says.

use std::time::{Duration, Instant};

use aws_sdk_s3::error::SdkError;
use exportbox::sandbox::{Action, Rule, SesOptions};

use super::{S3World, SesWorld, refusal, soon};

#[tokio::test]
async fn a_scripted_error_hits_what_it_names_as_often_as_it_says() {
    let world = S3World::start().await;
    let rule =
        Rule::on("PutObject", Action::error(503, "SlowDown", "Please reduce your request rate.")).key_contains("hot").skip(1).times(1);
    world.s3.faults().add(rule);
    let put = |key: &str| world.client.put_object().bucket("exports").key(key).body(vec![1; 100_000].into()).send();
    put("cold").await.unwrap();
    put("hot").await.unwrap();
    assert_eq!(refusal(put("hot").await), ("SlowDown".into(), 503));
    put("hot").await.unwrap();
    assert_eq!(world.s3.faults().list(), []);
    assert_eq!(world.s3.faults().hits("PutObject"), 4);
}

#[tokio::test]
async fn a_lost_reply_has_done_its_work() {
    let world = S3World::start().await;
    world.s3.faults().add(Rule::on("PutObject", Action::CutReply).times(1));
    let lost = world.client.put_object().bucket("exports").key("x").body(b"data".to_vec().into()).send().await;
    assert!(matches!(lost, Err(SdkError::DispatchFailure(_))), "{lost:?}");
    assert_eq!(world.get("x").await, b"data");

    let mail = SesWorld::start(SesOptions::default()).await;
    mail.ses.faults().add(Rule::on("SendEmail", Action::CutReply).times(1));
    let lost = mail.raw("a@example.com", "Subject: once\r\n\r\nhello").send().await;
    assert!(matches!(lost, Err(SdkError::DispatchFailure(_))), "{lost:?}");
    assert_eq!(mail.ses.mails().len(), 1);
}

#[tokio::test]
async fn an_error_inside_a_200_completes_nothing() {
    let world = S3World::start().await;
    let id = world.begin("x").await;
    let part = world.part("x", &id, 1, b"data".to_vec()).await;
    let inside = Action::ErrorInside200 { code: "InternalError".into(), message: "We encountered an internal error.".into() };
    world.s3.faults().add(Rule::on("CompleteMultipartUpload", inside).times(1));
    let complete = || {
        let call = world.client.complete_multipart_upload().bucket("exports").key("x").upload_id(&id);
        call.multipart_upload(S3World::completion(vec![part.clone()])).send()
    };
    let (code, _) = refusal(complete().await);
    assert_eq!(code, "InternalError");
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    complete().await.unwrap();
}

#[tokio::test]
async fn a_hanging_call_is_seen_to_begin_and_lasts_until_its_client_goes() {
    let world = S3World::start().await;
    world.s3.faults().add(Rule::on("UploadPart", Action::Hang));
    let id = world.begin("x").await;
    let client = world.client.clone();
    let call = client.upload_part().bucket("exports").key("x").upload_id(&id).part_number(1).body(vec![1; 1000].into());
    let hanging = tokio::spawn(call.send());
    soon(world.s3.faults().until_hit("UploadPart", 1)).await;
    assert!(!hanging.is_finished());
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert_eq!(world.s3.open_uploads().await[0].parts, 0);
}

#[tokio::test]
async fn stopping_ends_the_calls_that_hang() {
    let mut world = S3World::start().await;
    world.s3.faults().add(Rule::on("HeadBucket", Action::Hang));
    let hanging = tokio::spawn(world.client.head_bucket().bucket("exports").send());
    soon(world.s3.faults().until_hit("HeadBucket", 1)).await;
    soon(world.s3.stop()).await;
    assert!(matches!(soon(hanging).await.unwrap(), Err(SdkError::DispatchFailure(_))));
}

#[tokio::test]
async fn a_delayed_call_succeeds_later() {
    let world = S3World::start().await;
    world.s3.faults().add(Rule::on("HeadBucket", Action::DelayMs(150)));
    let begun = Instant::now();
    world.client.head_bucket().bucket("exports").send().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_cut_body_breaks_off_after_what_was_promised() {
    let world = S3World::start().await;
    world.put("x", &[9; 50_000]).await;
    world.s3.faults().add(Rule::on("GetObject", Action::CutBody { after_bytes: 20_000 }).times(1));
    let got = world.client.get_object().bucket("exports").key("x").send().await.unwrap();
    assert_eq!(got.content_length(), Some(50_000));
    let (mut body, mut bytes) = (got.body, 0);
    let end = loop {
        match body.next().await {
            Some(Ok(chunk)) => bytes += chunk.len(),
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))), "the body ended as if it were whole");
    assert_eq!(bytes, 20_000);
    assert_eq!(world.get("x").await.len(), 50_000);
}

#[tokio::test]
async fn a_cut_request_leaves_nothing() {
    let world = S3World::start().await;
    world.s3.faults().add(Rule::on("PutObject", Action::CutRequest { after_bytes: 1000 }).times(1));
    let cut = world.client.put_object().bucket("exports").key("x").body(vec![1; 3_000_000].into()).send().await;
    assert!(matches!(cut, Err(SdkError::DispatchFailure(_))), "{cut:?}");
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    world.put("x", b"data").await;
}

#[tokio::test]
async fn an_error_afterwards_has_done_its_work() {
    let world = SesWorld::start(SesOptions::default()).await;
    let error = Action::error(500, "InternalServiceErrorException", "The request has failed due to an unknown error.");
    world.ses.faults().add(Rule::on("SendEmail", Action::Afterwards(Box::new(error))).times(1));
    let refused = world.raw("a@example.com", "Subject: once\r\n\r\nhello").send().await;
    assert_eq!(refusal(refused), ("InternalServiceErrorException".into(), 500));
    assert_eq!(world.ses.mails().len(), 1);
}

#[tokio::test]
async fn a_full_store_refuses_what_does_not_fit_and_keeps_nothing_of_it() {
    let world = S3World::start().await;
    let put = |key: &str, size: usize| world.client.put_object().bucket("exports").key(key).body(vec![1; size].into()).send();
    world.s3.set_capacity(Some(150_000));
    put("fits", 100_000).await.unwrap();
    assert_eq!(refusal(put("large", 400_000).await), ("XMinioStorageFull".into(), 507));
    let id = world.begin("upload").await;
    let part = world.client.upload_part().bucket("exports").key("upload").upload_id(&id).part_number(1).body(vec![1; 10].into());
    assert_eq!(refusal(part.send().await), ("XMinioStorageFull".into(), 507));
    assert_eq!(world.s3.refused_for_want_of_room(), 2);
    assert_eq!(world.s3.objects("exports").await.unwrap(), [("fits".to_owned(), 100_000)]);
    world.s3.set_capacity(None);
    put("large", 400_000).await.unwrap();
}

#[tokio::test]
async fn faults_are_scripted_from_outside_over_http() {
    let world = SesWorld::start(SesOptions::default()).await;
    let url = format!("{}/_sandbox/faults", world.ses.endpoint());
    let http = reqwest::Client::new();
    let rule = r#"{"operation": "SendEmail", "key_contains": "b@example.com", "times": 1,
        "action": {"error": {"status": 429, "code": "TooManyRequestsException", "message": "Too many requests."}}}"#;
    let post = |kind: &'static str, body: &str| http.post(&url).header("content-type", kind).body(body.to_owned()).send();
    assert_eq!(post("text/plain", rule).await.unwrap().status(), 415);
    assert_eq!(post("application/json", r#"{"action": "vanish"}"#).await.unwrap().status(), 400);
    assert_eq!(post("application/json", rule).await.unwrap().status(), 201);
    world.raw("a@example.com", "Subject: a\r\n\r\nhello").send().await.unwrap();
    let refused = world.raw("b@example.com", "Subject: b\r\n\r\nhello").send().await;
    assert!(refused.as_ref().unwrap_err().as_service_error().unwrap().is_too_many_requests_exception());
    assert_eq!(refusal(refused), ("TooManyRequestsException".into(), 429));
    assert_eq!(http.get(&url).send().await.unwrap().text().await.unwrap().trim(), "[]");
    post("application/json", r#"{"action": "hang"}"#).await.unwrap();
    http.delete(&url).send().await.unwrap();
    world.raw("b@example.com", "Subject: b\r\n\r\nhello").send().await.unwrap();
}
