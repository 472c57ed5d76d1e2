//! The real process is killed between any two steps of an attempt, another is started, and everything converges.
//!
//! The tests go through the list of failpoints in the program itself: a point without an expectation here fails them.

use std::future::Future;

use exportbox::failpoint::POINTS;
use exportbox::sandbox::{Action, Rule};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::harness::crash::room_for_a_crash;
use crate::harness::process::{code, stderr};
use crate::harness::{GATED, World};

mod cleanup;
mod exports;
mod mails;
mod notices;

/// 170 KB: one PUT, or four files of the database's own.
const SMALL: &str = "select n, 'row \"' || n || E'\",\\n' || repeat('x', 40) as text from generate_series(1, 3000) as n";
/// 6.5 MB: a multipart upload of two parts.
const LARGE: &str = "select repeat('x', 1000) as line from generate_series(1, 6500)";
const RECIPIENTS: &[&str] = &["ann@example.com", "bob@example.com"];

/// How the export that is crashed is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// copy, with one PUT.
    Small,
    /// copy, with a multipart upload.
    Large,
    /// Inside the database, four files.
    AwsS3,
    /// As `Large`; the store refuses the first upload at its end.
    Refused,
    /// As `Small`; the first process is told a bucket that there is not.
    WrongBucket,
}

/// A world with one request in it.
struct Scene {
    world: World,
    id: Uuid,
    query: &'static str,
    /// Of the process that crashes.
    settings: Vec<(&'static str, &'static str)>,
}

impl Scene {
    async fn new(path: Path) -> Scene {
        let world = if path == Path::AwsS3 { World::with_aws_s3().await } else { World::new().await };
        let (mut query, mut settings) = (SMALL, Vec::new());
        match path {
            Path::Small => {}
            Path::Large => query = LARGE,
            Path::AwsS3 => world.sql(&format!("alter database {} set aws_s3.split_bytes = '60000'", world.database)).await,
            Path::Refused => {
                query = LARGE;
                let refused = Action::error(400, "InvalidPart", "One or more of the specified parts could not be found.");
                world.s3.faults().add(Rule::on("CompleteMultipartUpload", refused).times(1));
            }
            Path::WrongBucket => settings.push(("EXPORTBOX_BUCKET", "no-such-bucket")),
        }
        let id = world.request(query, RECIPIENTS).await;
        Scene { world, id, query, settings }
    }

    async fn crash(&self, failpoint: &str) {
        self.world.crash(failpoint, &self.settings).await;
    }

    /// One visible file, equal to what COPY gives, and nothing else anywhere.
    async fn assert_converged(&self) {
        let (world, id) = (&self.world, self.id);
        let export = world.export(id).await;
        assert_eq!((&export["state"], &export["undelivered"]), (&"completed".into(), &0.into()), "{export}");
        world.assert_nothing_is_left_behind(id).await;
        let file = world.copy(self.query, "format csv, header").await;
        assert!(world.stored(id).await == file, "the file is not what COPY gives");
        assert_eq!(export["bytes"], file.len());
        world.assert_every_link_gives(&file).await;
    }
}

/// Run cases side by side; each is told by its name when it fails.
async fn each<C, F>(cases: Vec<C>, run: impl Fn(C) -> F)
where
    C: std::fmt::Debug,
    F: Future<Output = Scene> + Send + 'static,
{
    assert!(!cases.is_empty());
    let running = cases.into_iter().map(|case| {
        let (name, running) = (format!("{case:?}"), run(case));
        async move {
            let _room = room_for_a_crash().await;
            let ended = match tokio::spawn(running).await {
                // A world waits for its database to be dropped, which waits for connections that this very thread may have to answer.
                Ok(scene) => tokio::task::spawn_blocking(|| drop(scene)).await,
                Err(error) => Err(error),
            };
            ended.err().map(|error| format!("{name}: {error}"))
        }
    });
    let failed: Vec<String> = futures_util::stream::iter(running).buffer_unordered(4).filter_map(async |failed| failed).collect().await;
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

/// The points of one kind of step.
fn points(kind: &str) -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|(name, _)| *name).filter(move |name| name.starts_with(kind))
}

#[tokio::test]
async fn a_failpoint_that_is_not_in_the_list_is_refused() {
    let world = World::new().await;
    let output = world.run_with(&["drain"], &[("FAILPOINTS", "export.nonsense=return")]).await;
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("there is no point \"export.nonsense\""), "{}", stderr(&output));
}
