//! What the mail says.

use exportbox::message::compose::{Announcement, Composed, PartLink, compose};
use mail_parser::decoders::html::html_to_text;

use super::{announcement, long_link};

/// Everything that a mail can hold at once.
fn full() -> Announcement {
    let part = |part: i32, bytes| PartLink { url: format!("https://s3.example/big.csv_part{part}?a=1&b='2'").into(), part, bytes };
    Announcement {
        filename: "big <1>.csv.gz".into(),
        links: vec![part(1, 6_442_450_944), part(2, 6_442_450_944), part(3, 1_000)],
        bytes: 12_884_902_888,
        expires_at: "2026-11-22T06:20:31Z".parse().expect("an instant"),
        asked_until: "2026-11-29T05:20:31Z".parse().expect("an instant"),
        cut_by: Some("credentials"),
        checksum: Some(format!("sha256:{}", "9f".repeat(32))),
        subject: Some("Big numbers".into()),
        message: Some("Dear colleagues,\r\n\r\nhere are the numbers & <charts>.\n.\nAnn".into()),
        ..announcement()
    }
}

fn assert_as_before(name: &str, body: &str) {
    insta::with_settings!({ snapshot_path => "../snapshots", omit_expression => true }, { insta::assert_snapshot!(name, body) });
}

#[test]
fn a_plain_mail_reads_as_before() {
    let Composed { subject, text, html } = compose(&announcement());
    assert_eq!(subject, "Your export sales-2026-10.csv is ready");
    assert_as_before("plain_text", &text);
    assert_as_before("plain_html", &html);
}

#[test]
fn a_full_mail_reads_as_before() {
    let Composed { subject, text, html } = compose(&full());
    assert_eq!(subject, "Big numbers");
    assert_as_before("full_text", &text);
    assert_as_before("full_html", &html);
}

#[test]
fn both_bodies_tell_the_same_facts() {
    for announcement in [announcement(), full()] {
        let Composed { text, html, .. } = compose(&announcement);
        let page = html_to_text(&html);
        for body in [&text, &page] {
            let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
            let size = if announcement.links.len() == 1 { "1,000,000 rows, 52.3 MB" } else { "1,000,000 rows, 12.9 GB" };
            assert!(body.contains(size), "{body}");
            assert!(body.contains("22 November 2026, 05:20 UTC"), "{body}");
            let until = announcement.expires_at.format("until %-d %B %Y, %H:%M UTC").to_string();
            assert!(body.contains(&until), "{body}");
            assert!(body.contains(&format!("Reference: export {}", announcement.export_id)), "{body}");
            assert!(body.contains("You get this mail because"), "{body}");
            assert!(body.contains(&announcement.filename), "{body}");
            for link in &announcement.links {
                assert!(body.contains(link.url.reveal()), "a link is missing in {body}");
            }
            let cut = announcement.cut_by.is_some();
            assert_eq!(body.contains("ends earlier than asked for (29 November 2026, 05:20 UTC)"), cut, "{body}");
            assert_eq!(body.contains("gunzip"), announcement.filename.ends_with(".gz"), "{body}");
            assert_eq!(body.contains("SHA-256: 9f9f"), announcement.checksum.is_some(), "{body}");
            assert_eq!(body.contains("cat part1 part2 part3 >"), announcement.links.len() == 3, "{body}");
            assert_eq!(body.contains("copy /b part1+part2+part3 "), announcement.links.len() == 3, "{body}");
        }
    }
}

#[test]
fn parts_are_listed_in_their_order() {
    let Composed { text, html, .. } = compose(&full());
    for body in [text, html] {
        let places: Vec<_> = (1..=3).map(|part| body.find(&format!("csv_part{part}?")).expect("a link")).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn each_reason_for_an_early_end_is_given_in_words() {
    for (cut_by, words) in [("credentials", "signed ends then"), ("object", "deleted then"), ("something new", "cannot be kept open")] {
        let Composed { text, html, .. } = compose(&Announcement { cut_by: Some(cut_by), ..full() });
        assert!(text.contains(words) && html.contains(words), "{cut_by}: {text}");
    }
}

#[test]
fn words_of_the_request_are_data_in_both_bodies() {
    let awkward = "<script>alert(\"1\")</script> {{ filename }} {% if %} &amp; 'quoted'";
    let Composed { text, html, .. } =
        compose(&Announcement { filename: awkward.into(), report: Some(awkward.into()), message: Some(awkward.into()), ..announcement() });
    assert_eq!(text.matches(awkward).count(), 3, "{text}");
    assert!(!html.contains("<script"), "{html}");
    assert_eq!(html_to_text(&html).matches(awkward).count(), 3, "{}", html_to_text(&html));
}

#[test]
fn a_link_cannot_leave_its_attribute() {
    let url = "https://s3.example/\"><script>alert(1)</script>'&x=<y>";
    let Composed { html, .. } = compose(&Announcement { links: vec![PartLink { url: url.into(), part: 1, bytes: 1 }], ..announcement() });
    assert!(!html.contains("<script"), "{html}");
    assert!(html_to_text(&html).contains(url), "{html}");
}

#[test]
fn a_subject_stays_on_one_line() {
    for (subject, filename) in [(Some("Ready\r\nBcc: eve@evil.example\u{2028}x"), "a.csv"), (None, "a\r\nBcc: eve@evil.example\n.csv")] {
        let composed = compose(&Announcement { subject: subject.map(Into::into), filename: filename.into(), ..announcement() });
        assert!(!composed.subject.contains(['\r', '\n', '\u{2028}']), "{:?}", composed.subject);
        assert!(composed.subject.contains("Bcc: eve@evil.example"), "nothing is lost: {:?}", composed.subject);
    }
    let blank = compose(&Announcement { subject: Some(" \t ".into()), ..announcement() });
    assert_eq!(blank.subject, "Your export sales-2026-10.csv is ready");
}

#[test]
fn the_page_loads_nothing_and_forbids_the_rewriting_of_links() {
    let Composed { html, .. } = compose(&full());
    for outside in ["<img", "<link", "<script", "<iframe", "url(", "@import", "src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    let anchors = html.matches("<a ").count();
    assert_eq!(anchors, 6);
    assert_eq!(html.matches("<a ses:no-track href=").count(), anchors, "SES would replace the links by its own");
}

#[test]
fn a_debug_print_shows_no_link_and_no_words_of_the_request() {
    let announcement = Announcement { links: vec![PartLink { url: long_link().into(), part: 1, bytes: 1 }], ..full() };
    let shown = format!("{announcement:?} {:?}", compose(&announcement));
    for secret in ["X-Amz", "s3.", "big", "Dear", "Big numbers", "monthly_sales"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
