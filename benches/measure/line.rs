//! One line of the table: what was measured, its floor, and what it has cost.

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The median of figure / floor is at least this: rates.
    RatioAtLeast(f64),
    /// The median of figure / floor is at most this: times.
    RatioAtMost(f64),
    /// The median of the figure itself is at most this.
    AtMost(f64),
    /// Only told.
    None,
}

/// What it has cost; unknown where it was not counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Costs {
    /// Statements that reached the server, per unit of work.
    pub statements: Option<f64>,
    /// Times that the program waited for the server, per unit of work.
    pub round_trips: Option<f64>,
    /// CPU of exportbox, microseconds per unit of work.
    pub cpu_us: Option<f64>,
    /// CPU of the database server, microseconds per unit of work.
    pub server_cpu_us: Option<f64>,
    /// Most resident memory of exportbox, MiB.
    pub peak_mib: Option<f64>,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was measured, for example `queue` or `small exports, 8 slots, 10 ms`.
    pub case: String,
    /// Of figure and floor: `jobs/s`, `ms`, …
    pub unit: &'static str,
    /// One figure per round.
    pub figures: Vec<f64>,
    /// The floor in the same rounds; empty: there is none.
    pub floors: Vec<f64>,
    /// What is to be reached.
    pub goal: Goal,
    /// What it has cost.
    pub costs: Costs,
    /// Why there is no figure.
    pub failure: Option<String>,
}

impl Line {
    /// A figure beside its floor, round by round.
    pub fn new(case: impl Into<String>, unit: &'static str, rounds: &[(f64, f64)], goal: Goal) -> Line {
        let (figures, floors) = rounds.iter().copied().unzip();
        Line { case: case.into(), unit, figures, floors, goal, costs: Costs::default(), failure: None }
    }

    /// A figure that has no floor.
    pub fn alone(case: impl Into<String>, unit: &'static str, figures: Vec<f64>, goal: Goal) -> Line {
        Line { case: case.into(), unit, figures, floors: Vec::new(), goal, costs: Costs::default(), failure: None }
    }

    /// The same with what it has cost.
    pub fn costing(self, costs: Costs) -> Line {
        Line { costs, ..self }
    }

    /// The same by its greatest figure alone: a limit that one round breaks is broken.
    pub fn worst(self) -> Line {
        Line { figures: self.figures.iter().copied().reduce(f64::max).into_iter().collect(), ..self }
    }

    /// A case that could not be measured.
    pub fn failed(case: &str, why: &str) -> Line {
        Line { failure: Some(why.to_owned()), ..Line::alone(case, "", Vec::new(), Goal::None) }
    }

    /// Least, median and greatest of figure / floor.
    pub fn ratio(&self) -> Option<[f64; 3]> {
        let ratios: Vec<f64> = self.figures.iter().zip(&self.floors).map(|(figure, floor)| figure / floor).collect();
        (!ratios.is_empty()).then(|| spread(&ratios))
    }

    /// Whether the goal is reached; none: there is no goal.
    pub fn met(&self) -> Option<bool> {
        let ratio = self.ratio().map(|[_, median, _]| median);
        match self.goal {
            _ if self.failure.is_some() => Some(false),
            Goal::RatioAtLeast(least) => Some(ratio? >= least),
            Goal::RatioAtMost(most) => Some(ratio? <= most),
            Goal::AtMost(most) => Some(median(&self.figures)? <= most),
            Goal::None => None,
        }
    }
}

/// The median, or none of nothing.
pub fn median(of: &[f64]) -> Option<f64> {
    (!of.is_empty()).then(|| spread(of)[1])
}

/// The value that this share of the samples does not exceed.
pub fn percentile(of: &[f64], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn spread(of: &[f64]) -> [f64; 3] {
    [0.0, 0.5, 1.0].map(|share| percentile(of, share))
}
