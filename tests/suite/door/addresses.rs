//! Which addresses the door takes.

use crate::harness::World;

const GOOD: &[&str] = &[
    "ann@example.com",
    "Ann.Lee@Example.COM",
    "a@b.co",
    "ann+exports@example.co.uk",
    "o'brien@example.ie",
    "x!#$%&*+/=?^_`{|}~-y@example.com",
    "1234567890@example.com",
    "ann@xn--bcher-kva.example",
    "ann@sub-domain.example.museum",
    "ann@1and1.com",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.com",
];

const BAD: &[&str] = &[
    "",
    " ",
    "ann",
    "ann@",
    "@example.com",
    "ann@example",
    "ann@localhost",
    "ann@@example.com",
    "ann@bob@example.com",
    " ann@example.com",
    "ann@example.com ",
    "ann @example.com",
    "ann@exam ple.com",
    "ann@example.com\n",
    "ann@example.com\r\nBcc: eve@example.com",
    "ann\n@example.com",
    "ann@example.com,bob@example.com",
    "ann@example.com;bob@example.com",
    "Ann <ann@example.com>",
    "<ann@example.com>",
    "mailto:ann@example.com",
    "\"ann lee\"@example.com",
    "ann(comment)@example.com",
    ".ann@example.com",
    "ann.@example.com",
    "ann..lee@example.com",
    "ann@.example.com",
    "ann@example..com",
    "ann@example.com.",
    "ann@-example.com",
    "ann@example-.com",
    "ann@example.c_m",
    "ann@127.0.0.1",
    "ann@[127.0.0.1]",
    "ann@example.123",
    "änn@example.com",
    "ann@bücher.example",
    "ann@example.com\u{200b}",
    "аnn@example.com",
    "ann@example.com\u{7f}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.com",
];

#[tokio::test]
async fn a_wrong_address_is_refused_whatever_is_wrong_with_it() {
    let world = World::new().await;
    let app = world.app().await;
    let insert = "insert into exportbox.outbox (query, recipients) values ('select 1', $1)";
    let long = format!("a@{}.com", "a.".repeat(125));
    let label = format!("a@{}.com", "a".repeat(64));
    for address in BAD.iter().copied().chain([long.as_str(), label.as_str()]) {
        // Second in the list: the first being right must not be enough.
        let Err(error) = app.execute(insert, &[&vec!["bob@example.com", address]]).await else { panic!("accepted: {address:?}") };
        let said = error.as_db_error().unwrap();
        assert_eq!(said.code().code(), "EB011", "{address:?}");
        assert!(said.hint().unwrap().contains("ann@example.com"), "{said:?}");
    }
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}

#[tokio::test]
async fn a_right_address_is_taken_and_its_mail_goes_there() {
    let world = World::new().await;
    let id = world.request("select 1", GOOD).await;
    world.drain().await;
    assert_eq!(world.state(id).await, "completed");
    let mut asked: Vec<String> = GOOD.iter().map(ToString::to_string).collect();
    let mut mailed: Vec<String> = world.mails().into_iter().flat_map(|mail| mail.to).collect();
    asked.sort();
    mailed.sort();
    assert_eq!(mailed, asked);
}

#[tokio::test]
async fn fifty_recipients_are_taken_and_duplicates_collapse_whatever_their_case() {
    let world = World::new().await;
    let fifty: Vec<String> =
        (1..=48).map(|n| format!("a{n}@example.com")).chain(["A1@example.com".into(), "a1@EXAMPLE.com".into()]).collect();
    let fifty: Vec<&str> = fifty.iter().map(String::as_str).collect();
    let id = world.request("select 1", &fifty).await;
    world.drain().await;
    assert_eq!(world.export(id).await["mails"], 48);
    assert_eq!(world.mails().len(), 48);
}
