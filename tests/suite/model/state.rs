//! What the model remembers: the job tables, the workers as they see themselves, the store, the mailbox, and what may still go wrong.

use exportbox::job::State;

/// Ticks that a lease lives. The worker's own clock gives up a tick earlier (I7).
pub const LEASE: i8 = 2;
/// Ticks that an attempt may take.
pub const DEADLINE: i8 = 2;
/// Ticks past the deadline after which others step in: a lease's time, as in `queue/claim.rs`.
pub const GRACE: i8 = LEASE;
/// Attempts before a job is dead.
pub const MAX_ATTEMPTS: u8 = 3;
/// Leases that may expire before a job is dead.
pub const CRASH_LIMIT: u8 = 2;
/// Leases that are looked at for one job.
pub const LEASES: usize = 4;

/// Index of the export's job.
pub const EXPORT: usize = 0;
/// Index of the job of its mail.
pub const MAIL: usize = 1;
/// Index of the job of the notice that it died.
pub const NOTICE: usize = 2;
/// Those whose side effect is a mail.
pub const MESSAGES: [usize; 2] = [MAIL, NOTICE];

/// How an attempt ended, as `exportbox.attempt.outcome` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    Completed,
    Retried,
    Buried,
    Released,
    Cancelled,
    Reaped,
}

/// A row of `exportbox.attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    pub token: u8,
    pub closed: Option<Closed>,
    /// How often something closed it.
    pub closes: u8,
    /// It noted where it stores.
    pub noted: bool,
    /// Nothing of it can be in the store any more.
    pub swept: bool,
}

/// A row of `exportbox.job`. Instants are ticks from now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    pub state: State,
    pub attempt: u8,
    pub leases: u8,
    pub crashes: u8,
    pub token: Option<u8>,
    pub lease: i8,
    pub deadline: i8,
    pub cancel: bool,
    pub rows: [Option<Row>; LEASES],
}

impl Job {
    pub fn new() -> Job {
        let (token, rows) = (None, [None; LEASES]);
        Job { state: State::Pending, attempt: 0, leases: 0, crashes: 0, token, lease: 0, deadline: 0, cancel: false, rows }
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }
}

/// `exportbox.message.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Pending,
    Sending,
    Unknown,
    Accepted,
    Dead,
    Cancelled,
}

/// What a worker has to say at the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Exported,
    Sent,
    Retry,
    Bury,
    Release,
    Unknown,
    Cancelled,
    /// There was nothing to tell any more.
    Moot,
    LeaseLost,
}

/// How far a worker is with its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It knows of its lease.
    Claimed,
    /// An export: the key is noted, the query runs.
    Noted,
    /// An export: the last look at the clock is taken, the request that makes the object is on its way.
    Publishing,
    /// A mail: stamped as sending.
    Stamped,
    /// The handler has returned. `again`: it was written once already, and the reply was lost.
    Ended { end: End, again: bool },
}

/// An attempt as its worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    pub job: usize,
    pub token: u8,
    /// Which lease of the job this is.
    pub number: u8,
    pub step: Step,
    /// Ticks by its own clock.
    pub lease: i8,
    pub deadline: i8,
    /// A cancel was on record before it stamped.
    pub against_a_cancel: bool,
}

/// A process with one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    pub run: Option<Run>,
    /// Suspended: it does nothing, and its clock goes on.
    pub paused: bool,
}

/// What may still happen: each counts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Leases of the export, of its mail and of the notice.
    pub leases: [u8; 3],
    pub crashes: u8,
    pub pauses: u8,
    /// Replies of the database or the provider that do not arrive.
    pub losses: u8,
    /// Attempts that fail or are given back.
    pub failures: u8,
    pub cancels: u8,
    pub requeues: u8,
    pub expiries: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct System {
    pub jobs: [Option<Job>; 3],
    pub workers: [Worker; 2],
    /// By key: the lease whose bytes lie there; 0 is nothing. Key 0 is used only where keys are not the attempt's own.
    pub store: [u8; LEASES + 1],
    /// The manifest: the key, and the lease that made it.
    pub object: Option<(usize, u8)>,
    /// By job: the status of its mail.
    pub status: [Option<Status>; 3],
    /// By job: mails that arrived.
    pub mails: [u8; 3],
    /// By job: events that say that a mail may have been sent.
    pub marks: [u8; 3],
    /// The death of the export is put down for its notice.
    pub noticed: bool,
    /// How often the export died, and how often a notice of it was queued.
    pub deaths: u8,
    pub notices: u8,
    /// Somebody was told that the export is cancelled, before it was completed.
    pub promised: bool,
    /// A verb that moved a job as the table does not allow.
    pub illegal: Option<&'static str>,
    pub left: Budget,
}

impl System {
    /// The export is dead now.
    pub fn is_dead(&self) -> bool {
        self.jobs[EXPORT].as_ref().is_some_and(|job| job.state == State::Dead)
    }

    pub fn new(left: Budget) -> System {
        System {
            jobs: [Some(Job::new()), None, None],
            workers: [Worker { run: None, paused: false }; 2],
            store: [0; LEASES + 1],
            object: None,
            status: [None; 3],
            mails: [0; 3],
            marks: [0; 3],
            noticed: false,
            deaths: 0,
            notices: 0,
            promised: false,
            illegal: None,
            left,
        }
    }

    /// The export is done, its mail waits.
    pub fn stored(left: Budget) -> System {
        let mut system = System::new(left);
        let row = Row { token: 1, closed: Some(Closed::Completed), closes: 1, noted: true, swept: false };
        let mut rows = [None; LEASES];
        rows[0] = Some(row);
        system.jobs = [Some(Job { state: State::Completed, attempt: 1, leases: 1, rows, ..Job::new() }), Some(Job::new()), None];
        system.store[1] = 1;
        system.object = Some((1, 1));
        system.status[MAIL] = Some(Status::Pending);
        system
    }

    /// The export has died, and nobody was told yet.
    pub fn dead(left: Budget) -> System {
        let mut system = System::new(left);
        let mut rows = [None; LEASES];
        rows[0] = Some(Row { token: 1, closed: Some(Closed::Buried), closes: 1, noted: false, swept: false });
        system.jobs[EXPORT] = Some(Job { state: State::Dead, attempt: 1, leases: 1, rows, ..Job::new() });
        system.deaths = 1;
        system
    }
}
