//! Bytes in, one verified object out.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use exportbox::export::body::{Body, BodyOptions, Stored, Unfinished};
use exportbox::format::Compression;
use exportbox::job::{Failure, FailureClass, LeaseToken, Note, NoteTaker, Notes, ObjectKey, Progress, Terms, Verdict};
use exportbox::store::{MIN_PART, NewObject, PartPlan, Store};
use uuid::Uuid;

use super::fake::{Call, FakeS3, Fault, s3};
use crate::harness::exports::sha256;

const PART: usize = MIN_PART as usize;

fn options(compression: Compression) -> BodyOptions {
    let key = ObjectKey::new("exports", Uuid::new_v4(), LeaseToken(Uuid::new_v4()), "orders.csv");
    let object =
        NewObject { key: key.full(), content_type: "text/csv".into(), metadata: vec![("export".into(), "1".into())], kms_key: None };
    BodyOptions { object, compression, plan: PartPlan::default(), terms: Terms::default() }
}

fn body(store: &Store, options: &BodyOptions) -> Body {
    Body::new(store, options.clone(), Arc::default(), Notes::nowhere())
}

/// Bucket, key and upload of each note, and how many parts had been sent by then.
type Places = Arc<Mutex<Vec<(String, String, String, usize)>>>;

struct Recorder {
    noted: Places,
    s3: FakeS3,
}

#[async_trait]
impl NoteTaker for Recorder {
    async fn take(&self, note: Note) -> Result<(), Failure> {
        if let Note::Store { bucket, key, upload_id } = note {
            self.noted.lock().unwrap().push((bucket, key, upload_id.unwrap_or_default(), self.s3.count(Call::Part)));
        }
        Ok(())
    }
}

struct Refuser;

#[async_trait]
impl NoteTaker for Refuser {
    async fn take(&self, _: Note) -> Result<(), Failure> {
        Err(Failure::new(FailureClass::Internal, Verdict::Retry, "not recorded"))
    }
}

fn noise(bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    let mut noise = vec![0; bytes];
    random.fill(&mut noise);
    Bytes::from(noise)
}

/// Written in uneven pieces, as COPY does.
async fn write(body: &mut Body, data: &Bytes) {
    let mut rest = data.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(61_003));
        body.write(piece).await.unwrap();
    }
}

async fn stored(s3: &FakeS3, options: &BodyOptions, data: &Bytes) -> Stored {
    let mut body = body(&s3.store(), options);
    write(&mut body, data).await;
    body.finish(|| true).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_identical_around_every_part_boundary() {
    let s3 = s3().await;
    for (bytes, parts) in [
        (0, 0),
        (1, 0),
        (PART - 1, 0),
        (PART, 0),
        (PART + 1, 2),
        (2 * PART - 1, 2),
        (2 * PART, 2),
        (2 * PART + 1, 3),
        (7 * PART + 12_345, 8),
    ] {
        let (options, data) = (options(Compression::None), noise(bytes));
        let (parts_before, puts_before) = (s3.count(Call::Part), s3.count(Call::Put));
        let stored = stored(&s3, &options, &data).await;
        assert_eq!(s3.count(Call::Part) - parts_before, parts, "{bytes} bytes");
        assert_eq!(s3.count(Call::Put) - puts_before, usize::from(parts == 0), "{bytes} bytes");
        let expected = Stored { bytes: bytes as u64, crc32: crc32fast::hash(&data), sha256: sha256(&data) };
        assert_eq!(stored, expected, "{bytes} bytes");
        assert!(std::fs::read(s3.path(&options.object.key)).unwrap() == data, "{bytes} bytes");
    }
    assert!(s3.open_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_one_member_that_gunzip_accepts_and_the_same_each_time() {
    let s3 = s3().await;
    for bytes in [0, 10, 3 * PART] {
        let (first, second, data) = (options(Compression::Gzip), options(Compression::Gzip), noise(bytes));
        let stored_first = stored(&s3, &first, &data).await;
        let file = std::fs::read(s3.path(&first.object.key)).unwrap();
        assert_eq!(stored_first, Stored { bytes: file.len() as u64, crc32: crc32fast::hash(&file), sha256: sha256(&file) });
        let mut plain = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(&file[..]);
        decoder.read_to_end(&mut plain).unwrap();
        assert!(plain == data && decoder.into_inner().is_empty(), "one member and nothing after it");
        let mut gunzip = Command::new("gunzip").arg("-t").stdin(Stdio::piped()).spawn().unwrap();
        gunzip.stdin.take().unwrap().write_all(&file).unwrap();
        assert!(gunzip.wait().unwrap().success());
        assert_eq!(stored(&s3, &second, &data).await, stored_first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_stored_bytes() {
    let s3 = s3().await;
    for compression in [Compression::None, Compression::Gzip] {
        for bytes in [1000, 2 * PART + 1] {
            let (options, progress) = (options(compression), Arc::new(Progress::default()));
            let mut body = Body::new(&s3.store(), options, Arc::clone(&progress), Notes::nowhere());
            write(&mut body, &noise(bytes)).await;
            let stored = body.finish(|| true).await.unwrap();
            assert_eq!(progress.read().1.unsigned_abs(), stored.bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upload_id_is_recorded_before_the_first_part_is_sent() {
    let s3 = s3().await;
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = Notes::new(Recorder { noted: noted.clone(), s3: s3.clone() });
    let options = options(Compression::None);
    let mut body = Body::new(&s3.store(), options.clone(), Arc::default(), notes);
    write(&mut body, &noise(2 * PART)).await;
    body.finish(|| true).await.unwrap();
    let noted = std::mem::take(&mut *noted.lock().unwrap());
    let [(bucket, key, id, parts)] = &noted[..] else { panic!("{noted:?}") };
    assert_eq!((bucket.as_str(), key, *parts), (s3.store().bucket(), &options.object.key, 0));
    assert!(!id.is_empty());

    let mut body = Body::new(&s3.store(), options, Arc::default(), Notes::new(Refuser));
    let parts = s3.count(Call::Part);
    assert_eq!(body.write(noise(PART + 1)).await.unwrap_err().sentence, "not recorded");
    body.abort().await.unwrap();
    assert_eq!(s3.count(Call::Part), parts, "nothing is sent to an upload that is not recorded");
    assert!(s3.open_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_stops_the_source_and_a_cancelled_body_leaves_nothing() {
    let s3 = s3().await;
    let options = options(Compression::None);
    let mut body = body(&s3.store(), &options);
    s3.fail([(Call::Part, Fault::Hold)]);
    // Two buffers: one on its way, one full.
    for _ in 0..2 {
        body.write(noise(PART)).await.unwrap();
    }
    s3.held().await;
    tokio::select! {
        biased;
        _ = body.write(noise(1)) => panic!("a third buffer was taken"),
        () = std::future::ready(()) => {}
    }
    assert!(!s3.open_uploads().is_empty());
    body.abort().await.unwrap();
    assert!(s3.open_uploads().is_empty());
    assert!(!s3.path(&options.object.key).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cancelled_while_its_upload_opens_leaves_no_upload() {
    let s3 = s3().await;
    let mut body = body(&s3.store(), &options(Compression::None));
    tokio::select! {
        biased;
        _ = body.write(noise(PART + 1)) => panic!("an upload cannot open without waiting"),
        () = std::future::ready(()) => {}
    }
    body.abort().await.unwrap();
    assert_eq!(s3.count(Call::Begin), 1);
    assert!(s3.count(Call::Abort) > 0);
    assert!(s3.open_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cancelled_while_it_is_published_leaves_no_object() {
    let s3 = s3().await;
    for bytes in [1, PART + 1] {
        let options = options(Compression::None);
        let mut body = body(&s3.store(), &options);
        write(&mut body, &noise(bytes)).await;
        let asked = AtomicBool::new(false);
        {
            let mut finishing = std::pin::pin!(body.finish(|| {
                asked.store(true, Ordering::SeqCst);
                true
            }));
            // Polled until the publishing request is started, then dropped.
            std::future::poll_fn(|context| {
                assert!(finishing.as_mut().poll(context).is_pending());
                if asked.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        body.abort().await.unwrap();
        assert!(!s3.path(&options.object.key).exists());
        assert!(s3.open_uploads().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_lease_has_ended_publishes_nothing() {
    let s3 = s3().await;
    for bytes in [1, PART + 1] {
        let options = options(Compression::None);
        let mut body = body(&s3.store(), &options);
        write(&mut body, &noise(bytes)).await;
        assert!(matches!(body.finish(|| false).await, Err(Unfinished::LeaseEnded)));
        body.abort().await.unwrap();
        assert!(!s3.path(&options.object.key).exists());
        assert!(s3.open_uploads().is_empty());
    }
    assert_eq!((s3.count(Call::Put), s3.count(Call::Complete)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_the_last_request_is_no_failure() {
    let s3 = s3().await;
    for (bytes, call) in [(1, Call::Put), (PART + 1, Call::Complete)] {
        s3.fail([(call, Fault::LoseReply)]);
        let (options, data) = (options(Compression::None), noise(bytes));
        let before = s3.count(call);
        assert_eq!(stored(&s3, &options, &data).await.bytes, bytes as u64);
        assert!(s3.count(call) > before + 1, "the request was repeated and refused");
        assert!(std::fs::read(s3.path(&options.object.key)).unwrap() == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_successful_answer_is_a_failure() {
    let s3 = s3().await;
    s3.fail([(); 3].map(|()| (Call::Complete, Fault::Answer(200, "InternalError", None))));
    let mut body = body(&s3.store(), &options(Compression::None));
    write(&mut body, &noise(PART + 1)).await;
    let Err(Unfinished::Failed(failure)) = body.finish(|| true).await else { panic!("published") };
    assert_eq!((failure.class, failure.verdict), (FailureClass::StoreUnavailable, Verdict::Retry));
    body.abort().await.unwrap();
    assert!(s3.open_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_as_it_was_sent_is_a_failure() {
    let s3 = s3().await;
    s3.fail([(Call::Head, Fault::Answer(404, "", None))]);
    let mut body = body(&s3.store(), &options(Compression::None));
    let Err(Unfinished::Failed(failure)) = body.finish(|| true).await else { panic!("verified") };
    assert_eq!((failure.class, failure.verdict), (FailureClass::Verification, Verdict::Retry));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_part_fails_the_write() {
    let s3 = s3().await;
    s3.fail([(Call::Part, Fault::Answer(403, "AccessDenied", None))]);
    let mut body = body(&s3.store(), &options(Compression::None));
    // The third buffer cannot be had without the first part's result.
    let mut failure = None;
    for _ in 0..3 {
        failure = failure.or(body.write(noise(PART)).await.err());
    }
    let failure = failure.unwrap();
    assert_eq!((failure.class, failure.verdict), (FailureClass::StoreAccess, Verdict::Hold));
    assert_eq!(s3.count(Call::Part), 1);
    body.abort().await.unwrap();
    assert!(s3.open_uploads().is_empty());
}

/// Memory of four exports at once, in a process of its own: the store of this process does not count. 40 MiB are buffers; the rest of
/// 64 MiB is for the SDK and for the program's own pages, which are far more in a test than in a release and are left out here.
#[tokio::test(flavor = "multi_thread")]
async fn four_busy_slots_need_little_more_than_two_parts_each() {
    let s3 = s3().await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "store::body::four_busy_slots", "--ignored", "--nocapture"]).env("EXPORTBOX_TEST_S3", &s3.endpoint);
    let output = child.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let kib = |name: &str| -> u64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    };
    assert!(s3.count(Call::Part) >= 4 * 12);
    // A program file on a memory disk counts as shared memory.
    let peak_kib = kib("VmHWM:") - kib("RssFile:") - kib("RssShmem:");
    assert!((20 * 1024..52 * 1024).contains(&peak_kib), "{peak_kib} KiB");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above in a process of its own"]
async fn four_busy_slots() {
    let store = super::fake::store(&super::fake::sdk(&std::env::var("EXPORTBOX_TEST_S3").unwrap()).build());
    let slots = [Compression::None, Compression::Gzip, Compression::None, Compression::Gzip].map(|compression| {
        let mut body = body(&store, &options(compression));
        tokio::spawn(async move {
            let row = noise(64 * 1024);
            for _ in 0..60 * 16 {
                body.write(row.clone()).await.unwrap();
            }
            body.finish(|| true).await.unwrap()
        })
    });
    for slot in slots {
        assert!(slot.await.unwrap().bytes >= 60 * 1024 * 1024);
    }
    println!("\n{}", std::fs::read_to_string("/proc/self/status").unwrap());
}
