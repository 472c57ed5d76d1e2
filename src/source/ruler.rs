//! Where the rows of a file lie along its split key: a place is a share of the rows, a tick a value of the key.

use super::slices::Scale;

/// Values of a key, ascending, with about as many rows between each two.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruler {
    scale: Scale,
    marks: Marks,
}

#[derive(Debug, Clone, PartialEq)]
enum Marks {
    /// There is something between them.
    Numbers(Vec<i128>),
    /// Nothing is known to be between them: a tick is the number of a mark.
    Texts(Vec<String>),
}

impl Ruler {
    /// A ruler over values that can be counted; none if there are fewer than two.
    pub fn of_numbers(scale: Scale, mut numbers: Vec<i128>) -> Option<Ruler> {
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() > 1).then_some(Ruler { scale, marks: Marks::Numbers(numbers) })
    }

    /// A ruler over values in the order of the key; none if there are fewer than two.
    pub fn of_texts(texts: Vec<String>) -> Option<Ruler> {
        (texts.len() > 1).then_some(Ruler { scale: Scale::Text, marks: Marks::Texts(texts) })
    }

    /// The last place; the first is 0.
    #[expect(clippy::cast_precision_loss, reason = "a histogram has at most 10,000 values")]
    pub fn end(&self) -> f64 {
        match &self.marks {
            Marks::Numbers(numbers) => (numbers.len() - 1) as f64,
            Marks::Texts(texts) => (texts.len() - 1) as f64,
        }
    }

    /// The first tick and the last.
    pub fn ends(&self) -> (i128, i128) {
        match &self.marks {
            Marks::Numbers(numbers) => (numbers[0], numbers[numbers.len() - 1]),
            Marks::Texts(texts) => (0, texts.len() as i128 - 1),
        }
    }

    /// The tick at a place: between two marks as if the rows lay there evenly.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a guess, which is never wrong"
    )]
    pub fn tick_at(&self, place: f64) -> i128 {
        let place = place.clamp(0.0, self.end());
        match &self.marks {
            Marks::Numbers(numbers) => {
                let below = (place as usize).min(numbers.len() - 2);
                let width = numbers[below + 1].saturating_sub(numbers[below]);
                numbers[below].saturating_add((width as f64 * (place - below as f64)) as i128)
            }
            Marks::Texts(_) => place.ceil() as i128,
        }
    }

    /// The place of a tick.
    #[expect(clippy::cast_precision_loss, reason = "a guess, which is never wrong")]
    pub fn place_of(&self, tick: i128) -> f64 {
        match &self.marks {
            Marks::Numbers(numbers) => {
                let below = numbers.partition_point(|number| *number <= tick).saturating_sub(1).min(numbers.len() - 2);
                let width = numbers[below + 1].saturating_sub(numbers[below]) as f64;
                below as f64 + (tick.saturating_sub(numbers[below]) as f64 / width).clamp(0.0, 1.0)
            }
            Marks::Texts(_) => tick as f64,
        }
    }

    /// The value at a tick. None is a value that the server would not read.
    pub fn value(&self, tick: i128) -> Option<String> {
        match &self.marks {
            Marks::Numbers(_) => self.scale.write(tick),
            Marks::Texts(texts) => texts.get(usize::try_from(tick).ok()?).cloned(),
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
            let ruler = Ruler::of_numbers(Scale::Whole("int8"), numbers.into_iter().collect()).unwrap();
            let (place, next) = (ruler.end() * share, ruler.end() * (share + more).min(1.0));
            prop_assert!(ruler.tick_at(place) <= ruler.tick_at(next));
            prop_assert!(ruler.place_of(ruler.tick_at(place)) <= place + 1e-6);
            let (first, last) = ruler.ends();
            prop_assert!((first..=last).contains(&ruler.tick_at(place)));
        }
    }

    #[test]
    fn texts_are_their_own_marks() {
        let ruler = Ruler::of_texts(["a", "m", "z"].map(String::from).to_vec()).unwrap();
        assert_eq!((ruler.end(), ruler.ends(), ruler.tick_at(0.1), ruler.value(1)), (2.0, (0, 2), 1, Some("m".into())));
        assert!(Ruler::of_texts(vec!["a".into()]).is_none() && Ruler::of_numbers(Scale::Date, vec![1, 1]).is_none());
    }
}
