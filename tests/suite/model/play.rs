//! Does with the real statements what an event of the model does: the workers' hands, through `Queue`; time passes by ageing rows.

use std::sync::LazyLock;
use std::time::Duration;

use exportbox::admin::Admin;
use exportbox::job::{Failure, FailureClass, Note, Outcome, Receipt, StopReason, Verdict};
use exportbox::queue::{Beat, Cycle, FreeSlots, Lease, Noted, Queue, Scan, Settled};
use uuid::Uuid;

use super::Protocol;
use super::state::{EXPORT, End, NOTICE, Run, Step, System};
use super::steps::Event;
use crate::harness::rows::{ATTEMPTS, JOBS, OBJECTS};
use crate::harness::{World, stale};

/// A tick of the model. Long, so that no machine is so slow that one passes by itself.
pub const TICK: Duration = Duration::from_secs(100);

const NOBODY: FreeSlots = FreeSlots { exports: 0, messages: 0 };

/// Asks the job tables in the words of the model, for one export.
static TABLES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with told as (
            select told.name, format('%s %s attempt %s leases %s crashes %s%s held by %s [%s]', told.name, job.state, job.attempt, job.leases, job.crashes,
                case when job.cancel_requested_at is not null and job.state <> 'completed' then ' cancel' end,
                coalesce((select attempt.number::text from {ATTEMPTS} where attempt.lease_token = job.lease_token), 'nobody'),
                (select string_agg(concat(attempt.number, ' ', coalesce(attempt.outcome, 'open'),
                    case when attempt.object_key is not null then ' noted' end), ', ' order by attempt.number)
                    from {ATTEMPTS} where attempt.job_id = job.id)) as line
            from {JOBS}
            cross join lateral (select case when job.export_id is null then 'notice' else job.kind end as name) as told
        )
        select concat_ws(E'\\n', (select string_agg(told.line, E'\\n' order by told.name <> 'export', told.name) from told),
            format('mail %s, marks %s', coalesce((select status from exportbox.deliveries where origin = 'export'), 'none'),
                (select count(*) from exportbox.events where kind = 'unknown' and export_id is not null)),
            format('notice %s, marks %s', coalesce((select status from exportbox.deliveries where origin = 'failure'), 'none'),
                (select count(*) from exportbox.events where kind = 'unknown' and export_id is null)),
            format('object %s', coalesce((select attempt.number::text from {OBJECTS} join {ATTEMPTS} using (lease_token)), 'none')))"
    )
});

/// One export, two workers and whoever else asks.
pub struct Player<'a> {
    world: &'a World,
    workers: [Queue; 2],
    other: Queue,
    people: Admin,
    export_id: Uuid,
    /// The lease that each worker believes to hold.
    held: [Option<Lease>; 2],
}

impl<'a> Player<'a> {
    /// Everything from before is gone: nobody else's job may be reaped.
    pub async fn new(world: &'a World, other: &Queue, people: &Admin) -> Player<'a> {
        world.forget_everything().await;
        let export_id = world.request("select 1 as one", &["ann@example.com"]).await;
        let workers = [0, 1].map(|worker| Player::process(world, worker));
        Player { world, workers, other: other.clone(), people: people.clone(), export_id, held: [None, None] }
    }

    /// A worker's process, just started: it remembers nothing.
    fn process(world: &World, worker: usize) -> Queue {
        world.queue(&format!("worker {}", worker + 1))
    }

    /// The job tables, as `tables_of` says them of the model.
    pub async fn tables(&self) -> String {
        self.world.text(&TABLES).await
    }

    /// A thorough look, as the model's are.
    async fn cycle(queue: &Queue, room: FreeSlots) -> Cycle {
        queue.cycle(room, Scan::Full).await.unwrap()
    }

    /// The model reaps only what is lost; whoever else comes by in between must find nothing.
    pub async fn reap_in_vain(&self) {
        assert!(Player::cycle(&self.other, NOBODY).await.reaped.is_empty(), "a lease was reaped that is not lost");
    }

    fn lease(&self, worker: usize) -> &Lease {
        self.held[worker].as_ref().unwrap()
    }

    async fn claim(&mut self, worker: usize, job: usize, heard: bool) {
        self.world.let_back_offs_end().await;
        let room = FreeSlots { exports: usize::from(job == EXPORT), messages: usize::from(job != EXPORT) };
        // Of two mails only this one is due.
        let other = format!("kind = 'message' and state = 'pending' and (export_id is null) <> {}", job == NOTICE);
        self.world.set_jobs("run_at = now() + interval '1 day'", &other).await;
        // What a process remembers of lost leases is by its own clock, which the model's ticks do not move.
        self.workers[worker] = Player::process(self.world, worker);
        let mut leases = Player::cycle(&self.workers[worker], room).await.leases;
        assert_eq!(leases.len(), 1, "{}", self.tables().await);
        self.held[worker] = leases.pop().filter(|_| heard);
    }

    fn outcome(&self, lease: &Lease, end: End) -> Outcome {
        let failed = |class, verdict| Failure::new(class, verdict, "The model says so.").into();
        match end {
            End::Exported => Outcome::Exported(self.world.made_by(lease)),
            End::Sent => {
                let link_expires_at = Some(chrono::Utc::now());
                Outcome::Sent(Receipt { provider: "ses", message_id: "model".into(), link_expires_at, link_cut_by: None })
            }
            End::Retry => failed(FailureClass::Internal, Verdict::Retry),
            End::Bury => failed(FailureClass::Internal, Verdict::Bury),
            End::Unknown => failed(FailureClass::MailUnknown, Verdict::Unknown),
            End::Release => StopReason::Shutdown.into(),
            End::Moot => Outcome::Moot,
            End::Cancelled => StopReason::Cancelled.into(),
            End::LeaseLost => StopReason::LeaseLost.into(),
        }
    }

    /// Do it, and compare the answer. True: a worker was told that its lease is gone.
    pub async fn play(&mut self, protocol: &Protocol, before: &System, event: Event, after: &System) -> bool {
        let run = |worker: usize| -> Run { before.workers[worker].run.unwrap() };
        let mut lost = false;
        match event {
            Event::Tick => {
                let age = format!("interval '{} seconds'", TICK.as_secs());
                let lease = "lease_expires_at = lease_expires_at -";
                self.world.set_jobs(&format!("{lease} {age}, deadline_at = deadline_at - {age}"), "state = 'running'").await;
            }
            Event::Claim { worker, job, heard } => self.claim(worker, job, heard).await,
            Event::Beat { worker, .. } => {
                let lease = self.lease(worker);
                let beat = Beat { job_id: lease.job_id(), token: lease.token(), rows: 0, bytes: 0 };
                let landed = self.workers[worker].heartbeat(&[beat]).await.unwrap();
                lost = landed.is_empty();
                assert_eq!(!lost, protocol.finds(before, &run(worker)));
                assert!(landed.iter().all(|landed| landed.cancel_requested == before.jobs[run(worker).job].as_ref().unwrap().cancel));
            }
            Event::Note(worker) => {
                let part = self.world.made_by(self.lease(worker)).parts.remove(0);
                let note = Note::Store { bucket: "exports".into(), key: part.key, upload_id: None };
                let noted = self.workers[worker].note(self.lease(worker).token(), &note).await.unwrap();
                lost = noted == Noted::LeaseLost;
                assert_eq!(!lost, protocol.finds(before, &run(worker)));
            }
            Event::Stamp(worker) => {
                let noted = self.workers[worker].note(self.lease(worker).token(), &Note::Sending).await.unwrap();
                lost = noted == Noted::LeaseLost;
                let expected = match after.workers[worker].run.unwrap().step {
                    Step::Stamped => Noted::Recorded,
                    Step::Ended { end: End::Cancelled, .. } => Noted::Cancelled,
                    _ => Noted::LeaseLost,
                };
                assert_eq!(noted, expected);
            }
            Event::Settle { worker, .. } => {
                let Step::Ended { end, again } = run(worker).step else { unreachable!("the model settles what has ended") };
                let lease = self.lease(worker);
                let settled = self.workers[worker].settle(stale(lease), self.outcome(lease, end)).await.unwrap();
                lost = settled == Settled::LeaseLost;
                if !again && end != End::LeaseLost && protocol.finds(before, &run(worker)) {
                    assert_eq!(settled, Settled::Done(after.jobs[run(worker).job].as_ref().unwrap().state));
                } else {
                    assert!(lost, "settled although the lease was gone: {settled:?}");
                }
            }
            Event::Reap => drop(Player::cycle(&self.other, NOBODY).await),
            Event::Cancel => drop(self.people.cancel(self.export_id).await.unwrap()),
            Event::Requeue => assert!(self.people.requeue(self.export_id).await.unwrap() > 0),
            Event::Expire => {
                self.world.set_jobs("not_after = now()", "state = 'pending' and kind = 'export'").await;
                Player::cycle(&self.other, NOBODY).await;
            }
            Event::Crash { worker, .. } => {
                self.held[worker] = None;
                self.workers[worker] = Player::process(self.world, worker);
            }
            Event::Gather => assert!(self.other.gather_failures(Duration::ZERO).await.unwrap() > 0),
            Event::Moot(worker) => {
                let lease = self.lease(worker);
                let found = self.workers[worker].load_message(lease).await.unwrap();
                lost = found.is_none();
                assert_eq!(!lost, protocol.finds(before, &run(worker)));
                assert!(found.is_none_or(|envelope| envelope.content.is_none()), "there is something to tell");
            }
            // What a worker does without the job tables.
            Event::Publish(_) | Event::Land(_) | Event::Call { .. } | Event::Fail { .. } | Event::Stop(_) => {}
            // Nobody asks the job tables; `guards.rs` has the sweep.
            Event::Sweep(_) | Event::Pause(_) | Event::Resume(_) => {}
        }
        lost
    }
}
