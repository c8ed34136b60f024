//! What ties a job to its parent.

use serde::{Deserialize, Serialize};

use crate::address::JobKey;

/// What a child's final failure does to its parent. Without one, nothing: the parent waits until the child is retried and
/// completes, or is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildFailure {
    /// The parent fails, too, as soon as a worker takes it: `failParentOnFailure`.
    FailParent,
    /// The parent runs at once, with its other children pending: `continueParentOnFailure`.
    ContinueParent,
    /// The failure is written down for the parent, which then waits for its other children only:
    /// `ignoreDependencyOnFailure`.
    Ignore,
    /// The parent forgets the child: `removeDependencyOnFailure`.
    Remove,
}

impl ChildFailure {
    /// All of them, in the order in which BullMQ looks for them.
    pub const ALL: [Self; 4] = [Self::FailParent, Self::ContinueParent, Self::Ignore, Self::Remove];

    /// BullMQ's name of the option.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailParent => "failParentOnFailure",
            Self::ContinueParent => "continueParentOnFailure",
            Self::Ignore => "ignoreDependencyOnFailure",
            Self::Remove => "removeDependencyOnFailure",
        }
    }
}

/// A job's parent, and what the job's failure does to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Which job.
    pub key: JobKey,
    /// What the child's failure does to it.
    pub on_failure: Option<ChildFailure>,
}

/// The option `parent` as BullMQ writes it.
#[derive(Serialize, Deserialize)]
pub(crate) struct WireParent {
    id: String,
    queue: String,
}

impl WireParent {
    pub(crate) fn of(key: &JobKey) -> Self {
        Self { id: key.id.as_str().to_owned(), queue: key.queue.to_string() }
    }

    pub(crate) fn into_key(self) -> Option<JobKey> {
        JobKey::of(&self.queue, self.id)
    }
}
