//! The store's clock, learned from its answers: a link is judged by it, so a link must be signed by it. The SDK corrects the signatures of its
//! own calls in the same way, but those of links it makes by the machine's clock, which may be hours off.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_types::sdk_config::SharedTimeSource;
use chrono::{DateTime, TimeDelta, Utc};

/// When a machine's clock is wrong by more than this, its signatures are refused sooner or later: AWS tolerates 5 minutes, S3 15.
const OFF: TimeDelta = TimeDelta::minutes(4);

/// How far the store's clock is ahead of ours. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct StoreClock {
    ours: SharedTimeSource,
    ahead_ms: Arc<AtomicI64>,
}

/// When a request left, by our clock.
#[derive(Debug)]
struct Sent(DateTime<Utc>);

impl Storable for Sent {
    type Storer = StoreReplace<Sent>;
}

impl StoreClock {
    /// `ours` is the clock by which the SDK signs; none: the machine's.
    pub(super) fn new(ours: Option<SharedTimeSource>) -> StoreClock {
        StoreClock { ours: ours.unwrap_or_default(), ahead_ms: Arc::default() }
    }

    /// The store's time, as far as its last answer tells; ours before the first.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.our_now() + self.ahead()
    }

    /// Whether ours is so far off that signatures made by it are refused.
    pub(super) fn is_off(&self) -> bool {
        self.ahead().abs() > OFF
    }

    fn our_now(&self) -> DateTime<Utc> {
        self.ours.now().into()
    }

    /// How far the store's clock is ahead of ours; zero before its first answer.
    pub(super) fn ahead(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn learn(&self, sent: DateTime<Utc>, said: DateTime<Utc>, received: DateTime<Utc>) {
        self.ahead_ms.store(ahead(sent, said, received).num_milliseconds(), Ordering::Relaxed);
    }
}

/// `said` is a whole second, read at some instant between our request and the answer. Zero when our clock may well be right.
fn ahead(sent: DateTime<Utc>, said: DateTime<Utc>, received: DateTime<Utc>) -> TimeDelta {
    let (least, most) = (said - received, said + TimeDelta::seconds(1) - sent);
    if least <= TimeDelta::zero() && most >= TimeDelta::zero() { TimeDelta::zero() } else { (least + most) / 2 }
}

impl Intercept for StoreClock {
    fn name(&self) -> &'static str {
        "StoreClock"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Sent(self.our_now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let said = headers.get("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        // An answer from a cache carries an old time.
        if let (Some(Sent(sent)), Some(said), None) = (config.load::<Sent>(), said, headers.get("age")) {
            self.learn(*sent, said.to_utc(), self.our_now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).expect("in range")
    }

    proptest! {
        #[test]
        fn the_stores_clock_is_found_to_within_half_the_journey(off_ms in -100_000_000i64..100_000_000, there in 0i64..30_000, back in 0i64..30_000) {
            // The store answers `there` after the request left, and writes whole seconds.
            let said = at((there + off_ms).div_euclid(1000) * 1000);
            let found = ahead(at(0), said, at(there + back)).num_milliseconds();
            prop_assert!((found - off_ms).abs() <= (there + back) + 1000);
        }

        #[test]
        fn a_clock_that_is_right_is_left_alone(there in 0i64..30_000, back in 0i64..30_000) {
            let said = at(there.div_euclid(1000) * 1000);
            prop_assert_eq!(ahead(at(0), said, at(there + back)), TimeDelta::zero());
        }
    }
}
