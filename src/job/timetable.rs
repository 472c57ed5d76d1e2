//! When a schedule is due: a cron expression on the clock of a time zone. Arithmetic only; what time it is, others say.
//!
//! Where the clock springs forward or falls back, a fixed time of day (one minute, one hour) happens once: at the first instant after the gap, and
//! the first of the two. Whatever repeats within the day (lists, ranges, steps, stars) goes by the clock: nothing in the gap, twice in the overlap.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// A cron expression and its time zone.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

/// Why there is no such timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTimetable {
    /// Not five fields of cron.
    #[error("the cron expression \"{0}\" cannot be read: write minute, hour, day of month, month, day of week ({1})")]
    Cron(String, String),
    /// Not a name of the IANA database.
    #[error("\"{0}\" is no time zone: write a name such as Europe/Berlin, or UTC")]
    Zone(String),
    /// 30 February.
    #[error("the cron expression \"{0}\" is never due: no such day comes")]
    Never(String),
}

/// What becomes of instants that have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// The newest is requested if it is not older than this; whatever else was missed is not.
    None(TimeDelta),
    /// The newest is requested.
    Latest,
    /// Each is requested, the newest so many at most.
    All(usize),
}

/// What a schedule comes to at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dues {
    /// To be requested, oldest first.
    pub instants: Vec<DateTime<Utc>>,
    /// Others have passed and are not requested.
    pub passed_over: bool,
    /// When it is due next.
    pub next: Option<DateTime<Utc>>,
}

impl Timetable {
    /// Read an expression; one that is never due is none.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn new(cron: &str, time_zone: &str) -> Result<Timetable, NoTimetable> {
        let zone: Tz = time_zone.parse().map_err(|_| NoTimetable::Zone(time_zone.into()))?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| NoTimetable::Cron(cron.into(), error.to_string()))?;
        let timetable = Timetable { cron: parsed, zone };
        // Every day that there is comes within 40 years, 29 February on a certain day of the week too.
        timetable.next_after(DateTime::UNIX_EPOCH).map(|_| timetable).ok_or_else(|| NoTimetable::Never(cron.into()))
    }

    /// The time zone.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first instant after this one.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.found(self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false))
    }

    /// The last instant before this one, or at it.
    fn last_at(&self, until: DateTime<Utc>, inclusive: bool) -> Option<DateTime<Utc>> {
        self.found(self.cron.find_previous_occurrence(&until.with_timezone(&self.zone), inclusive))
    }

    fn found(&self, searched: Result<DateTime<Tz>, CronError>) -> Option<DateTime<Utc>> {
        searched.ok().map(|at| at.to_utc())
    }

    /// What is due when it was planned for `planned` (none: not yet planned, so nothing has been missed) and it is `now`. Costs as much as it
    /// returns, however long nobody has looked.
    pub fn due(&self, planned: Option<DateTime<Utc>>, now: DateTime<Utc>, catch_up: CatchUp) -> Dues {
        let next = self.next_after(now);
        let Some(first) = planned.filter(|planned| *planned <= now) else {
            return Dues { next, ..Dues::default() };
        };
        let most = if let CatchUp::All(most) = catch_up { most.max(1) } else { 1 };
        let mut instants = Vec::new();
        let mut last = self.last_at(now, true).filter(|at| *at > first);
        while let Some(at) = last.filter(|_| instants.len() < most) {
            instants.push(at);
            last = self.last_at(at, false).filter(|at| *at > first);
        }
        let mut passed_over = instants.len() == most;
        if !passed_over {
            // What was planned is due, even if the rules of the time zone have changed since.
            instants.push(first);
        }
        if let CatchUp::None(late_after) = catch_up {
            let before = instants.len();
            instants.retain(|at| now - at <= late_after);
            passed_over |= instants.len() < before;
        }
        instants.reverse();
        Dues { instants, passed_over, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The next instants after one, as UTC without seconds.
    fn next(cron: &str, zone: &str, after: &str, how_many: usize) -> Vec<String> {
        let timetable = Timetable::new(cron, zone).unwrap();
        let mut found = vec![at(after)];
        while found.len() <= how_many {
            found.push(timetable.next_after(*found.last().unwrap()).unwrap());
        }
        found[1..].iter().map(|at| at.format("%Y-%m-%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn a_time_of_day_that_does_not_exist_comes_at_the_end_of_the_gap() {
        let found = next("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3);
        assert_eq!(found, ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"], "on the 29th at 03:00 of the summer");
    }

    #[test]
    fn a_time_of_day_that_happens_twice_comes_once() {
        let found = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(found, ["2026-10-25T00:30", "2026-10-26T01:30"]);
    }

    #[test]
    fn every_hour_is_every_hour_over_both_changes_of_the_clock() {
        let found = next("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", 4);
        assert_eq!(found, ["2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00", "2026-03-29T03:00"]);
        let found = next("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4);
        assert_eq!(found, ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00", "2026-10-25T03:00"]);
    }

    #[test]
    fn a_list_of_hours_goes_by_the_clock() {
        let found = next("30 2,14 * * *", "Europe/Berlin", "2026-03-28T20:00:00Z", 2);
        assert_eq!(found, ["2026-03-29T12:30", "2026-03-30T00:30"], "nothing in the gap");
        let found = next("30 2,14 * * *", "Europe/Berlin", "2026-10-24T20:00:00Z", 3);
        assert_eq!(found, ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T13:30"], "twice in the overlap");
    }

    #[test]
    fn other_clocks_than_berlins_change_too() {
        // Lord Howe moves by half an hour, New York on other days, Kathmandu never.
        assert_eq!(next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2), ["2026-10-03T15:30", "2026-10-04T15:15"]);
        assert_eq!(next("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2), ["2026-11-01T05:30", "2026-11-02T06:30"]);
        assert_eq!(next("0 6 * * *", "Asia/Kathmandu", "2026-03-28T12:00:00Z", 1), ["2026-03-29T00:15"]);
    }

    #[test]
    fn month_ends_and_leap_days_come_when_there_are_any() {
        assert_eq!(next("0 6 31 * *", "UTC", "2026-01-31T12:00:00Z", 2), ["2026-03-31T06:00", "2026-05-31T06:00"]);
        assert_eq!(next("0 6 L * *", "UTC", "2026-01-31T12:00:00Z", 2), ["2026-02-28T06:00", "2026-03-31T06:00"]);
        assert_eq!(next("0 6 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2), ["2028-02-29T06:00", "2032-02-29T06:00"]);
        assert_eq!(next("0 6 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["2104-02-29T06:00"], "2100 is no leap year");
        assert_eq!(next("0 6 * * MON#1", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-01-05T06:00"]);
    }

    #[test]
    fn what_is_never_due_or_makes_no_sense_is_said_in_a_sentence() {
        for (cron, zone, word) in [
            ("0 6 30 2 *", "UTC", "never"),
            ("0 6 31 4,6,9,11 *", "UTC", "never"),
            ("0 6 * *", "UTC", "minute, hour"),
            ("0 0 6 * * *", "UTC", "minute, hour"),
            ("60 6 * * *", "UTC", "cannot be read"),
            ("0 6 * * FOO", "UTC", "cannot be read"),
            ("0 6 * * *", "Europe/Atlantis", "Europe/Berlin"),
            ("0 6 * * *", "CEST+3", "Europe/Berlin"),
        ] {
            let said = Timetable::new(cron, zone).unwrap_err().to_string();
            assert!(said.contains(word), "{cron} {zone}: {said}");
        }
    }

    /// What is made of a day's outage of an hourly schedule.
    fn after_an_outage(catch_up: CatchUp) -> (Vec<String>, bool) {
        let dues = Timetable::new("0 * * * *", "UTC").unwrap().due(Some(at("2026-01-01T06:00:00Z")), at("2026-01-02T06:10:00Z"), catch_up);
        assert_eq!(dues.next, Some(at("2026-01-02T07:00:00Z")));
        (dues.instants.iter().map(|at| at.format("%d %H:%M").to_string()).collect(), dues.passed_over)
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_the_schedule_says() {
        assert_eq!(after_an_outage(CatchUp::Latest), (vec!["02 06:00".into()], true));
        assert_eq!(after_an_outage(CatchUp::All(3)), (vec!["02 04:00".into(), "02 05:00".into(), "02 06:00".into()], true));
        let (all, passed_over) = after_an_outage(CatchUp::All(100));
        assert_eq!((all.len(), all[0].as_str(), passed_over), (25, "01 06:00", false));
        assert_eq!(after_an_outage(CatchUp::None(TimeDelta::minutes(5))), (vec![], true));
        assert_eq!(after_an_outage(CatchUp::None(TimeDelta::minutes(15))), (vec!["02 06:00".into()], true));
    }

    #[test]
    fn what_is_on_time_is_made_whatever_the_policy_and_nothing_before_it_was_planned() {
        let (hourly, six) = (Timetable::new("0 * * * *", "UTC").unwrap(), at("2026-01-01T06:00:00Z"));
        for catch_up in [CatchUp::None(TimeDelta::minutes(5)), CatchUp::Latest, CatchUp::All(9)] {
            let dues = hourly.due(Some(six), six + TimeDelta::milliseconds(700), catch_up);
            assert_eq!((dues.instants, dues.passed_over, dues.next), (vec![six], false, Some(six + TimeDelta::hours(1))), "{catch_up:?}");
            assert!(hourly.due(None, six, catch_up).instants.is_empty(), "nothing was planned");
            let early = hourly.due(Some(six + TimeDelta::hours(9)), six, catch_up);
            assert!(early.instants.is_empty(), "not yet");
        }
        // The rules of the zone have changed: what was planned is no instant of the expression any more.
        let odd = at("2026-01-01T05:42:00Z");
        assert_eq!(hourly.due(Some(odd), six - TimeDelta::minutes(1), CatchUp::Latest).instants, [odd]);
    }

    #[test]
    fn looking_back_finds_the_same_instants_as_looking_ahead() {
        for (cron, zone) in [
            ("30 2 * * *", "Europe/Berlin"),
            ("*/20 * * * *", "Europe/Berlin"),
            ("15 1,2 * * *", "America/New_York"),
            ("0 0 L * *", "Asia/Tehran"),
            ("10 2 * * *", "Australia/Lord_Howe"),
        ] {
            let timetable = Timetable::new(cron, zone).unwrap();
            let (from, until) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
            let mut ahead = vec![timetable.next_after(from).unwrap()];
            while let Some(next) = timetable.next_after(*ahead.last().unwrap()).filter(|next| *next <= until) {
                ahead.push(next);
            }
            let back = timetable.due(Some(ahead[0]), until, CatchUp::All(usize::MAX)).instants;
            assert_eq!(back, ahead, "{cron} {zone}");
        }
    }

    #[test]
    fn years_without_anybody_looking_cost_nothing() {
        let each_minute = Timetable::new("* * * * *", "Europe/Berlin").unwrap();
        let dues = each_minute.due(Some(at("1990-01-01T00:00:00Z")), at("2026-01-01T00:00:30Z"), CatchUp::All(31));
        assert_eq!((dues.instants.len(), dues.passed_over), (31, true));
    }
}
