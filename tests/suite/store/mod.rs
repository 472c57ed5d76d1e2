//! The store over the real SDK.

mod body;
mod fake;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::checksum_config::RequestChecksumCalculation;
use aws_types::sdk_config::TimeSource;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use exportbox::job::{Failure, FailureClass, LeaseToken, ObjectKey, Verdict};
use exportbox::store::{Head, Link, NewObject, Store, StoreOptions};
use uuid::Uuid;

use self::fake::{BUCKET, Call, FakeS3, Fault, credentials, s3};

const TYPE: &str = "text/csv; charset=utf-8";

fn key() -> ObjectKey {
    ObjectKey::new("exports", Uuid::new_v4(), LeaseToken(Uuid::new_v4()), "orders.csv")
}

fn object(key: &str) -> NewObject {
    NewObject { key: key.into(), content_type: TYPE.into(), metadata: vec![], kms_key: None }
}

async fn put(store: &Store, key: &str) -> Result<(), Failure> {
    store.put(&object(key), Bytes::from_static(b"a,b\n1,2\n"), crc32fast::hash(b"a,b\n1,2\n")).await
}

fn kind<T>(result: Result<T, Failure>) -> (FailureClass, Verdict) {
    result.map(drop).map_err(|failure| (failure.class, failure.verdict)).unwrap_err()
}

#[tokio::test]
async fn an_object_is_written_once_and_described() {
    let s3 = s3().await;
    let (store, key) = (s3.store(), key().full());
    assert_eq!(store.head(&key).await.unwrap(), None);
    put(&store, &key).await.unwrap();
    let head: Head = store.head(&key).await.unwrap().unwrap();
    assert_eq!((head.bytes, head.crc32), (8, Some(crc32fast::hash(b"a,b\n1,2\n"))));
    assert!(head.last_modified.unwrap() <= Utc::now());
    let other = store.put(&object(&key), Bytes::from_static(b"other"), crc32fast::hash(b"other")).await;
    assert_eq!(kind(other), (FailureClass::Verification, Verdict::Retry));
    assert_eq!(std::fs::read(s3.path(&key)).unwrap(), b"a,b\n1,2\n");
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
}

#[tokio::test]
async fn an_abort_is_repeated_until_the_store_no_longer_knows_the_upload() {
    let s3 = s3().await;
    let (store, key) = (s3.store(), key().full());
    let upload = store.begin(&object(&key)).await.unwrap();
    upload.part(1, Bytes::from_static(b"a"), crc32fast::hash(b"a")).await.unwrap();
    store.abort(&key, upload.id()).await.unwrap();
    assert_eq!(s3.count(Call::Abort), 2);
    assert!(s3.open_uploads().is_empty());
    store.abort(&key, upload.id()).await.unwrap();
    assert_eq!(kind(upload.complete(&[], 0).await), (FailureClass::Verification, Verdict::Retry));
}

#[tokio::test]
async fn a_sweep_removes_all_of_one_attempt_and_nothing_else() {
    let s3 = s3().await;
    let (store, lost, kept) = (s3.store(), key(), key());
    for number in 1..=3 {
        put(&store, &lost.part(number)).await.unwrap();
    }
    put(&store, &kept.full()).await.unwrap();
    let upload = store.begin(&object(&lost.full())).await.unwrap();
    upload.part(1, Bytes::from_static(b"a"), crc32fast::hash(b"a")).await.unwrap();
    for _ in 0..2 {
        store.sweep(BUCKET, &lost.full(), Some(upload.id())).await.unwrap();
        assert!((1..=3).all(|number| !s3.path(&lost.part(number)).exists()));
        assert!(s3.open_uploads().is_empty());
    }
    assert!(s3.path(&kept.full()).exists());
    for prefix in ["", "exports/", kept.prefix().split_at(20).0] {
        assert_eq!(kind(store.sweep(BUCKET, prefix, None).await), (FailureClass::Internal, Verdict::Bury));
    }
    assert!(s3.path(&kept.full()).exists());
}

#[tokio::test]
async fn each_trouble_with_the_store_has_its_class_and_sentence() {
    let s3 = s3().await;
    let key = key().full();
    let with = |sdk: aws_types::sdk_config::Builder| fake::store(&sdk.build());
    let trouble = async |store: Store| {
        let failure = put(&store, &key).await.unwrap_err();
        assert!(failure.detail.is_some() && !failure.sentence.contains(&key));
        (failure.class, failure.verdict, failure.sentence)
    };
    let (class, verdict, sentence) = trouble(with(s3.sdk().credentials_provider(credentials("wrong", None)))).await;
    assert_eq!((class, verdict), (FailureClass::StoreAccess, Verdict::Hold));
    assert!(sentence.contains("AWS_SECRET_ACCESS_KEY"));

    let nowhere = fake::sdk("http://127.0.0.1:1");
    let (class, verdict, _) = trouble(with(nowhere)).await;
    assert_eq!((class, verdict), (FailureClass::StoreUnavailable, Verdict::Retry));

    let nothing = provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("nothing")) });
    let nobody = s3.sdk().credentials_provider(SharedCredentialsProvider::new(nothing));
    let (class, verdict, sentence) = trouble(with(nobody)).await;
    assert_eq!((class, verdict), (FailureClass::StoreAccess, Verdict::Hold));
    assert!(sentence.contains("No credentials"));

    let mut homeless = s3.sdk();
    homeless.set_region(None).set_endpoint_url(None);
    let (class, verdict, sentence) = trouble(with(homeless)).await;
    assert_eq!((class, verdict), (FailureClass::StoreConfig, Verdict::Hold));
    assert!(sentence.contains("AWS_REGION"));

    s3.fail([(); 3].map(|()| (Call::Put, Fault::Answer(503, "SlowDown", Some(7)))));
    let failure = put(&s3.store(), &key).await.unwrap_err();
    assert_eq!((failure.class, failure.verdict), (FailureClass::StoreThrottled, Verdict::Retry));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));

    for (status, code, class, verdict) in [
        (404, "NoSuchBucket", FailureClass::StoreConfig, Verdict::Hold),
        (301, "PermanentRedirect", FailureClass::StoreConfig, Verdict::Hold),
        (403, "RequestTimeTooSkewed", FailureClass::StoreAccess, Verdict::Postpone),
        (400, "EntityTooLarge", FailureClass::TooLarge, Verdict::Bury),
        (400, "BadDigest", FailureClass::Verification, Verdict::Retry),
        (409, "ConditionalRequestConflict", FailureClass::Verification, Verdict::Retry),
        (418, "Teapot", FailureClass::Internal, Verdict::Retry),
    ] {
        s3.fail([(); 3].map(|()| (Call::Put, Fault::Answer(status, code, None))));
        assert_eq!(kind(put(&s3.store(), &key).await), (class, verdict), "{code}");
        s3.heal();
    }
}

#[tokio::test]
async fn the_probe_tells_a_missing_bucket_from_one_that_is_there() {
    let s3 = s3().await;
    s3.store().probe().await.unwrap();
    let missing = Store::new(&s3.sdk().build(), StoreOptions { bucket: "missing".into(), ..StoreOptions::default() });
    assert_eq!(kind(missing.probe().await), (FailureClass::StoreConfig, Verdict::Hold));
    let stranger = fake::store(&s3.sdk().credentials_provider(credentials("wrong", None)).build());
    assert_eq!(kind(stranger.probe().await), (FailureClass::StoreAccess, Verdict::Hold));
}

#[tokio::test]
async fn an_object_with_a_key_of_its_own_is_encrypted_with_it_however_it_is_stored() {
    let s3 = s3().await;
    let store = s3.store();
    let sealed = |key: String| NewObject { kms_key: Some("alias/reports".into()), ..object(&key) };
    store.put(&sealed(key().full()), Bytes::from_static(b"a"), crc32fast::hash(b"a")).await.unwrap();
    let upload = store.begin(&sealed(key().full())).await.unwrap();
    let part = upload.part(1, Bytes::from_static(b"a"), crc32fast::hash(b"a")).await.unwrap();
    upload.complete(&[part], crc32fast::hash(b"a")).await.unwrap();
    put(&store, &key().full()).await.unwrap();
    let told =
        |call| s3.requests().into_iter().filter(|request| request.call == call).map(|request| request.encryption).collect::<Vec<_>>();
    let with_key = Some(("aws:kms".to_string(), "alias/reports".to_string()));
    assert_eq!(told(Call::Put), [with_key.clone(), None]);
    assert_eq!(told(Call::Begin), [with_key]);
}

/// The names of the checksum headers that a PUT and a multipart upload send.
async fn checksum_headers(s3: &FakeS3, sdk: &SdkConfig) -> Vec<String> {
    let (store, seen) = (fake::store(sdk), s3.requests().len());
    put(&store, &key().full()).await.unwrap();
    let key = key().full();
    let upload = store.begin(&object(&key)).await.unwrap();
    let part = upload.part(1, Bytes::from_static(b"a"), crc32fast::hash(b"a")).await.unwrap();
    upload.complete(&[part], crc32fast::hash(b"a")).await.unwrap();
    store.head(&key).await.unwrap().unwrap();
    let requests = s3.requests();
    let mut names: Vec<String> = requests[seen..].iter().flat_map(|request| request.headers.clone()).collect();
    names.retain(|name| name.contains("checksum") || name == "x-amz-trailer" || name == "content-md5");
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn checksums_are_sent_unless_the_store_is_not_to_see_any() {
    let s3 = s3().await;
    let sent = ["x-amz-checksum-algorithm", "x-amz-checksum-crc32", "x-amz-checksum-mode", "x-amz-checksum-type"];
    assert_eq!(checksum_headers(&s3, &s3.sdk().build()).await, sent);
    let plain = s3.sdk().request_checksum_calculation(RequestChecksumCalculation::WhenRequired).build();
    assert_eq!(checksum_headers(&s3, &plain).await, [""; 0]);
}

async fn link(store: &Store, key: &str, wish_s: u64) -> Result<Link, Failure> {
    store.link(key, Duration::from_secs(wish_s), "Umsätze \"März\".csv", TYPE, Utc::now(), None).await
}

#[tokio::test]
async fn a_link_gives_the_file_under_its_name_and_type_and_cannot_be_changed() {
    let s3 = s3().await;
    let (store, key, other) = (s3.store(), key().full(), key().full());
    put(&store, &key).await.unwrap();
    put(&store, &other).await.unwrap();
    let before = Utc::now();
    let link = link(&store, &key, 3600).await.unwrap();
    assert_eq!(link.cut_by, None);
    assert!((link.expires_at - before).num_seconds().abs_diff(3600) <= 2);
    assert!(!format!("{link:?}").contains("http"));

    let url = link.url.reveal();
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], TYPE);
    let disposition = response.headers()["content-disposition"].to_str().unwrap();
    assert_eq!(disposition, "attachment; filename=\"Ums_tze _M_rz_.csv\"; filename*=UTF-8''Ums%C3%A4tze%20_M%C3%A4rz_.csv");
    assert_eq!(response.bytes().await.unwrap(), "a,b\n1,2\n");

    let tampered = [url.replace(&key, &other), url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"), url.replace("orders", "others")];
    for url in tampered {
        assert_eq!(reqwest::get(url).await.unwrap().status(), 403);
    }
    assert_eq!(reqwest::get(url.split('?').next().unwrap()).await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_link_is_dead_after_its_instant() {
    let s3 = s3().await;
    let (store, key) = (s3.store(), key().full());
    put(&store, &key).await.unwrap();
    let link = link(&store, &key, 1).await.unwrap();
    let status = loop {
        let status = reqwest::get(link.url.reveal()).await.unwrap().status();
        if Utc::now() > link.expires_at + chrono::TimeDelta::seconds(1) {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(status, 403);
}

/// A clock that is off.
#[derive(Debug)]
struct Off(i64);

impl TimeSource for Off {
    fn now(&self) -> SystemTime {
        (Utc::now() + chrono::TimeDelta::hours(self.0)).into()
    }
}

#[tokio::test]
async fn a_machine_whose_clock_is_hours_off_stores_files_and_gives_links_that_work() {
    let s3 = s3().await;
    for hours in [0, 5, -9] {
        // Each first call of a process is the one that is refused for its time.
        let store = || fake::store(&s3.sdk().time_source(Off(hours)).build());
        let key = key().full();
        put(&store(), &key).await.unwrap();
        store().probe().await.unwrap();
        store().begin(&object(&key)).await.unwrap().abort().await.unwrap();
        let store = store();
        assert!(store.head(&key).await.unwrap().is_some(), "{hours} hours");
        let link = link(&store, &key, 3600).await.unwrap();
        assert_eq!(reqwest::get(link.url.reveal()).await.unwrap().status(), 200, "{hours} hours");
        let left_s = (link.expires_at - Utc::now()).num_seconds();
        assert!((3590..=3601).contains(&left_s), "{hours} hours: {left_s} s are left");
    }
}

#[tokio::test]
async fn a_link_dies_with_the_credentials_that_signed_it() {
    let s3 = s3().await;
    let ends = SystemTime::now() + Duration::from_secs(600);
    let store = fake::store(&s3.sdk().credentials_provider(credentials("secret", Some(ends))).build());
    let cut = link(&store, &key().full(), 3600).await.unwrap();
    assert_eq!(cut.cut_by, Some("credentials"));
    let early = DateTime::<Utc>::from(ends) - cut.expires_at;
    assert!((0..=1000).contains(&early.num_milliseconds()));
    assert_eq!(link(&store, &key().full(), 60).await.unwrap().cut_by, None);

    let ends = SystemTime::now() + Duration::from_secs(30);
    let store = fake::store(&s3.sdk().credentials_provider(credentials("secret", Some(ends))).build());
    let failure = link(&store, &key().full(), 3600).await.unwrap_err();
    assert_eq!((failure.class, failure.verdict), (FailureClass::StoreAccess, Verdict::Retry));
    assert!((28..=31).contains(&failure.retry_after.unwrap().as_secs()));
}

#[tokio::test]
async fn a_link_dies_with_the_object() {
    let s3 = s3().await;
    let options = StoreOptions { bucket: BUCKET.into(), object_life: Some(Duration::from_secs(3600)), public_endpoint: None };
    let store = Store::new(&s3.sdk().build(), options);
    let stored_at = Utc::now() - chrono::TimeDelta::seconds(3000);
    let link = store.link(&key().full(), Duration::from_secs(3600), "a.csv", TYPE, stored_at, None).await.unwrap();
    assert_eq!(link.cut_by, Some("object"));
    assert!((stored_at + chrono::TimeDelta::seconds(3600) - link.expires_at).num_seconds() <= 1);
    let gone = store.link(&key().full(), Duration::from_secs(3600), "a.csv", TYPE, stored_at - chrono::TimeDelta::seconds(600), None).await;
    assert_eq!(kind(gone), (FailureClass::FileGone, Verdict::Bury));
}

#[tokio::test]
async fn a_link_lives_seven_days_at_most_and_names_the_public_address() {
    let s3 = s3().await;
    let options = StoreOptions { bucket: BUCKET.into(), public_endpoint: Some("https://files.example.com".into()), object_life: None };
    let store = Store::new(&s3.sdk().build(), options);
    let link = link(&store, &key().full(), 30 * 86_400).await.unwrap();
    assert!(link.url.reveal().starts_with("https://files.example.com/exports/exports/"));
    assert!(link.expires_at <= Utc::now() + chrono::TimeDelta::days(7));
}
