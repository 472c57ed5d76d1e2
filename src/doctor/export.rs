//! One row through each exporter: made, verified and removed by the very code that makes files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use uuid::Uuid;

use super::{Doctor, Finding, Known};
use crate::export::{ExportOptions, Exporter, ExporterSetting};
use crate::format::default_request;
use crate::job::{
    Attempt, ExportJob, Failure, FailureClass, LeaseClock, LeaseToken, Manifest, Notes, ObjectKey, Outcome, Progress, Stop, StopReason,
    Terms, Verdict,
};

/// Where its files lie, below the daemon's prefix.
const FOLDER: &str = "doctor";
/// And what they are called.
const FILE: &str = "one-row.csv";
/// Longer than any check. There is no real lease that could run out.
const LEASE: Duration = Duration::from_secs(3600);
/// How long it may take to cancel a query, and then to remove what was stored.
const CLEAN_UP: Duration = Duration::from_secs(5);
/// Keys of reports that are tried.
const KEYS: usize = 5;

impl Doctor {
    pub(super) async fn exports(&self, known: &Known) -> Vec<Finding> {
        let unless = if known.source.is_none() {
            Some("the source was not reached")
        } else if !known.has_bucket {
            Some("the bucket was not reached")
        } else {
            None
        };
        // Each attempt ends by itself before its check would be cut off, because only then it cancels its query and removes its file.
        let checks = vec![
            ("export_copy", self.by_copy(known).boxed()),
            ("export_aws_s3", self.by_aws_s3(known).boxed()),
            ("kms", self.with_keys(known).boxed()),
        ];
        self.all_within(self.limits.patience + 3 * CLEAN_UP, checks, unless).await
    }

    fn login<'a>(&self, known: &'a Known) -> &'a str {
        known.source.as_ref().map_or("", |source| &source.server.login)
    }

    async fn by_copy(&self, known: &Known) -> Finding {
        match self.one_row(ExporterSetting::Copy, self.login(known), None).await {
            Ok(bytes) => stored("export_copy", bytes),
            Err(failure) => Finding::failed("export_copy", &failure),
        }
    }

    async fn by_aws_s3(&self, known: &Known) -> Finding {
        const NAME: &str = "export_aws_s3";
        if self.options.exporter == ExporterSetting::Copy {
            return Finding::skipped(NAME, "EXPORTBOX_EXPORTER=copy");
        }
        if known.source.as_ref().is_none_or(|source| source.aws_s3.is_none()) {
            return Finding::skipped(NAME, "the source has no aws_s3");
        }
        // Any role that exports run as and that may call it.
        let roles = known.source.iter().flat_map(|source| &source.roles).filter(|role| role.may_become).map(|role| role.role.as_str());
        let mut nobody = None;
        for role in std::iter::once(self.login(known)).chain(roles) {
            match self.one_row(ExporterSetting::AwsS3, role, None).await {
                Ok(bytes) => return stored(NAME, bytes),
                Err(failure) if failure.class == FailureClass::AwsS3Config => nobody = Some(failure),
                Err(failure) => return Finding::failed(NAME, &failure),
            }
        }
        let fix = "grant usage on schema aws_s3 and execute on its functions to the daemon's login, and seal the reports: see docs/dba/query-rights.md#aws_s3";
        match nobody {
            Some(_) if self.options.exporter == ExporterSetting::AwsS3 => {
                Finding::fail(NAME, "neither the login nor a role that exports run as may call aws_s3", fix)
            }
            _ => Finding::skipped(NAME, "neither the login nor a role that exports run as may call aws_s3"),
        }
    }

    async fn with_keys(&self, known: &Known) -> Finding {
        let mut keys: Vec<&String> = known.runs_as.iter().filter_map(|runs_as| runs_as.kms_key.as_ref()).collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Finding::skipped("kms", "no report names a key of its own; the bucket's default was used above");
        }
        for key in keys.iter().take(KEYS) {
            if let Err(failure) = self.one_row(ExporterSetting::Copy, self.login(known), Some((*key).clone())).await {
                return Finding::failed("kms", &failure);
            }
        }
        Finding::ok("kms", format!("{} of {} keys that reports name were used", keys.len().min(KEYS), keys.len()))
    }

    /// Export one row, and remove it. Returns its bytes.
    async fn one_row(&self, exporter: ExporterSetting, run_as: &str, kms_key: Option<String>) -> Result<i64, Failure> {
        let options = ExportOptions { exporter, ..self.options.clone() };
        let exporter = Exporter::new(self.sources.clone(), self.store.clone(), options);
        let (attempt, timer) = attempt(self.limits.patience);
        let ended = tokio::time::timeout(self.limits.patience + CLEAN_UP, exporter.export(&attempt, &job(run_as, kms_key))).await;
        let outcome = ended.unwrap_or_else(|_| StopReason::Deadline.into());
        drop(timer);
        let prefix = format!("{}/{FOLDER}", self.options.prefix);
        let key = ObjectKey::new(&prefix, attempt.job_id, attempt.token, FILE).full();
        let removing = self.store.sweep(self.store.bucket(), &key, None);
        let removed = tokio::time::timeout(CLEAN_UP, removing).await.unwrap_or_else(|_| Err(not_in_time()));
        let manifest = manifest(outcome)?;
        removed?;
        for part in &manifest.parts {
            if self.store.head(&part.key).await?.is_some() {
                let sentence = "What was stored is still there after it was removed: allow s3:DeleteObject on the prefix.";
                return Err(Failure::new(FailureClass::StoreAccess, Verdict::Hold, sentence));
            }
        }
        Ok(manifest.bytes())
    }
}

fn stored(name: &'static str, bytes: i64) -> Finding {
    Finding::ok(name, format!("one row of {bytes} bytes was stored, verified and removed"))
}

/// An attempt without a job: it notes nothing in the tables, and ends by itself after this time.
fn attempt(time: Duration) -> (Attempt, tokio_util::task::AbortOnDropHandle<()>) {
    let stop = Stop::new();
    let deadline = Instant::now() + time;
    let asked = stop.clone();
    let timer = tokio::spawn(async move {
        tokio::time::sleep_until(deadline.into()).await;
        asked.ask(StopReason::Deadline);
    });
    let attempt = Attempt {
        job_id: Uuid::new_v4(),
        token: LeaseToken(Uuid::new_v4()),
        deadline,
        stop,
        progress: Arc::new(Progress::default()),
        clock: Arc::new(LeaseClock::new(Instant::now(), LEASE)),
        notes: Notes::nowhere(),
    };
    (attempt, tokio_util::task::AbortOnDropHandle::new(timer))
}

fn job(run_as: &str, kms_key: Option<String>) -> ExportJob {
    ExportJob {
        report: None,
        query: "values ('exportbox doctor')".into(),
        run_as: run_as.into(),
        params: Vec::new(),
        recipients: 0,
        file: default_request(),
        filename: Some(FILE.into()),
        sealed: None,
        terms: Terms { prefix: Some(FOLDER.into()), kms_key, ..Terms::default() },
    }
}

fn manifest(outcome: Outcome) -> Result<Manifest, Failure> {
    match outcome {
        Outcome::Exported(manifest) => Ok(manifest),
        Outcome::Failed(failure) => Err(failure),
        Outcome::Sent(_) | Outcome::Moot | Outcome::Stopped { .. } => Err(not_in_time()),
    }
}

fn not_in_time() -> Failure {
    let sentence = "The export did not end in time: look at the network between the database and the store, and at the load of both.";
    Failure::new(FailureClass::Timeout, Verdict::Retry, sentence)
}
