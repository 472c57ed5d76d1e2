//! Links lead to our own bucket and to nothing else, whatever a request or a row says.

use std::time::Duration;

use chrono::Utc;
use exportbox::store::{Store, StoreOptions};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::World;

/// The parts of a signed link that must not depend on a request.
fn place(link: &str) -> (String, Option<u16>, String) {
    let url = reqwest::Url::parse(link).unwrap();
    (format!("{}://{}{}", url.scheme(), url.username(), url.host_str().unwrap()), url.port(), url.path().to_string())
}

#[tokio::test]
async fn a_link_leads_to_the_configured_host_and_bucket_whatever_the_request_says() {
    let mut world = World::new().await;
    let endpoint = reqwest::Url::parse(&world.s3.endpoint()).unwrap();
    let names =
        ["@evil.example/x.csv", "x.csv#@evil.example", "x.csv?X-Amz-Expires=9", "%2e%2e%2fx", "..;evil.example", "http:evil.example"];
    for public in [None, Some("https://files.example.com:8443")] {
        world.settings.public_s3_endpoint = public.map(Into::into);
        let meant = reqwest::Url::parse(public.unwrap_or(endpoint.as_str())).unwrap();
        let mut ids = Vec::new();
        for name in names {
            let more =
                format!("filename => '{}', subject => 'https://evil.example', message => 'https://evil.example'", name.replace('/', "_"));
            ids.push(world.request_with("select 1", &["ann@example.com"], &more).await);
        }
        world.complete(&ids).await;
        let mails = world.mails_to("ann@example.com");
        for mail in &mails[mails.len() - names.len()..] {
            let (host, port, path) = place(&mail.links[0]);
            assert_eq!((host, port), (format!("{}://{}", meant.scheme(), meant.host_str().unwrap()), meant.port()));
            let id = mail.headers["x-exportbox-export"].parse().unwrap();
            assert_eq!(path, format!("/exports/{}", world.manifest(id).await["key"].as_str().unwrap()));
            for href in mail.html.split("href=\"").skip(1) {
                let href = href.split('"').next().unwrap().replace("&amp;", "&");
                assert_eq!(href, mail.links[0], "a link of somebody else");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_or_type_of_a_file_moves_its_link() {
    let world = World::new().await;
    let options = StoreOptions { bucket: "exports".into(), public_endpoint: Some("https://files.example.com".into()), object_life: None };
    let store = Store::new(&world.store_config(), options);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let signed = |key: &str, filename: &str, kind: &str| {
        let signing = store.link(key, Duration::from_secs(3600), filename, kind, Utc::now(), None);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(signing)).unwrap()
    };
    let strategy = ("[ -~]{1,40}", any::<String>(), "[ -~]{0,40}");
    let check = |(key, filename, kind): (String, String, String)| {
        let link = signed(&key, &filename, &kind);
        let url = reqwest::Url::parse(link.url.reveal()).unwrap();
        prop_assert_eq!((url.scheme(), url.host_str(), url.username(), url.fragment()), ("https", Some("files.example.com"), "", None));
        let queries: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        for (name, most) in
            [("response-content-disposition", 1), ("response-content-type", 1), ("X-Amz-Signature", 1), ("X-Amz-Expires", 1)]
        {
            prop_assert_eq!(queries.iter().filter(|found| *found == name).count(), most, "{} in {:?}", name, queries);
        }
        let disposition = url.query_pairs().find(|(name, _)| name == "response-content-disposition").unwrap().1.into_owned();
        prop_assert!(disposition.starts_with("attachment; filename=\"") && disposition.matches('"').count() == 2, "{}", disposition);
        Ok(())
    };
    tokio::task::block_in_place(|| runner.run(&strategy, check)).unwrap();
}
