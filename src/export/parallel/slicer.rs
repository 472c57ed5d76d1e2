//! How much of a file is the next slice: about as much as fits into a channel. Each slice that is finished makes the guess better.

use super::histogram::Histogram;
use super::slice::Slice;

/// The first slices are so many times smaller than expected: where a key is dense, a slice may hold many more rows than the planner believes.
const CAREFUL: f64 = 16.0;

/// Cuts a file into slices, one after the other. Each row lies in exactly one of them, also where the histogram is wrong: the first slice has no lower
/// bound, the last no upper one, and rows without a key come after them.
#[derive(Debug, Clone)]
pub(super) struct Slicer {
    histogram: Histogram,
    has_nulls: bool,
    /// Bytes that a slice shall have.
    target: f64,
    /// How far the next slice goes along the histogram.
    step: f64,
    at: f64,
    last: Option<i128>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Rows,
    Nulls,
    Nothing,
}

impl Slicer {
    /// `expected` bytes lie along the histogram; `least` slices are made of them.
    pub(super) fn new(histogram: Histogram, has_nulls: bool, expected: f64, target: f64, least: f64) -> Slicer {
        let step = histogram.end() * (target / expected.max(1.0)).min(1.0 / least) / CAREFUL;
        Slicer { histogram, has_nulls, target, step, at: 0.0, last: None, next: Next::Rows }
    }

    /// The next slice, and how far it goes along the histogram.
    pub(super) fn next(&mut self) -> Option<(Slice, f64)> {
        match self.next {
            Next::Rows => {
                let (first, end) = self.histogram.ends();
                let position = self.at + self.step;
                // At least one value further: a slice that moves nothing would be cut for ever.
                let point = self.histogram.point_at(position).max(self.last.unwrap_or(first) + 1);
                let to = if position < self.histogram.end() && point < end { self.histogram.value(point) } else { None };
                let slice = Slice {
                    from: self.last.and_then(|point| self.histogram.value(point)),
                    is_first: self.last.is_none(),
                    to,
                    ..Slice::default()
                };
                let begun = self.at;
                if slice.to.is_some() {
                    self.at = position.max(self.histogram.position_of(point));
                    self.last = Some(point);
                } else {
                    self.at = self.histogram.end();
                    self.next = if self.has_nulls { Next::Nulls } else { Next::Nothing };
                }
                Some((slice, self.at - begun))
            }
            Next::Nulls => {
                self.next = Next::Nothing;
                Some((Slice { is_null: true, ..Slice::default() }, 0.0))
            }
            Next::Nothing => None,
        }
    }

    /// A slice of this width had so many bytes. By four at most: one slice is not the file.
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    pub(super) fn learn(&mut self, width: f64, bytes: u64) {
        if width > 0.0 {
            let step = width * (self.target / (bytes as f64).max(1.0)).clamp(0.25, 4.0);
            self.step = step.clamp(self.histogram.end() * 1e-9, self.histogram.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::parallel::scale::Scale;

    fn numbers(bounds: Vec<i128>) -> Histogram {
        Histogram::of_numbers(Scale::Whole("int8"), bounds).unwrap()
    }

    proptest! {
        #[test]
        fn each_key_lies_in_exactly_one_slice_whatever_was_expected_and_learnt(
            bounds in prop::collection::btree_set(-10_000i128..10_000, 2..40),
            expected in 1.0f64..1e12,
            learnt in prop::collection::vec(0u64..100_000_000, 300),
        ) {
            let mut slicer = Slicer::new(numbers(bounds.into_iter().collect()), true, expected, 4e6, 4.0);
            let mut slices = Vec::new();
            for bytes in learnt {
                let Some((slice, width)) = slicer.next() else { break };
                slicer.learn(width, bytes);
                slices.push(slice);
            }
            prop_assert!(slices[0].is_first && slices[0].from.is_none());
            for pair in slices.windows(2) {
                if pair[1].is_null {
                    prop_assert_eq!(&pair[0].to, &None);
                    continue;
                }
                prop_assert_eq!(&pair[0].to, &pair[1].from);
                prop_assert!(pair[1].from.is_some() && !pair[1].is_first);
                let (from, to) = (&pair[1].from, &pair[1].to);
                let number = |value: &Option<String>| value.as_ref().map(|value| value.parse::<i128>().unwrap());
                prop_assert!(number(to).is_none_or(|to| number(from).unwrap() < to));
            }
        }
    }

    #[test]
    fn a_slice_grows_and_shrinks_with_what_the_one_before_had() {
        let mut slicer = Slicer::new(numbers(vec![0, 1000]), false, 100.0, 10.0, 2.0);
        let (first, width) = slicer.next().unwrap();
        assert_eq!((first.to.as_deref(), slicer.step), (Some("6"), width));
        slicer.learn(width, 20);
        assert_eq!(slicer.next().unwrap().0.to.as_deref(), Some("9"));
        slicer.learn(width, 0);
        assert_eq!(slicer.next().unwrap().0.to.as_deref(), Some("34"), "four times as wide as that one, at most");
        let last = std::iter::from_fn(|| slicer.next()).last().unwrap().0;
        assert_eq!((last.to, last.is_null), (None, false));
    }

    #[test]
    fn few_keys_with_many_rows_each_are_a_slice_each_and_the_end() {
        let mut slicer = Slicer::new(numbers(vec![1, 2, 3]), true, 1e12, 1.0, 2.0);
        let slices: Vec<Slice> = std::iter::from_fn(|| slicer.next().map(|(slice, _)| slice)).collect();
        let bounds: Vec<_> = slices.iter().map(|slice| (slice.from.as_deref(), slice.to.as_deref(), slice.is_null)).collect();
        assert_eq!(bounds, [(None, Some("2"), false), (Some("2"), None, false), (None, None, true)]);
    }
}
