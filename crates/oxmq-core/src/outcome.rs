//! What is written for a job when its handler has ended.

use crate::address::JobKey;
use crate::clock::Timestamp;
use crate::json::JsonText;
use crate::options::Retention;

/// How a run of a job ends. Decided by `worker/finish.rs`, which is pure; written by [`Store::finish`](crate::Store::finish).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// Active to completed; spends an attempt.
    Completed {
        /// What the handler returned.
        return_value: JsonText,
        /// What is kept of completed jobs.
        keep: Retention,
    },
    /// Active to failed, for good; spends an attempt.
    Failed {
        /// Why.
        failure: Failure,
        /// The tries that the job had in all: when the attempts made reach it, `retries-exhausted` is told.
        attempts: u32,
        /// What is kept of failed jobs.
        keep: Retention,
    },
    /// Failed, and is to be tried again; spends an attempt.
    ///
    /// Without a time it goes to the back of its queue (to the front if the job is lifo; to its place if it has a
    /// priority), else it is delayed until then.
    Retry {
        /// Why this try failed.
        failure: Failure,
        /// When it is due; `None` is at once.
        at: Option<Timestamp>,
    },
    /// Did not fail, runs again at a later time; spends no attempt.
    Postponed {
        /// When it is due.
        at: Timestamp,
    },
    /// Did not fail, is given back at once and runs next (before its equals, if it has a priority); spends no
    /// attempt.
    Returned,
    /// Did not fail, and runs again when its children have ended; spends no attempt.
    ///
    /// If there is nothing to wait for (no child is pending, or not this one), it is [`Returned`](Self::Returned) instead. Once it waits, it waits for
    /// all of them.
    AwaitChildren {
        /// Wait only if this child is pending.
        child: Option<JobKey>,
    },
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// The message; plain text.
    pub reason: String,
    /// All stacks to be kept, this one last: a JSON array of texts. `None` leaves the stored ones as they are.
    pub stacktrace: Option<JsonText>,
}
