//! The state machine of a job. The table is checked against the statements by `tests/suite/transitions.rs`.

use std::fmt;

/// Where a job is in its life. A retry is `Pending` with a later `run_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for its instant and a free slot.
    Pending,
    /// Under a lease.
    Running,
    /// Its side effect happened and is recorded.
    Completed,
    /// Only a person brings it back.
    Dead,
    /// Stopped on request, or not started in time.
    Cancelled,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [State; 5] = [State::Pending, State::Running, State::Completed, State::Dead, State::Cancelled];

    /// The word in the table's `state` column.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::Completed => "completed",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }

    /// Whether the job is over unless a person brings it back.
    pub fn is_final(self) -> bool {
        matches!(self, State::Completed | State::Dead | State::Cancelled)
    }

    /// The state that a word in the table's column stands for.
    pub fn parse(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way from a state to another: the verb, which is the name of the statement or function that does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Name of the statement in `sql/`, or of the operator's function.
    pub verb: &'static str,
    /// The only state it starts from.
    pub from: State,
    /// Where it may lead.
    pub to: &'static [State],
    /// Whether it must name the lease token.
    pub fenced: bool,
}

/// All legal transitions. What is not here does not happen.
pub const TRANSITIONS: &[Transition] = &[
    Transition { verb: "claim", from: State::Pending, to: &[State::Running], fenced: false },
    Transition { verb: "expire", from: State::Pending, to: &[State::Cancelled], fenced: false },
    Transition { verb: "complete_exports", from: State::Running, to: &[State::Completed, State::Cancelled], fenced: true },
    Transition { verb: "complete_messages", from: State::Running, to: &[State::Completed], fenced: true },
    Transition { verb: "retry", from: State::Running, to: &[State::Pending, State::Dead, State::Cancelled], fenced: true },
    Transition { verb: "bury", from: State::Running, to: &[State::Dead], fenced: true },
    Transition { verb: "release", from: State::Running, to: &[State::Pending, State::Cancelled], fenced: true },
    Transition { verb: "settle_cancelled", from: State::Running, to: &[State::Cancelled], fenced: true },
    Transition { verb: "reap", from: State::Running, to: &[State::Pending, State::Dead, State::Cancelled], fenced: false },
    Transition { verb: "exportbox.cancel", from: State::Pending, to: &[State::Cancelled], fenced: false },
    Transition { verb: "exportbox.requeue", from: State::Dead, to: &[State::Pending], fenced: false },
    Transition { verb: "exportbox.requeue", from: State::Cancelled, to: &[State::Pending], fenced: false },
];
