//! Back-off is arithmetic: it takes the number of the attempt and a random number, and returns a delay.

use std::time::Duration;

use super::Failure;

/// How long to wait before the attempt after this one: the class's first delay doubled for each attempt, capped, with jitter of a quarter
/// either way. What the other side asked for wins when it is longer.
///
/// `attempt` counts from 1; `roll` is uniform in `0.0..1.0`.
pub fn backoff(failure: &Failure, attempt: i16, roll: f64) -> Duration {
    let (first, longest) = failure.class.delays();
    // 2^30 seconds is 34 years: the cap always wins before the shift can overflow.
    let doublings = u32::from(attempt.max(1).unsigned_abs() - 1).min(30);
    let delay = first.saturating_mul(1 << doublings).min(longest);
    let jittered = delay.mul_f64(0.75 + roll.clamp(0.0, 1.0) / 2.0);
    jittered.max(failure.retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::job::{FailureClass, Verdict};

    fn failure(class: FailureClass) -> Failure {
        Failure::new(class, Verdict::Retry, "test")
    }

    proptest! {
        #[test]
        fn stays_between_the_first_delay_and_the_cap(attempt in i16::MIN..i16::MAX, roll in 0.0..1.0f64) {
            let failure = failure(FailureClass::Timeout);
            let (first, longest) = failure.class.delays();
            let delay = backoff(&failure, attempt, roll);
            prop_assert!(delay >= first.mul_f64(0.75));
            prop_assert!(delay <= longest.mul_f64(1.25));
        }
    }

    #[test]
    fn doubles_until_the_cap() {
        let failure = failure(FailureClass::SourceUnavailable);
        let seconds: Vec<u64> = (1..=9).map(|attempt| backoff(&failure, attempt, 0.5).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn a_longer_wish_of_the_other_side_wins() {
        let failure = failure(FailureClass::StoreThrottled).with_retry_after(Some(Duration::from_secs(90)));
        assert_eq!(backoff(&failure, 1, 0.5), Duration::from_secs(90));
        assert!(backoff(&failure, 12, 0.5) > Duration::from_secs(90));
    }
}
