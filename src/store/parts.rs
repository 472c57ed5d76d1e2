//! How large each part of a multipart upload is: a pure function, so that memory and the largest file can be computed beforehand.
//!
//! S3's limits: 10,000 parts of 5 MiB to 5 GiB each, an object of at most 48.8 TiB, which is 10,000 times 5 GiB.

use crate::job::{Failure, FailureClass, Verdict};

/// The smallest part that S3 takes, the last part excepted: 5 MiB.
pub const MIN_PART: u64 = 5 * 1024 * 1024;
/// The largest part that S3 takes: 5 GiB.
pub const MAX_PART: u64 = 5 * 1024 * 1024 * 1024;
/// The most parts that one upload may have.
pub const MAX_PARTS: u32 = 10_000;
/// The number of parts that have the base size: at 5 MiB each, enough for 50 GB (50e9 bytes).
pub const FLAT_PARTS: u32 = 9_537;

/// The part sizes of an upload. With base size `B` (default 5 MiB, `EXPORTBOX_PART_SIZE`):
///
/// * parts 1 to 9,537 have `B` bytes each,
/// * part `n` above that has `B × (n − 9,536)` bytes, at most 5 GiB.
///
/// An upload holds two parts in memory, so a slot needs `2 × B` for files of up to `9,537 × B` bytes: 10 MiB for 50 GB with the default.
/// With the default a file may have 615 GB; for larger ones, or to keep memory flat, set `B` to at least size / 9,537.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    base: u64,
}

impl Default for PartPlan {
    fn default() -> PartPlan {
        PartPlan { base: MIN_PART }
    }
}

impl PartPlan {
    /// A plan with a base size in bytes, brought into S3's limits of 5 MiB to 5 GiB.
    pub fn new(base_bytes: u64) -> PartPlan {
        PartPlan { base: base_bytes.clamp(MIN_PART, MAX_PART) }
    }

    /// Size in bytes of part `number`, counted from 1; 0 for a part that may not exist.
    pub fn part_size(self, number: u32) -> u64 {
        match number {
            1..=FLAT_PARTS => self.base,
            ..=MAX_PARTS if number > 0 => (self.base * u64::from(number - FLAT_PARTS + 1)).min(MAX_PART),
            _ => 0,
        }
    }

    /// The largest file in bytes.
    pub fn capacity(self) -> u64 {
        (1..=MAX_PARTS).map(|number| self.part_size(number)).sum()
    }

    /// Size in bytes of part `number` of an upload that needs it.
    ///
    /// # Errors
    /// The upload has no more parts: another attempt would end the same way.
    pub fn room(self, number: u32) -> Result<usize, Failure> {
        match usize::try_from(self.part_size(number)) {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(Failure::new(
                FailureClass::TooLarge,
                Verdict::Bury,
                format!(
                    "The file is larger than {} bytes, the most that fits with this part size: set EXPORTBOX_PART_SIZE higher.",
                    self.capacity()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIFTY_GB: u64 = 50_000_000_000;

    proptest! {
        #[test]
        fn parts_stay_in_the_stores_limits_and_never_shrink(base in 0..=2 * MAX_PART, number in 1..MAX_PARTS) {
            let plan = PartPlan::new(base);
            let (size, next) = (plan.part_size(number), plan.part_size(number + 1));
            prop_assert!((MIN_PART..=MAX_PART).contains(&size));
            prop_assert!(next >= size);
            prop_assert_eq!(plan.part_size(number), size);
        }

        #[test]
        fn nothing_comes_after_the_last_part(base in MIN_PART..=MAX_PART, number in MAX_PARTS + 1..) {
            let plan = PartPlan::new(base);
            prop_assert_eq!(plan.part_size(number), 0);
            prop_assert_eq!(plan.part_size(0), 0);
            let failure = plan.room(number).expect_err("no room");
            prop_assert_eq!((failure.class, failure.verdict), (FailureClass::TooLarge, Verdict::Bury));
            prop_assert!(failure.sentence.contains("EXPORTBOX_PART_SIZE"));
        }

        #[test]
        fn a_larger_base_size_holds_a_larger_file(base in MIN_PART..MAX_PART) {
            let (plan, next) = (PartPlan::new(base), PartPlan::new(base + 1));
            prop_assert!(next.capacity() > plan.capacity());
            prop_assert!(next.capacity() <= u64::from(MAX_PARTS) * MAX_PART);
        }
    }

    #[test]
    fn fifty_gigabytes_need_no_part_above_five_mebibytes() {
        let plan = PartPlan::default();
        let flat: u64 = (1..=MAX_PARTS).map(|number| plan.part_size(number)).take_while(|size| *size == MIN_PART).sum();
        assert!((FIFTY_GB..FIFTY_GB + MIN_PART).contains(&flat), "{flat}");
        assert_eq!(plan.part_size(FLAT_PARTS + 1), 2 * MIN_PART);
    }

    #[test]
    fn the_default_holds_what_its_documentation_says() {
        assert_eq!(PartPlan::default().capacity() / 1_000_000_000, 615);
        assert_eq!(PartPlan::new(MAX_PART).capacity(), 10_000 * MAX_PART);
    }
}
