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
    /// The job that is in the queue now.
    pub id: JobId,
    /// Where it is.
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
    /// A node below the root of a flow was refused, and the rest was added, as [`OnRefusal::KeepRest`](super::OnRefusal::KeepRest) asks for:
    /// its parent is missing ([`NotFound`](ErrorKind::NotFound)), or it is there already and stays with the parent it has
    /// ([`Refused`](ErrorKind::Refused)). The state is the one it is in, or would be.
    Refused(ErrorKind),
}
