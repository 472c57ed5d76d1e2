//! Where the rows of a file lie along its split key. A position counts rows: from one bound to the next it is 1. A point is a value of the key, as a number.

use super::scale::Scale;

/// Values of a key in ascending order, with about the same number of rows between any two neighbours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    scale: Scale,
    bounds: Bounds,
}

#[derive(Debug, Clone, PartialEq)]
enum Bounds {
    /// Any number between two bounds may be a value, too.
    Numbers(Vec<i128>),
    /// No value between two bounds can be named: a point is the index of a bound.
    Texts(Vec<String>),
}

impl Histogram {
    /// A histogram over values that can be counted; none if there are fewer than two.
    pub(super) fn of_numbers(scale: Scale, mut numbers: Vec<i128>) -> Option<Histogram> {
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() > 1).then_some(Histogram { scale, bounds: Bounds::Numbers(numbers) })
    }

    /// A histogram over values in the order of the key; none if there are fewer than two.
    pub(super) fn of_texts(texts: Vec<String>) -> Option<Histogram> {
        (texts.len() > 1).then_some(Histogram { scale: Scale::Text, bounds: Bounds::Texts(texts) })
    }

    /// The last position; the first is 0.
    #[expect(clippy::cast_precision_loss, reason = "a histogram has at most 10,000 values")]
    pub(super) fn end(&self) -> f64 {
        match &self.bounds {
            Bounds::Numbers(numbers) => (numbers.len() - 1) as f64,
            Bounds::Texts(texts) => (texts.len() - 1) as f64,
        }
    }

    /// The first point and the last.
    pub(super) fn ends(&self) -> (i128, i128) {
        match &self.bounds {
            Bounds::Numbers(numbers) => (numbers[0], numbers[numbers.len() - 1]),
            Bounds::Texts(texts) => (0, texts.len() as i128 - 1),
        }
    }

    /// The point at a position. Between two bounds the rows are taken to be spread evenly.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a guess, which is never wrong"
    )]
    pub(super) fn point_at(&self, position: f64) -> i128 {
        let position = position.clamp(0.0, self.end());
        match &self.bounds {
            Bounds::Numbers(numbers) => {
                let below = (position as usize).min(numbers.len() - 2);
                let width = numbers[below + 1].saturating_sub(numbers[below]);
                numbers[below].saturating_add((width as f64 * (position - below as f64)) as i128)
            }
            Bounds::Texts(_) => position.ceil() as i128,
        }
    }

    /// The position of a point.
    #[expect(clippy::cast_precision_loss, reason = "a guess, which is never wrong")]
    pub(super) fn position_of(&self, point: i128) -> f64 {
        match &self.bounds {
            Bounds::Numbers(numbers) => {
                let below = numbers.partition_point(|number| *number <= point).saturating_sub(1).min(numbers.len() - 2);
                let width = numbers[below + 1].saturating_sub(numbers[below]) as f64;
                below as f64 + (point.saturating_sub(numbers[below]) as f64 / width).clamp(0.0, 1.0)
            }
            Bounds::Texts(_) => point as f64,
        }
    }

    /// The value at a point. None: the server would not read it.
    pub(super) fn value(&self, point: i128) -> Option<String> {
        match &self.bounds {
            Bounds::Numbers(_) => self.scale.write(point),
            Bounds::Texts(texts) => texts.get(usize::try_from(point).ok()?).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ticks_ascend_with_places_and_lead_back(numbers in prop::collection::btree_set(-1_000_000i128..1_000_000, 2..50), share in 0.0f64..1.0, more in 0.0f64..1.0) {
            let histogram = Histogram::of_numbers(Scale::Whole("int8"), numbers.into_iter().collect()).unwrap();
            let (position, next) = (histogram.end() * share, histogram.end() * (share + more).min(1.0));
            prop_assert!(histogram.point_at(position) <= histogram.point_at(next));
            prop_assert!(histogram.position_of(histogram.point_at(position)) <= position + 1e-6);
            let (first, last) = histogram.ends();
            prop_assert!((first..=last).contains(&histogram.point_at(position)));
        }
    }

    #[test]
    fn texts_are_their_own_bounds() {
        let histogram = Histogram::of_texts(["a", "m", "z"].map(String::from).to_vec()).unwrap();
        assert_eq!((histogram.end(), histogram.ends(), histogram.point_at(0.1), histogram.value(1)), (2.0, (0, 2), 1, Some("m".into())));
        assert!(Histogram::of_texts(vec!["a".into()]).is_none() && Histogram::of_numbers(Scale::Date, vec![1, 1]).is_none());
    }
}
