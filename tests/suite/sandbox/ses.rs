//! The SES stand-in through the real SDK: what it takes, what it refuses, what it keeps.

use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageTag, SuppressionListReason};
use exportbox::sandbox::SesOptions;
use mail_parser::MessageParser;

use super::{SesWorld, refusal, soon};

const MAIL: &str = "From: Exports <exports@example.com>\r\nTo: a@example.com\r\nSubject: =?utf-8?B?SnVuaSDigqw=?=\r\n =?utf-8?Q?_2026?=\r\n\
    Message-ID: <mine@example.com>\r\nDate: Mon, 1 Jan 2001 00:00:00 +0000\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>html</p>\r\n--b--\r\n";

#[tokio::test]
async fn a_sent_mail_is_kept_as_eml_with_the_providers_message_id_and_date() {
    let world = SesWorld::start(SesOptions::default()).await;
    let tag = MessageTag::builder().name("export").value("018c-1").build().unwrap();
    let id = world.raw("a@example.com", MAIL).email_tags(tag).send().await.unwrap().message_id.unwrap();
    soon(world.ses.until_mails(1)).await;
    let mail = world.ses.mails().remove(0);
    assert_eq!(
        (mail.id.as_str(), &mail.to[..], &mail.tags[..]),
        (id.as_str(), &["a@example.com".to_owned()][..], &[("export".to_owned(), "018c-1".to_owned())][..])
    );
    assert_eq!(mail.subject, "Juni € 2026");
    assert!(mail.path.ends_with(format!("0001-{id}.eml")));
    let file = std::fs::read(&mail.path).unwrap();
    assert_eq!(file, mail.raw);
    let parsed = MessageParser::default().parse(&file).unwrap();
    assert_eq!(parsed.message_id().unwrap(), format!("{id}@eu-west-1.amazonses.com"));
    assert!(parsed.date().unwrap().year >= 2024, "the date is the provider's");
    assert_eq!(parsed.subject(), Some("Juni € 2026"));
    assert_eq!(parsed.body_text(0).unwrap().trim(), "plain");
    assert_eq!(parsed.body_html(0).unwrap().trim(), "<p>html</p>");
    assert_eq!(parsed.headers().iter().filter(|header| header.name().eq_ignore_ascii_case("date")).count(), 1);
}

#[tokio::test]
async fn simple_content_becomes_a_mail_too() {
    let world = SesWorld::start(SesOptions::default()).await;
    let text = |data: &str| Content::builder().data(data).charset("UTF-8").build().unwrap();
    let body = Body::builder().text(text("Grüße")).html(text("<b>Grüße</b>")).build();
    let message = Message::builder().subject(text("Übersicht")).body(body).build();
    let call = world.client.send_email().from_email_address("exports@example.com");
    let call = call.destination(Destination::builder().to_addresses("a@example.com").build());
    call.content(EmailContent::builder().simple(message).build()).send().await.unwrap();
    let mail = world.ses.mails().remove(0);
    let parsed = MessageParser::default().parse(&mail.raw).unwrap();
    assert_eq!((parsed.subject(), mail.subject.as_str()), (Some("Übersicht"), "Übersicht"));
    assert_eq!(parsed.body_text(0).unwrap().trim(), "Grüße");
    assert_eq!(parsed.body_html(0).unwrap().trim(), "<b>Grüße</b>");
}

#[tokio::test]
async fn every_refusal_has_the_code_and_status_of_the_real_service() {
    let world = SesWorld::start(SesOptions {
        verified: Some(vec!["example.com".into()]),
        configuration_sets: Some(vec!["events".into()]),
        access_key: Some("access".into()),
        ..Default::default()
    })
    .await;
    let mail = "Subject: hello\r\n\r\nhello";
    let bad = ("BadRequestException".to_owned(), 400);
    let to = |addresses: Vec<String>| Destination::builder().set_to_addresses(Some(addresses)).build();
    assert_eq!(refusal(world.raw("", mail).destination(to(vec![])).send().await), bad);
    let many = (0..51).map(|n| format!("a{n}@example.com")).collect();
    assert_eq!(refusal(world.raw("", mail).destination(to(many)).send().await), bad);
    for address in ["nobody", "a b@example.com", "ä@example.com", "a@exämple.com"] {
        assert_eq!(refusal(world.raw(address, mail).send().await), bad, "{address}");
    }
    let tag = MessageTag::builder().name("recipient").value("a@example.com").build().unwrap();
    assert_eq!(refusal(world.raw("a@example.com", mail).email_tags(tag).send().await), bad);
    let twice = "Subject: one\r\nSubject: two\r\n\r\nhello";
    assert_eq!(refusal(world.raw("a@example.com", twice).send().await), bad);
    let unknown = world.raw("a@example.com", mail).configuration_set_name("nowhere").send().await;
    assert_eq!(refusal(unknown), ("NotFoundException".into(), 404));
    let unverified = world.raw("a@example.com", mail).from_email_address("me@elsewhere.org").send().await;
    let message = unverified.as_ref().unwrap_err().as_service_error().unwrap().to_string();
    assert!(message.contains("Email address is not verified.") && message.contains("EU-WEST-1: me@elsewhere.org"), "{message}");
    assert_eq!(refusal(unverified), ("MessageRejected".into(), 400));
    world.ses.set_sending_enabled(false);
    assert_eq!(refusal(world.raw("a@example.com", mail).send().await), ("SendingPausedException".into(), 400));
    world.ses.set_sending_enabled(true);
    assert_eq!(world.ses.mails().len(), 0, "a refused mail was kept");
    world.raw("a@example.com", mail).configuration_set_name("events").send().await.unwrap();
    world.ses.set_max_24_hour_send(1.0);
    assert_eq!(refusal(world.raw("a@example.com", mail).send().await), ("ThrottlingException".into(), 400));
    let unsigned = reqwest::get(format!("{}/v2/email/account", world.ses.endpoint())).await.unwrap();
    assert_eq!(unsigned.headers()["x-amzn-errortype"], "MissingAuthenticationTokenException");
    let signed_at = |date: &str| {
        let call = reqwest::Client::new().get(format!("{}/v2/email/account", world.ses.endpoint()));
        call.header("authorization", "AWS4-HMAC-SHA256 Credential=access/x").header("x-amz-date", date).send()
    };
    for (date, sentence) in [("20200101T000000Z", "Signature expired"), ("21000101T000000Z", "Signature not yet current")] {
        let refused = signed_at(date).await.unwrap();
        assert_eq!(refused.headers()["x-amzn-errortype"], "InvalidSignatureException");
        assert!(refused.text().await.unwrap().contains(sentence));
    }
}

#[tokio::test]
async fn account_and_identity_answer_what_a_doctor_asks() {
    let options = SesOptions {
        verified: Some(vec!["exports@example.com".into()]),
        max_24_hour_send: 200.0,
        production_access: false,
        ..Default::default()
    };
    let world = SesWorld::start(options).await;
    let account = world.client.get_account().send().await.unwrap();
    assert!(account.sending_enabled() && !account.production_access_enabled());
    let quota = account.send_quota().unwrap();
    assert_eq!((quota.max24_hour_send(), quota.sent_last24_hours()), (200.0, 0.0));
    let identity = world.client.get_email_identity().email_identity("exports@example.com").send().await.unwrap();
    assert!(identity.verified_for_sending_status());
    let unknown = world.client.get_email_identity().email_identity("other@example.com").send().await;
    assert_eq!(refusal(unknown), ("NotFoundException".into(), 404));
    // Without production access the recipient must be verified, too.
    let refused = world.raw("stranger@example.org", "Subject: x\r\n\r\nx").send().await;
    assert_eq!(refusal(refused), ("MessageRejected".into(), 400));
}

#[tokio::test]
async fn a_suppressed_recipient_is_accepted_and_marked() {
    let world = SesWorld::start(SesOptions::default()).await;
    let put = world.client.put_suppressed_destination().email_address("gone@example.com").reason(SuppressionListReason::Bounce);
    put.send().await.unwrap();
    let found = world.client.get_suppressed_destination().email_address("gone@example.com").send().await.unwrap();
    assert_eq!(found.suppressed_destination().unwrap().reason(), &SuppressionListReason::Bounce);
    world.raw("gone@example.com", "Subject: x\r\n\r\nx").send().await.unwrap();
    let mail = world.ses.mails().remove(0);
    assert_eq!(mail.suppressed, ["gone@example.com"]);
    assert!(mail.path.to_str().unwrap().ends_with(".suppressed.eml"));
    let delete = || world.client.delete_suppressed_destination().email_address("gone@example.com").send();
    delete().await.unwrap();
    assert_eq!(refusal(delete().await), ("NotFoundException".into(), 404));
    assert!(world.client.list_suppressed_destinations().send().await.unwrap().suppressed_destination_summaries().is_empty());
}

#[tokio::test]
async fn people_see_the_mails_in_a_browser_and_markup_in_them_stays_text() {
    let world = SesWorld::start(SesOptions::default()).await;
    let id = world.raw("a@example.com", "Subject: <script>alert(1)</script>\r\n\r\nhello").send().await.unwrap().message_id.unwrap();
    let page = reqwest::get(world.ses.endpoint()).await.unwrap().text().await.unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
    let list = reqwest::get(format!("{}/_sandbox/mails", world.ses.endpoint())).await.unwrap().text().await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&list[0]["id"], &list[0]["to"][0]), (&id.clone().into(), &"a@example.com".into()));
    let eml = reqwest::get(format!("{}/_sandbox/mails/{id}", world.ses.endpoint())).await.unwrap();
    assert_eq!(eml.bytes().await.unwrap(), world.ses.mails()[0].raw);
}
