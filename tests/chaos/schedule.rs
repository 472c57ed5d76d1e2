//! The schedule: which fault hits whom, and when. The seed and the length of the round say it all, so a round can be read and played again.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;

use crate::Settings;

/// Kinds of fault, in the order in which they are counted and printed, with how many of each a minute has.
pub const KINDS: [(Kind, f64); 21] = [
    (Kind::Kill, 5.0),
    (Kind::Term, 4.0),
    (Kind::Freeze, 4.0),
    (Kind::Clock, 3.0),
    (Kind::Crash, 2.0),
    (Kind::Cut, 5.0),
    (Kind::Stall, 6.0),
    (Kind::Store500, 8.0),
    (Kind::Store503, 6.0),
    (Kind::StoreSlowDown, 6.0),
    (Kind::StoreHang, 4.0),
    (Kind::StoreCut, 8.0),
    (Kind::StoreLostComplete, 5.0),
    (Kind::StoreErrorIn200, 5.0),
    (Kind::StoreFull, 3.0),
    (Kind::MailThrottle, 8.0),
    (Kind::MailSentThen500, 6.0),
    (Kind::MailLostReply, 4.0),
    (Kind::MailHang, 3.0),
    (Kind::StoreSlow, 8.0),
    (Kind::MailSlow, 14.0),
];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Kill,
    Term,
    Freeze,
    Clock,
    Crash,
    Cut,
    Stall,
    Store500,
    Store503,
    StoreSlowDown,
    StoreHang,
    StoreCut,
    StoreLostComplete,
    StoreErrorIn200,
    StoreFull,
    MailThrottle,
    MailSentThen500,
    MailLostReply,
    MailHang,
    /// Answered late: time for everything else to happen meanwhile.
    StoreSlow,
    MailSlow,
}

impl Kind {
    /// The word in the log and in the tally.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Kill => "sigkill",
            Kind::Term => "sigterm",
            Kind::Freeze => "sigstop",
            Kind::Clock => "clock",
            Kind::Crash => "postgres_crash",
            Kind::Cut => "tcp_cut",
            Kind::Stall => "tcp_stall",
            Kind::Store500 => "s3_500",
            Kind::Store503 => "s3_503",
            Kind::StoreSlowDown => "s3_slow_down",
            Kind::StoreHang => "s3_hang",
            Kind::StoreCut => "s3_cut_body",
            Kind::StoreLostComplete => "s3_lost_complete",
            Kind::StoreErrorIn200 => "s3_error_in_200",
            Kind::StoreFull => "s3_full",
            Kind::MailThrottle => "ses_throttle",
            Kind::MailSentThen500 => "ses_500_after_sent",
            Kind::MailLostReply => "ses_lost_reply",
            Kind::MailHang => "ses_hang",
            Kind::StoreSlow => "s3_slow",
            Kind::MailSlow => "ses_slow",
        }
    }

    /// Whether it can leave a mail of which nobody knows whether it was sent.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Kind::Kill | Kind::Term | Kind::Freeze | Kind::Clock | Kind::Crash | Kind::Cut | Kind::Stall)
            || matches!(self, Kind::MailSentThen500 | Kind::MailLostReply | Kind::MailHang)
    }
}

/// One line of the schedule. What `pick` and `times` mean depends on the kind: which worker or operation, how many requests.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    pub at: Duration,
    pub kind: Kind,
    /// Whom it hits: reduced to the number of workers or operations there are.
    pub pick: u32,
    /// How long it lasts.
    pub lasts: Duration,
    /// How many requests it hits.
    pub times: u32,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:9.3} {} pick={} lasts={lasts:.1}s times={}", self.kind.word(), self.pick, self.times)
    }
}

/// The whole schedule of a round.
pub fn schedule(settings: Settings) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (index, (kind, per_minute)) in (1..).zip(KINDS) {
        // Each kind rolls its own dice: another rate of one kind leaves the others as they were.
        let mut rng = Rng::with_seed(settings.seed.wrapping_mul(1000).wrapping_add(index));
        let count = ((per_minute * settings.faults_for.as_secs_f64() / 60.0).round() as u32).max(1);
        for slice in 0..count {
            // Spread over the round, one to each slice, so that no kind comes in one burst.
            let at = settings.faults_for.mul_f64((f64::from(slice) + rng.f64()) / f64::from(count));
            let seconds = match kind {
                // Longer than the lease of six seconds, with room for the reaper.
                Kind::Freeze => 8.0 + 3.0 * rng.f64(),
                Kind::Clock => 9.0 + 5.0 * rng.f64(),
                Kind::Crash => 0.2 + 1.5 * rng.f64(),
                Kind::Cut => 0.1 + 2.0 * rng.f64(),
                // Some outlast a lease: what was said before arrives after it.
                Kind::Stall => 2.0 + 10.0 * rng.f64(),
                Kind::StoreFull => 2.0 + 2.0 * rng.f64(),
                _ => 0.0,
            };
            let times = match kind {
                // The SDK tries three times by itself: only more than that reaches the daemon.
                Kind::Store500 | Kind::Store503 | Kind::StoreSlowDown => rng.u32(1..=4),
                _ => 1,
            };
            planned.push(Planned { at, kind, pick: rng.u32(..), lasts: Duration::from_secs_f64(seconds), times });
        }
    }
    planned.sort_by_key(|planned| (planned.at, planned.kind));
    planned
}

/// Write it down before anything happens.
pub fn write(planned: &[Planned], settings: Settings, path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    writeln!(file, "# make chaos SEED={} MINUTES={}", settings.seed, settings.faults_for.as_secs_f64() / 60.0).unwrap();
    for line in planned {
        writeln!(file, "{line}").unwrap();
    }
}
