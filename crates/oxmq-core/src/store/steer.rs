//! Requests and answers of the section "steer".

use std::time::Duration;

use crate::address::JobId;
use crate::clock::Timestamp;
use crate::state::JobState;

/// A bounded step of a bulk operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// How many jobs it moved or removed.
    pub count: u64,
    /// Which ones, where the intent tells them (clean).
    pub ids: Vec<JobId>,
    /// Whether there is more to do: call again.
    pub more: bool,
}

/// A request to cancel a job.
#[derive(Debug, Clone, PartialEq)]
pub struct CancelRequest {
    /// Which job.
    pub job: JobId,
    /// Why, without the word `cancelled`.
    pub reason: String,
    /// The time of the call.
    pub now: Timestamp,
}

/// What became of a request to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelAnswer {
    /// The job had not started; it has failed now.
    Cancelled,
    /// The job runs; its worker is told, and the job will end as cancelled.
    Requested {
        /// The worker: its name, or else its id.
        worker: String,
    },
    /// The job runs in a worker that cannot be reached, which goes on.
    Unreachable {
        /// The worker's name, if it is known.
        worker: Option<String>,
    },
    /// The job has finished already.
    Finished(JobState),
}

/// Which delayed jobs run now.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PromoteRequest {
    /// This one.
    One {
        /// Which.
        job: JobId,
        /// The time of the call.
        now: Timestamp,
    },
    /// The earliest ones.
    All {
        /// The most to move in this call.
        limit: usize,
        /// The time of the call.
        now: Timestamp,
    },
}

/// Which finished jobs run again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RetryRequest {
    /// This one.
    One {
        /// Which.
        job: JobId,
        /// The state it must be in: completed or failed.
        state: JobState,
        /// Whether its tries are counted anew.
        reset_attempts_made: bool,
        /// Whether its starts are counted anew.
        reset_attempts_started: bool,
        /// The time of the call.
        now: Timestamp,
    },
    /// The oldest ones.
    Many {
        /// Completed or failed.
        state: JobState,
        /// Only those that finished then or before.
        finished_until: Timestamp,
        /// The most to move in this call.
        limit: usize,
        /// The time of the call.
        now: Timestamp,
    },
}

/// A change of when, or in which order, a job runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RescheduleRequest {
    /// Which job.
    pub job: JobId,
    /// What changes.
    pub change: Change,
    /// The time of the call.
    pub now: Timestamp,
}

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A delayed job is due so long from now.
    Delay(Duration),
    /// Another priority.
    Priority {
        /// 0 to [`PRIORITY_MAX`](crate::PRIORITY_MAX).
        priority: u32,
        /// Whether it goes before its equals.
        lifo: bool,
    },
}

/// A job to be removed.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoveRequest {
    /// Which job.
    pub job: JobId,
    /// What goes: the job, its children, or both.
    pub scope: RemoveScope,
    /// The time of the call.
    pub now: Timestamp,
}

/// What a removal removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RemoveScope {
    /// The job. Its children stay, and their parent is gone.
    #[default]
    JobOnly,
    /// The job and all its children, of whatever kind, with theirs.
    WithChildren,
    /// Not the job, but the children it waits for, with those that they wait for. Those that somebody works on, and
    /// those that have failed, stay.
    PendingChildren,
}

/// What became of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoveAnswer {
    /// What was to go is gone.
    Removed,
    /// It was not there.
    NotFound,
    /// Somebody works on it, or on a child of it; all stays.
    Locked,
}

/// A limit to what a queue gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitRequest {
    /// Nothing is given before; `None` lifts the limit. A limit that ends later than this one is shortened.
    pub until: Option<Timestamp>,
    /// The time of the call.
    pub now: Timestamp,
}

/// A step of draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainRequest {
    /// Whether delayed jobs go too.
    pub delayed: bool,
    /// The most to remove in this call.
    pub limit: usize,
    /// The time of the call.
    pub now: Timestamp,
}

/// A step of cleaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanRequest {
    /// Which state.
    pub state: JobState,
    /// Only jobs from then or before.
    pub older_than: Timestamp,
    /// The most to remove in this call.
    pub limit: usize,
    /// The time of the call.
    pub now: Timestamp,
}

/// A step of obliterating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObliterateRequest {
    /// Whether active jobs go too.
    pub force: bool,
    /// The most jobs to remove in this call.
    pub limit: usize,
    /// The time of the call.
    pub now: Timestamp,
}

/// A step of sweeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepRequest {
    /// The most jobs to remove in this call.
    pub limit: usize,
    /// The time of the call.
    pub now: Timestamp,
}
