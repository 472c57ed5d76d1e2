//! Where the claims of one process begin in the index, and how often one begins at its start. Only memory of this process; no statement.
//!
//! Each claim leaves a dead entry at the low end of the index. While any snapshot is older than that entry, nothing can remove it, and every claim that
//! begins at the start of the index reads all such entries. So most claims begin behind the last job that this process has claimed: there is one
//! cursor for each kind and priority, and what lies before it costs nothing. Correctness does not depend on the cursors. A full scan begins at the
//! start of the index and finds what lies before a cursor: the job of a transaction that stayed open, a job that was released or paused, a `run_at`
//! in the past. It also reaps and expires. The next one is due after twenty times as long as the last one took, and after 30 seconds at the latest. So
//! in a healthy database full scans follow each other closely, and under a long snapshot they are rare.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::job::{Kind, LeaseToken};

/// Full scans take at most one part in this many of the time.
const SHARE: u32 = 20;
/// The longest time to the next full scan: one that had to wait for a lock must not delay the next one by twenty times that.
const LONGEST: Duration = Duration::from_secs(30);
/// A cursor stays this far behind the time of the claim, because a short transaction may commit a job with an earlier `run_at` after it.
const OPEN_TRANSACTIONS_MS: i64 = 1000;
/// Priorities; each has a cursor.
const LEVELS: usize = 10;

/// The last job of a priority that was claimed: its `run_at` and id.
type Cursor = (DateTime<Utc>, Uuid);

/// What one process remembers from claim to claim.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    cursors: [Option<Cursor>; 2 * LEVELS],
    full_scan_at: Option<Instant>,
    pauses: Vec<i64>,
    last_chances: HashMap<LeaseToken, Instant>,
}

/// A job that was claimed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClaimedJob {
    pub kind: Kind,
    pub priority: i16,
    pub run_at: Option<DateTime<Utc>>,
    pub id: Uuid,
    /// The next crash would bury it. The claim may have found others like it and left them, as a process runs one at a time.
    pub on_last_chance: bool,
}

fn first_level(kind: Kind) -> usize {
    match kind {
        Kind::Export => 0,
        Kind::Message => LEVELS,
    }
}

impl Cursors {
    /// Whether the next claim is a full scan.
    pub(super) fn is_full_scan_due(&self, now: Instant) -> bool {
        self.full_scan_at.is_none_or(|at| at <= now)
    }

    /// How long until a full scan is due.
    pub(super) fn full_scan_in(&self, now: Instant) -> Duration {
        self.full_scan_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// The next claim is a full scan.
    pub(super) fn request_full_scan(&mut self) {
        self.full_scan_at = None;
    }

    /// What was paused when this claim ran. When a pause has ended, the jobs that it held may lie before the cursors. So the next claim is a full scan,
    /// unless this one was.
    pub(super) fn set_pauses(&mut self, pauses: Vec<i64>, is_full_scan: bool) {
        // guard: ended pause
        if !is_full_scan && self.pauses.iter().any(|known| !pauses.contains(known)) {
            self.request_full_scan();
        }
        self.pauses = pauses;
    }

    /// A full scan, or another statement that begins at the start of the index, took this long.
    pub(super) fn set_scan_time(&mut self, took: Duration, now: Instant) {
        let at = self.full_scan_at.map_or(now, |at| at.max(now)) + took.saturating_mul(SHARE);
        self.full_scan_at = Some(at.min(now + LONGEST));
    }

    /// Where a claim begins: `run_at` and id for each priority of exports, then of messages.
    pub(super) fn starts(&self, is_full_scan: bool) -> (Vec<Option<DateTime<Utc>>>, Vec<Uuid>) {
        self.cursors
            .iter()
            .map(|cursor| cursor.filter(|_| !is_full_scan).map_or((None, Uuid::nil()), |(run_at, id)| (Some(run_at), id)))
            .unzip()
    }

    /// Move the cursors of one kind to what a claim with this many slots has found, in the order of the claim. When a full scan finds a straggler
    /// before a cursor, the cursor goes back to it, because there may be more behind it. A full scan without a free slot for this kind has not looked
    /// for it, so the next claim with a slot begins at the start.
    pub(super) fn advance(&mut self, kind: Kind, is_full_scan: bool, slots: usize, scanned_at: DateTime<Utc>, claimed: &[ClaimedJob]) {
        if slots == 0 {
            if is_full_scan {
                self.cursors[first_level(kind)..][..LEVELS].fill(None);
            }
            return;
        }
        let of_kind = || claimed.iter().filter(|job| job.kind == kind);
        let levels = &mut self.cursors[first_level(kind)..][..LEVELS];
        let level = |job: &ClaimedJob| usize::try_from(job.priority).unwrap_or_default().min(LEVELS - 1);
        let passed = (scanned_at - TimeDelta::milliseconds(OPEN_TRANSACTIONS_MS), Uuid::nil());
        for job in of_kind() {
            levels[level(job)] = job.run_at.map(|run_at| (run_at, job.id).min(passed));
        }
        // Which priorities have nothing due any more, counted from the first: all, when the claim found fewer jobs than it had slots; otherwise those
        // before the priority of the last job. None, when the claim may have left jobs on their last chance, because they are still due.
        let empty = match of_kind().next_back() {
            _ if claimed.iter().any(|job| job.on_last_chance) => 0,
            _ if of_kind().count() < slots => LEVELS,
            last => last.map_or(0, level),
        };
        for cursor in &mut levels[..empty] {
            *cursor = (*cursor).max(Some(passed));
        }
    }

    /// Whether this process runs no job that the next crash would bury.
    pub(super) fn may_take_last_chance(&mut self, now: Instant) -> bool {
        self.last_chances.retain(|_, deadline| *deadline > now);
        self.last_chances.is_empty()
    }

    /// This process runs such a job from now on.
    pub(super) fn begin_last_chance(&mut self, token: LeaseToken, deadline: Instant) {
        self.last_chances.insert(token, deadline);
    }

    /// That job has ended.
    pub(super) fn end_last_chance(&mut self, token: LeaseToken) {
        self.last_chances.remove(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn export(priority: i16, second: i64, id: u128) -> ClaimedJob {
        let id = Uuid::from_u128(id);
        ClaimedJob { kind: Kind::Export, priority, run_at: Some(at(second)), id, on_last_chance: false }
    }

    #[test]
    fn a_full_scan_is_due_at_first_and_then_after_twenty_times_what_it_took() {
        let (mut cursors, now) = (Cursors::default(), Instant::now());
        assert!(cursors.is_full_scan_due(now));
        cursors.set_scan_time(Duration::from_millis(50), now);
        assert!(!cursors.is_full_scan_due(now + Duration::from_millis(999)));
        assert_eq!(cursors.full_scan_in(now), Duration::from_secs(1));
        assert!(cursors.is_full_scan_due(now + Duration::from_secs(1)));
        cursors.set_scan_time(Duration::from_millis(1), now);
        assert_eq!(cursors.full_scan_in(now), Duration::from_millis(1020), "what else was read from the start counts, too");
        cursors.set_scan_time(Duration::from_secs(10), now);
        assert_eq!(cursors.full_scan_in(now), Duration::from_secs(30), "but not for longer than that");
        cursors.request_full_scan();
        assert!(cursors.is_full_scan_due(now));
    }

    #[test]
    fn a_claim_begins_behind_the_last_job_of_each_level_and_a_full_scan_at_the_start() {
        let mut cursors = Cursors::default();
        cursors.advance(Kind::Export, false, 3, at(100), &[export(2, 10, 7), export(5, 3, 1), export(5, 4, 2)]);
        let (run_at, id) = cursors.starts(false);
        assert_eq!((run_at[5], id[5]), (Some(at(4)), Uuid::from_u128(2)));
        assert_eq!(run_at[2], Some(at(99)), "what comes before a level that was reached is empty, but for the last second");
        assert_eq!((run_at[6], run_at[10..].iter().flatten().count()), (None, 0), "what was not looked at is unknown");
        assert_eq!(cursors.starts(true).0, vec![None; 20]);
    }

    #[test]
    fn an_empty_kind_is_passed_over_up_to_a_second_ago_and_never_back() {
        let mut cursors = Cursors::default();
        cursors.advance(Kind::Message, false, 1, at(100), &[]);
        assert_eq!(cursors.starts(false).0, [vec![None; 10], vec![Some(at(99)); 10]].concat());
        cursors.advance(Kind::Message, false, 1, at(50), &[]);
        assert_eq!(cursors.starts(false).0[10], Some(at(99)));
        cursors.advance(Kind::Message, false, 0, at(200), &[]);
        assert_eq!(cursors.starts(false).0[10], Some(at(99)), "without a slot nothing was looked at");
    }

    #[test]
    fn a_cursor_goes_back_to_a_straggler_so_that_those_behind_it_follow() {
        let mut cursors = Cursors::default();
        cursors.advance(Kind::Export, false, 1, at(100), &[export(5, 90, 9)]);
        cursors.advance(Kind::Export, false, 1, at(101), &[export(5, 1, 3)]);
        assert_eq!((cursors.starts(false).0[5], cursors.starts(false).1[5]), (Some(at(1)), Uuid::from_u128(3)));
    }

    #[test]
    fn a_cursor_stays_a_second_behind_so_that_commits_out_of_order_are_not_passed_over() {
        let mut cursors = Cursors::default();
        cursors.advance(Kind::Export, false, 1, at(100), &[export(5, 100, 9)]);
        assert_eq!(cursors.starts(false).0[5], Some(at(99)));
    }

    #[test]
    fn where_jobs_were_left_alone_no_level_counts_as_empty() {
        let mut cursors = Cursors::default();
        cursors.advance(Kind::Export, false, 4, at(100), &[ClaimedJob { on_last_chance: true, ..export(5, 10, 1) }]);
        assert_eq!(cursors.starts(false).0.iter().flatten().collect::<Vec<_>>(), [&at(10)]);
    }

    #[test]
    fn a_full_scan_without_a_free_slot_for_a_kind_leaves_it_to_the_next_one_with_a_slot() {
        let mut cursors = Cursors::default();
        cursors.advance(Kind::Export, false, 1, at(100), &[]);
        cursors.advance(Kind::Message, false, 1, at(100), &[]);
        cursors.advance(Kind::Export, true, 0, at(200), &[]);
        cursors.advance(Kind::Message, true, 1, at(200), &[]);
        assert_eq!(cursors.starts(false).0, [vec![None; 10], vec![Some(at(199)); 10]].concat());
    }

    #[test]
    fn a_claim_that_misses_a_pause_is_followed_by_a_full_scan() {
        let (mut cursors, now) = (Cursors::default(), Instant::now());
        cursors.set_scan_time(Duration::from_millis(50), now);
        cursors.set_pauses(vec![3, 4], false);
        cursors.set_pauses(vec![3, 4, 5], false);
        assert!(!cursors.is_full_scan_due(now), "more is paused than before");
        cursors.set_pauses(vec![3, 5], true);
        assert!(!cursors.is_full_scan_due(now), "it began at the start itself");
        cursors.set_pauses(vec![5, 6], false);
        assert!(cursors.is_full_scan_due(now), "3 is gone, whatever has come");
    }

    #[test]
    fn a_process_has_one_job_on_its_last_chance_at_a_time() {
        let (mut cursors, now) = (Cursors::default(), Instant::now());
        let token = LeaseToken(uuid::Uuid::nil());
        assert!(cursors.may_take_last_chance(now));
        cursors.begin_last_chance(token, now + Duration::from_secs(9));
        assert!(!cursors.may_take_last_chance(now));
        assert!(cursors.may_take_last_chance(now + Duration::from_secs(9)), "past its deadline it is nobody's");
        cursors.begin_last_chance(token, now + Duration::from_secs(9));
        cursors.end_last_chance(token);
        assert!(cursors.may_take_last_chance(now));
    }
}
