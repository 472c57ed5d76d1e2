//! A worker that went on by itself: an attempt that is run by hand, whatever the job tables say of its lease meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use exportbox::export::{ExportOptions, Exporter};
use exportbox::job::{Attempt, ExportJob, Failure, LeaseClock, Note, NoteTaker, Notes, Outcome, Progress, Stop};
use exportbox::mail::Mailer;
use exportbox::message::Messenger;
use exportbox::queue::Lease;
use exportbox::source::{DEFAULT_SOURCE, Source, Sources};

use super::World;

impl World {
    /// What the attempt reads and notes before it works.
    pub async fn begin(&self, lease: &Lease) -> ExportJob {
        let job = self.queue("one").load_export(lease).await.unwrap().unwrap();
        let part = self.made_by(lease).parts.remove(0);
        self.queue("one").note(lease.token(), &Note::Store { bucket: "exports".into(), key: part.key, upload_id: None }).await.unwrap();
        job
    }

    /// Run the export of an attempt that began, as its worker does, with a lease that was last heard of so long ago. It hears of nothing else.
    pub async fn go_on(&self, lease: &Lease, job: &ExportJob, silent_for: Duration) -> Outcome {
        let options = ExportOptions {
            exporter: self.settings.exporter,
            prefix: self.settings.prefix.clone(),
            region: None,
            part_size: 5 << 20,
            split: self.settings.split,
        };
        let exporter =
            Exporter::new(Sources::new([(DEFAULT_SOURCE.to_string(), Source::new(self.settings.source.clone()))]), self.store(), options);
        let attempt = self.attempt_of(lease);
        attempt.clock.extend(ago(silent_for));
        exporter.export(&attempt, job).await
    }

    /// Run the message job of a lease as its worker does, into the directory `by-hand` of this test. Its stamp comes back so late.
    pub async fn deliver_by_hand(&self, lease: &Lease, stamped_for: Duration) -> Outcome {
        let mailer = Mailer::file(self.dir().join("by-hand"), self.settings.sender.clone());
        let envelope = self.queue("one").load_message(lease).await.unwrap().unwrap();
        let mut attempt = self.attempt_of(lease);
        attempt.notes = Notes::new(LateStamp { clock: attempt.clock.clone(), stamped_for });
        Messenger::new(self.store(), mailer, self.settings.link_ttl).deliver(&attempt, &envelope).await
    }

    fn attempt_of(&self, lease: &Lease) -> Attempt {
        Attempt {
            job_id: lease.job_id(),
            token: lease.token(),
            deadline: lease.deadline(),
            stop: Stop::new(),
            progress: Arc::new(Progress::default()),
            clock: Arc::new(LeaseClock::new(Instant::now(), self.settings.policy.lease)),
            notes: Notes::nowhere(),
        }
    }
}

/// Writes nothing down, and comes back after the lease was last heard of so long ago.
struct LateStamp {
    clock: Arc<LeaseClock>,
    stamped_for: Duration,
}

#[async_trait]
impl NoteTaker for LateStamp {
    async fn take(&self, _: Note) -> Result<(), Failure> {
        self.clock.extend(ago(self.stamped_for));
        Ok(())
    }
}

fn ago(duration: Duration) -> Instant {
    Instant::now().checked_sub(duration).unwrap()
}
