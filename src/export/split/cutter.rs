//! How much of a file is the next slice: as much as fits into a lane, as far as one has learnt from those before.

use crate::source::{Ruler, Slice};

/// How much smaller the first slices are than what is expected: a key may be dense where the rows are, and no slice shall be half of the file.
const CAREFUL: f64 = 16.0;

/// Cuts a file into slices, one after the other. Each row lies in one of them, whatever the ruler says: the first is open below, the last above, and
/// what has no key comes after them.
#[derive(Debug)]
pub(super) struct Cutter {
    ruler: Ruler,
    has_nulls: bool,
    /// Bytes that a slice shall have.
    target: f64,
    /// How far the next slice goes along the ruler.
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

impl Cutter {
    /// `expected` bytes lie along the ruler; `least` slices are made of them.
    pub(super) fn new(ruler: Ruler, has_nulls: bool, expected: f64, target: f64, least: f64) -> Cutter {
        let step = ruler.end() * (target / expected.max(1.0)).min(1.0 / least) / CAREFUL;
        Cutter { ruler, has_nulls, target, step, at: 0.0, last: None, next: Next::Rows }
    }

    /// The next slice, and how far it goes along the ruler.
    pub(super) fn next(&mut self) -> Option<(Slice, f64)> {
        match self.next {
            Next::Rows => {
                let (first, end) = self.ruler.ends();
                let place = self.at + self.step;
                // At least one value further: a slice that moves nothing would be cut for ever.
                let tick = self.ruler.tick_at(place).max(self.last.unwrap_or(first) + 1);
                let to = if place < self.ruler.end() && tick < end { self.ruler.value(tick) } else { None };
                let slice = Slice {
                    from: self.last.and_then(|tick| self.ruler.value(tick)),
                    is_first: self.last.is_none(),
                    to,
                    ..Slice::default()
                };
                let begun = self.at;
                if slice.to.is_some() {
                    self.at = place.max(self.ruler.place_of(tick));
                    self.last = Some(tick);
                } else {
                    self.at = self.ruler.end();
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
            self.step = step.clamp(self.ruler.end() * 1e-9, self.ruler.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::Scale;

    fn numbers(marks: Vec<i128>) -> Ruler {
        Ruler::of_numbers(Scale::Whole("int8"), marks).unwrap()
    }

    proptest! {
        #[test]
        fn each_key_lies_in_exactly_one_slice_whatever_was_expected_and_learnt(
            marks in prop::collection::btree_set(-10_000i128..10_000, 2..40),
            expected in 1.0f64..1e12,
            learnt in prop::collection::vec(0u64..100_000_000, 300),
        ) {
            let mut cutter = Cutter::new(numbers(marks.into_iter().collect()), true, expected, 4e6, 4.0);
            let mut slices = Vec::new();
            for bytes in learnt {
                let Some((slice, width)) = cutter.next() else { break };
                cutter.learn(width, bytes);
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
        let mut cutter = Cutter::new(numbers(vec![0, 1000]), false, 100.0, 10.0, 2.0);
        let (first, width) = cutter.next().unwrap();
        assert_eq!((first.to.as_deref(), cutter.step), (Some("6"), width));
        cutter.learn(width, 20);
        assert_eq!(cutter.next().unwrap().0.to.as_deref(), Some("9"));
        cutter.learn(width, 0);
        assert_eq!(cutter.next().unwrap().0.to.as_deref(), Some("34"), "four times as wide as that one, at most");
        let last = std::iter::from_fn(|| cutter.next()).last().unwrap().0;
        assert_eq!((last.to, last.is_null), (None, false));
    }

    #[test]
    fn few_keys_with_many_rows_each_are_a_slice_each_and_the_end() {
        let mut cutter = Cutter::new(numbers(vec![1, 2, 3]), true, 1e12, 1.0, 2.0);
        let slices: Vec<Slice> = std::iter::from_fn(|| cutter.next().map(|(slice, _)| slice)).collect();
        let bounds: Vec<_> = slices.iter().map(|slice| (slice.from.as_deref(), slice.to.as_deref(), slice.is_null)).collect();
        assert_eq!(bounds, [(None, Some("2"), false), (Some("2"), None, false), (None, None, true)]);
    }
}
