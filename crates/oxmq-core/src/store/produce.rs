//! Requests and answers of `Store::add`.

use crate::address::JobId;
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::job::NewJob;
use crate::state::JobState;

/// Groups of jobs to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct AddRequest {
    /// Each is created whole or not at all.
    pub groups: Vec<AddGroup>,
    /// The time of the call; the timestamp of jobs that bring none.
    pub now: Timestamp,
}

/// Jobs that are created together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct AddGroup {
    /// At most [`GROUP_JOBS_MAX`](super::GROUP_JOBS_MAX).
    pub jobs: Vec<NewJob>,
}

/// What became of one job of an add.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// The job that is in the queue now: the one that was to be added, or the one that stands for it.
    pub id: JobId,
    /// Where it is. (Completed, too, of a job that is gone: see [`Fate::Deduplicated`].)
    pub state: JobState,
    /// Whether it is the one that was to be added.
    pub fate: Fate,
}

impl Added {
    /// A job that was created, in this state.
    pub fn created(id: JobId, state: JobState) -> Self {
        Self { id, state, fate: Fate::Created }
    }

    /// A job that was there already, in this state.
    pub fn existing(id: JobId, state: JobState) -> Self {
        Self { id, state, fate: Fate::Existing }
    }

    /// A job that another one stands for: the owner, and where it is; `None` if it is gone.
    pub fn deduplicated(owner: JobId, state: Option<JobState>) -> Self {
        let fate = Fate::Deduplicated { owner_exists: state.is_some() };
        Self { id: owner, state: state.unwrap_or(JobState::Completed), fate }
    }

    /// Any other one.
    pub fn new(id: JobId, state: JobState, fate: Fate) -> Self {
        Self { id, state, fate }
    }
}

/// What an add did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The job was created.
    Created,
    /// A job with this id was there already, and stays as it is; the new data was not stored. If it was added as
    /// a child, it is the parent's child now.
    Existing,
    /// Another job stands for it, the owner of its deduplication id, and [`Added::id`] names that one; the new data was
    /// not stored.
    Deduplicated {
        /// Whether the owner is still there. It may have finished and been removed by its retention while the id is taken
        /// for a `ttl`.
        owner_exists: bool,
    },
    /// The owner of its deduplication id is active: the job is kept, in place of one that was kept before, and is added
    /// when the owner has finished. [`Added::id`] names the owner.
    KeptAsNext {
        /// The id that the job will have.
        next: JobId,
    },
    /// The job was created, and the delayed job that owned its deduplication id was removed.
    Replaced {
        /// The job that is gone.
        removed: JobId,
    },
    /// A node below the root of a flow was refused, and the rest was added, as [`OnRefusal::KeepRest`](super::OnRefusal::KeepRest) asks for:
    /// its parent is missing ([`NotFound`](ErrorKind::NotFound)), or it is there already and stays with the parent it has
    /// ([`Refused`](ErrorKind::Refused)). The state is the one it is in, or would be.
    Refused(ErrorKind),
}

impl Fate {
    /// Whether the job that was to be added is in the queue now.
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Created | Self::Replaced { .. })
    }
}

/// Which deduplication id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRequest {
    /// The deduplication id.
    pub id: String,
    /// The time of the call.
    pub now: Timestamp,
}

/// A deduplication id that is to be free again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// The deduplication id.
    pub id: String,
    /// Only if this job owns it; whoever owns it if `None`.
    pub only_if_owner: Option<JobId>,
    /// The time of the call.
    pub now: Timestamp,
}
