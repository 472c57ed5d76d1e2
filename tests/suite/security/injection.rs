//! Mails that cannot bite: every text field of a request goes through the door, the daemon and each transport, and an independent parser reads the
//! mail: the same headers, the same elements, the same recipient as those of a harmless one.

use std::collections::BTreeMap;

use mail_parser::decoders::html::html_to_text;
use mail_parser::{HeaderValue, MessageParser};

use crate::harness::{World, read_mail};
use crate::mail::smtp_server::SmtpServer;

/// One-line texts that try to be something else. What the door refuses is not sent.
const ONE_LINE: [&str; 16] = [
    "plain",
    "x\r\nBcc: eve@evil.example",
    "x\nBcc: eve@evil.example\n\nbody",
    "x\r\n folded",
    "=?utf-8?Q?x=0D=0ABcc:=20eve@evil.example?=",
    "\"; filename=\"evil.exe",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)\" x='",
    "</td></table><a href=\"https://evil.example\">x</a>",
    "&lt;b&gt; &amp; &#60;",
    "{{ 7*7 }}{% for x in links %}{{ x.url }}{% endfor %}${7*7}<%= 7*7 %>",
    "javascript:alert(1)",
    "\u{202e}gnp.exe\u{2066}\u{200b}",
    "\u{2028}\u{2029}\u{85}",
    "--=_boundary--",
    "😀 Umsätze, 東京; \"q\" (c) <a@b>",
];
/// The same for the message, which may have lines.
const LINES: [&str; 5] = [
    "line\r\n.\r\nQUIT\r\nMAIL FROM:<eve@evil.example>",
    "--boundary\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>",
    "\r\n\r\nBcc: eve@evil.example\r\n\r\n",
    "<!--[if mso]><a href=\"https://evil.example\">x</a><![endif]--> --> <!--",
    "From nobody Sat Jan  1 00:00:00 2026\n=\n=3D=0A\n\t\n",
];

/// What of a mail nobody's text may change: header names, the structure of the page, where it leads, and to whom it goes.
#[derive(Debug, PartialEq)]
struct Shape {
    headers: Vec<String>,
    to: Vec<String>,
    parts: Vec<String>,
    elements: BTreeMap<String, usize>,
    links: usize,
}

fn shape(raw: &[u8]) -> Shape {
    let mail = MessageParser::default().parse(raw).unwrap();
    let mut headers: Vec<String> = mail.headers_raw().map(|(name, _)| name.to_ascii_lowercase()).collect();
    headers.sort();
    let to = mail.all_to().flat_map(|to| to.iter()).filter_map(|to| to.address().map(ToString::to_string)).collect();
    let parts = mail.parts.iter().map(|part| {
        let kind = part.headers.iter().find_map(|header| match &header.value {
            HeaderValue::ContentType(kind) => Some(format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())),
            _ => None,
        });
        kind.unwrap_or_default()
    });
    let parts = parts.collect();
    let read = read_mail(raw);
    let mut elements = BTreeMap::new();
    // A line of the message is a <br>, and nothing else of a request makes an element.
    for element in read.html.split('<').skip(1).map(|rest| rest.split(|c: char| c.is_whitespace() || c == '>').next().unwrap()) {
        *elements.entry(element.to_ascii_lowercase()).or_default() += usize::from(element != "br");
    }
    elements.remove("br");
    for href in read.html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(href.replace("&amp;", "&"), read.links[0], "a link that is not ours");
    }
    Shape { headers, to, parts, elements, links: read.html.matches("href=\"").count() }
}

/// Request one export for each text in that field, in one drain; the refused ones are counted.
async fn request_all(world: &World, field: &str, texts: &[&str]) -> (Vec<String>, usize) {
    let (mut sent, mut refused) = (Vec::new(), 0);
    let app = world.app().await;
    for text in texts {
        let call = match field {
            "params" | "metadata" => format!(
                "select exportbox.request_export(query => 'select 1 as a', recipients => '{{ann@example.com}}', {field} => jsonb_build_object('k', $1::text), message => 'm')"
            ),
            _ if field == "message" => {
                "select exportbox.request_export(query => 'select 1 as a', recipients => '{ann@example.com}', message => 'm ' || $1::text)"
                    .into()
            }
            _ => format!(
                "select exportbox.request_export(query => 'select 1 as a', recipients => '{{ann@example.com}}', {field} => $1::text, message => 'm')"
            ),
        };
        match app.query_one(&call, &[text]).await {
            Ok(_) => sent.push((*text).to_string()),
            Err(error) => {
                let code = error.as_db_error().unwrap().code().code();
                assert!(code.starts_with("EB") || code == "22021", "{field} {text:?}: {error:?}");
                refused += 1;
            }
        }
    }
    world.drain().await;
    (sent, refused)
}

#[tokio::test]
async fn no_text_of_a_request_changes_the_mail_that_carries_it() {
    let plain = World::new().await;
    request_all(&plain, "message", &["plain"]).await;
    let meant = shape(&plain.mails()[0].raw);
    assert_eq!((meant.to.len(), meant.links), (1, 2));
    for field in ["subject", "filename", "message", "metadata", "params", "idempotency_key"] {
        let mut world = World::new().await;
        let server = SmtpServer::start(&["8BITMIME"], None).await;
        let dir = world.dir().join("outgoing");
        let texts = if field == "message" { [&ONE_LINE[..], &LINES].concat() } else { ONE_LINE.to_vec() };
        let (sent, refused) = request_all(&world, field, &texts).await;
        assert!(sent.len() >= 9 && sent.len() + refused == texts.len(), "{field}: {} sent, {refused} refused", sent.len());
        let mut mails: Vec<Vec<u8>> = world.mails().into_iter().map(|mail| mail.raw).collect();
        assert_eq!(mails.len(), sent.len(), "{field}: each mail once, to its recipient alone");
        // The same texts again over the two other transports.
        if matches!(field, "subject" | "message") {
            for transport in [format!("smtp://127.0.0.1:{}?tls=none", server.port), format!("file:{}", dir.display())] {
                world.settings.mail = transport.parse().unwrap();
                request_all(&world, field, &texts).await;
            }
            mails.extend(server.mails());
            mails.extend(std::fs::read_dir(&dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()));
            assert_eq!(mails.len(), 3 * sent.len(), "{field}");
        }
        for raw in &mails {
            assert_eq!(shape(raw), meant, "{field}: {}", String::from_utf8_lossy(raw));
        }
        if field == "message" {
            for text in &sent {
                let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                let whole = |raw: &Vec<u8>| {
                    let mail = read_mail(raw);
                    squeezed(&mail.text).contains(&squeezed(text)) && squeezed(&html_to_text(&mail.html)).contains(&squeezed(text))
                };
                assert!(mails.iter().any(whole), "not shown as it was written: {text:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_recipient_that_is_more_than_an_address_is_refused_at_the_door() {
    let world = World::new().await;
    let app = world.app().await;
    for address in [
        "ann@example.com\r\nBcc: eve@evil.example",
        "ann@example.com, eve@evil.example",
        "Ann <ann@example.com>",
        "ann@example.com>",
        "ann@example.com\0",
        "\"a b\"@example.com",
        "ann@[127.0.0.1]",
        "ann\u{202e}@example.com",
        "änn@example.com",
        "ann@example",
        "ann@exa mple.com",
        "@example.com",
        "ann%0d%0aBcc:eve@evil.example\n",
    ] {
        let call = "select exportbox.request_export(query => 'select 1', recipients => array[$1::text])";
        let error = app.query_one(call, &[&address]).await.expect_err(address);
        let code = error.as_db_error().unwrap().code().code().to_string();
        assert!(code == "EB011" || code == "22021", "{address:?}: {code}");
    }
    assert_eq!(world.count("select count(*) from exportbox.outbox").await, 0);
}
