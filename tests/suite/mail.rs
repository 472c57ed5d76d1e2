//! The mail: what it says, and that each transport carries it unharmed and tells the truth about what became of it.

mod compose;
mod file;
mod ses;
mod ses_server;
mod smtp;
pub mod smtp_server;

use exportbox::job::{Failure, FailureClass, Recipient, Verdict};
use exportbox::mail::{Message, Sender};
use exportbox::message::compose::{Announcement, PartLink, compose};
use mail_parser::MessageParser;
use uuid::Uuid;

const EXPORT: Uuid = Uuid::from_u128(0x0199_f1a2_0000_7000_8000_0000_0000_0001);
const DELIVERY: Uuid = Uuid::from_u128(0x0199_f1a2_0000_7000_8000_0000_0000_0002);
const RECIPIENT: &str = "ann.smith+x@customer.example";

fn sender() -> Sender {
    "Büro, Exporte <exports@sender.example>".parse().expect("a sender")
}

/// A presigned link of two kilobytes, as a session token makes it.
fn long_link() -> String {
    let token = "IQoJb3JpZ2luX2VjEPT%2F%2B".repeat(80);
    format!(
        "https://exports.s3.eu-central-1.amazonaws.com/a/b.csv?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Security-Token={token}\
         &X-Amz-Signature={}&x-id=GetObject",
        "0f".repeat(32)
    )
}

fn announcement() -> Announcement {
    Announcement {
        export_id: EXPORT,
        report: Some("monthly_sales".into()),
        filename: "sales-2026-10.csv".into(),
        rows: Some(1_000_000),
        bytes: 52_345_678,
        as_of: "2026-11-22T05:20:31Z".parse().expect("an instant"),
        links: vec![PartLink {
            url: "https://s3.example/sales.csv?X-Amz-Expires=86400&X-Amz-Signature=abc".into(),
            part: 1,
            bytes: 52_345_678,
        }],
        expires_at: "2026-11-23T05:20:31Z".parse().expect("an instant"),
        asked_until: "2026-11-23T05:20:31Z".parse().expect("an instant"),
        cut_by: None,
        checksum: None,
        subject: None,
        message: None,
    }
}

/// A mail with everything that has ever been mangled on the way.
fn awkward_message() -> Message {
    let composed = compose(&Announcement {
        links: vec![PartLink { url: long_link().into(), part: 1, bytes: 1 }],
        subject: Some("Umsätze für Köln, 東京 😀: the very long quarterly report that does not fit into one line of a header".into()),
        message: Some("<script>alert('&')</script> {{ x }} {% raw %}\r\n.\r\n..leading dots\nFrom here = there =3D \t\n\n東京 😀".into()),
        ..announcement()
    });
    Message {
        delivery_id: DELIVERY,
        export_id: Some(EXPORT),
        to: Recipient::new(RECIPIENT),
        subject: composed.subject,
        text: composed.text,
        html: composed.html,
    }
}

/// Read a mail with a parser that shares nothing with the program that wrote it, and compare it with what was meant.
fn assert_unharmed(mime: &[u8], meant: &Message) {
    let longest = mime.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest <= Some(999), "a line of {longest:?} bytes");

    let mail = MessageParser::default().parse(mime).expect("a mail");
    assert_eq!(mail.subject(), Some(meant.subject.as_str()));
    let from = mail.from().and_then(|from| from.first()).expect("a sender");
    assert_eq!((from.name(), from.address()), (Some("Büro, Exporte"), Some("exports@sender.example")));
    let to: Vec<_> = mail.all_to().flat_map(|to| to.iter()).filter_map(|to| to.address()).collect();
    assert_eq!(to, [meant.to.reveal()]);
    assert!(mail.cc().is_none() && mail.bcc().is_none());
    assert_eq!(mail.message_id(), Some(format!("{DELIVERY}@sender.example").as_str()));
    assert!(mail.date().is_some());
    assert_eq!(mail.header_raw("X-Exportbox-Export").map(str::trim), Some(EXPORT.to_string().as_str()));
    assert_eq!(mail.header_raw("X-Exportbox-Delivery").map(str::trim), Some(DELIVERY.to_string().as_str()));
    assert_eq!(mail.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert!(mail.header_raw("Content-Type").expect("a type").trim().starts_with("multipart/alternative"));

    assert_eq!((mail.text_body_count(), mail.html_body_count(), mail.attachment_count()), (1, 1, 0));
    assert_eq!(mail.body_text(0).expect("a text").replace("\r\n", "\n"), meant.text);
    assert_eq!(mail.body_html(0).expect("a page").replace("\r\n", "\n"), meant.html);
}

/// A failure is what it should be, says so in words of its own, and repeats no address.
fn assert_failure(failure: &Failure, class: FailureClass, verdict: Verdict, words: &str, case: &str) {
    assert_eq!((failure.class, failure.verdict), (class, verdict), "{case}: {}", failure.sentence);
    assert!(failure.sentence.contains(words), "{case}: {}", failure.sentence);
    let shown = format!("{failure} {failure:?} {}", failure.sentence);
    for secret in ["@sender.example", "customer.example", "hunter2", "X-Amz", "gibberish"] {
        assert!(!shown.contains(secret), "{case}: {shown}");
    }
    assert!(failure.sentence.ends_with('.') && failure.sentence.len() < 200, "{case}: {}", failure.sentence);
}
