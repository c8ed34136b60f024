//! The states of a job, and the one table of legal moves between them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Where a job is. The names are BullMQ's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// Ready to run, in turn. A paused queue's jobs stay waiting.
    Waiting,
    /// Ready to run, ordered by a priority above 0; runs after everything that is [`Waiting`](Self::Waiting).
    Prioritized,
    /// Runs at a later time.
    Delayed,
    /// Somebody holds a lease on it.
    Active,
    /// Its children have to finish first.
    WaitingChildren,
    /// Done; the result is kept.
    Completed,
    /// Failed for good; the reason is kept.
    Failed,
}

impl JobState {
    /// Every state, in the order in which BullMQ lists them.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Completed,
        Self::Delayed,
        Self::Failed,
        Self::Prioritized,
        Self::Waiting,
        Self::WaitingChildren,
    ];

    /// BullMQ's name of the state: `waiting`, `waiting-children`, ..
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Prioritized => "prioritized",
            Self::Delayed => "delayed",
            Self::Active => "active",
            Self::WaitingChildren => "waiting-children",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether the job has ended: [`Completed`](Self::Completed) or [`Failed`](Self::Failed).
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = Error;

    /// Reads BullMQ's name of a state; `wait` is the same as `waiting`.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "wait" {
            return Ok(Self::Waiting);
        }
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::new(ErrorKind::Invalid, "parse", format!("`state` is {text}: use one of {names}"))
        })
    }
}

/// What moves a job from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Move {
    /// It is added.
    Add,
    /// Its time has come (found by a take), or somebody promotes it.
    Promote,
    /// A worker takes it, with a lease.
    Take,
    /// Its handler succeeded.
    Complete,
    /// It failed for good.
    Fail,
    /// It failed and is to be tried again: at once, or after a delay.
    TryAgain,
    /// It goes back without having failed: handed back, or "again at".
    GiveBack,
    /// Its lease ran out: the worker died.
    Recover,
    /// It waits for its children: its handler asks for it, or a child that had failed it was retried.
    AwaitChildren,
    /// Its children are done.
    Release,
    /// Somebody retries a finished job.
    Retry,
    /// Its delay is changed.
    ChangeDelay,
    /// Its priority is changed.
    ChangePriority,
    /// Somebody cancels it before it runs.
    Cancel,
    /// It is removed: by hand, by cleaning, or by retention.
    Remove,
}

/// Every legal move: from, by what, to. `None` means that the job does not exist.
///
/// The diagram in ARCHITECTURE.md is made of this table, and the behaviour suite walks it.
pub const TRANSITIONS: &[(Option<JobState>, Move, Option<JobState>)] = {
    use JobState::{Active, Completed, Delayed, Failed, Prioritized, Waiting, WaitingChildren};
    use Move::{
        Add, AwaitChildren, Cancel, ChangeDelay, ChangePriority, Complete, Fail, GiveBack, Promote, Recover,
        Release, Remove, Retry, Take, TryAgain,
    };
    &[
        (None, Add, Some(Waiting)),
        (None, Add, Some(Prioritized)),
        (None, Add, Some(Delayed)),
        (None, Add, Some(WaitingChildren)),
        (Some(Delayed), Promote, Some(Waiting)),
        (Some(Delayed), Promote, Some(Prioritized)),
        (Some(Delayed), ChangeDelay, Some(Delayed)),
        (Some(Waiting), ChangePriority, Some(Prioritized)),
        (Some(Waiting), ChangePriority, Some(Waiting)),
        (Some(Prioritized), ChangePriority, Some(Prioritized)),
        (Some(Prioritized), ChangePriority, Some(Waiting)),
        (Some(Waiting), Take, Some(Active)),
        (Some(Prioritized), Take, Some(Active)),
        (Some(Active), Complete, Some(Completed)),
        (Some(Active), Complete, None),
        (Some(Active), Fail, Some(Failed)),
        (Some(Active), Fail, None),
        (Some(Active), TryAgain, Some(Waiting)),
        (Some(Active), TryAgain, Some(Prioritized)),
        (Some(Active), TryAgain, Some(Delayed)),
        (Some(Active), GiveBack, Some(Waiting)),
        (Some(Active), GiveBack, Some(Prioritized)),
        (Some(Active), GiveBack, Some(Delayed)),
        (Some(Active), Recover, Some(Waiting)),
        (Some(Active), AwaitChildren, Some(WaitingChildren)),
        (Some(Waiting), AwaitChildren, Some(WaitingChildren)),
        (Some(Prioritized), AwaitChildren, Some(WaitingChildren)),
        (Some(WaitingChildren), Release, Some(Waiting)),
        (Some(WaitingChildren), Release, Some(Prioritized)),
        (Some(WaitingChildren), Release, Some(Delayed)),
        (Some(Completed), Retry, Some(Waiting)),
        (Some(Completed), Retry, Some(Prioritized)),
        (Some(Failed), Retry, Some(Waiting)),
        (Some(Failed), Retry, Some(Prioritized)),
        (Some(Waiting), Cancel, Some(Failed)),
        (Some(Prioritized), Cancel, Some(Failed)),
        (Some(Delayed), Cancel, Some(Failed)),
        (Some(WaitingChildren), Cancel, Some(Failed)),
        (Some(Waiting), Remove, None),
        (Some(Prioritized), Remove, None),
        (Some(Delayed), Remove, None),
        (Some(WaitingChildren), Remove, None),
        (Some(Completed), Remove, None),
        (Some(Failed), Remove, None),
        // Only by a forced obliterate, or when no lease holds it.
        (Some(Active), Remove, None),
    ]
};

/// Whether a job in state `from` may be moved by `by`.
pub fn is_legal(from: Option<JobState>, by: Move) -> bool {
    TRANSITIONS.iter().any(|(start, cause, _)| *start == from && *cause == by)
}
