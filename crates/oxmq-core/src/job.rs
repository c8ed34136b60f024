//! What a job is: as it is added, and as it is read back.

use crate::address::{JobId, Token};
use crate::clock::Timestamp;
use crate::family::Parent;
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::state::JobState;
use crate::store::Known;

/// A job to be added. Validated: stores trust it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What kind of work it is; workers may route by it.
    pub name: String,
    /// The payload.
    pub data: JsonText,
    /// How it is to be run. An id of its own, if any, is `options.job_id`.
    pub options: JobOptions,
}

/// A job as a store has it.
///
/// Times are milliseconds since 1970. Counters start at 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What kind of work it is.
    pub name: String,
    /// The payload, JSON as it was added or last updated.
    pub data: JsonText,
    /// The options as JSON, with everything that is not known here; [`Job::options`] reads them.
    pub opts: JsonText,
    /// When it was created.
    pub timestamp: Timestamp,
    /// The delay it was last given, in milliseconds; 0 once it was promoted.
    pub delay_ms: i64,
    /// Its priority; 0 is first.
    pub priority: u32,
    /// How often it was taken, and so the number of this start: it only grows, so that it serves as a fencing
    /// number. (A manual retry can reset it on request.)
    pub attempts_started: u32,
    /// How many tries have ended: with success, or with a failure. Stalls and postponements do not count.
    pub attempts_made: u32,
    /// How often its worker died.
    pub stalled_count: u32,
    /// When it was last taken.
    pub processed_on: Option<Timestamp>,
    /// When it completed or failed for good.
    pub finished_on: Option<Timestamp>,
    /// The name of the worker that took it last, if it has one.
    pub processed_by: Option<String>,
    /// Why the next worker that takes it must fail it without running it.
    pub deferred_failure: Option<String>,
    /// Why it failed last; plain text.
    pub failed_reason: Option<String>,
    /// The stacks of its failures as a JSON array of texts, oldest first.
    pub stacktrace: Option<JsonText>,
    /// What its handler returned.
    pub return_value: Option<JsonText>,
    /// The progress it last reported; any JSON.
    pub progress: Option<JsonText>,
    /// The job that waits for it.
    pub parent: Option<Parent>,
    /// What it has in common with the jobs it stands for, or stood for.
    pub deduplication_id: Option<String>,
    /// The schedule that made it.
    pub scheduler_id: Option<String>,
}

impl Job {
    /// A job with these four and nothing else set; for stores, which fill in the rest.
    pub fn new(id: JobId, name: String, data: JsonText, opts: JsonText) -> Self {
        Self {
            id,
            name,
            data,
            opts,
            timestamp: Timestamp::EPOCH,
            delay_ms: 0,
            priority: 0,
            attempts_started: 0,
            attempts_made: 0,
            stalled_count: 0,
            processed_on: None,
            finished_on: None,
            processed_by: None,
            deferred_failure: None,
            failed_reason: None,
            stacktrace: None,
            return_value: None,
            progress: None,
            parent: None,
            deduplication_id: None,
            scheduler_id: None,
        }
    }

    /// The options that are known here.
    pub fn options(&self) -> JobOptions {
        JobOptions::stored(&self.opts)
    }

    /// What its ending can rely on, if it was just taken; nothing if anything else has to do with it.
    pub fn known(&self) -> Option<Known> {
        let is_alone = self.parent.is_none() && self.deduplication_id.is_none() && self.id.is_automatic();
        let taken_at = self.processed_on.filter(|_| is_alone)?;
        Some(Known { attempts_made: self.attempts_made, taken_at })
    }
}

/// A job and where it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobView {
    /// The job.
    pub job: Job,
    /// Its state.
    pub state: JobState,
    /// When it is due, if it is delayed.
    pub due: Option<Timestamp>,
    /// Whose lease it is under, if it is active and locked.
    pub token: Option<Token>,
}

impl JobView {
    /// A job and its state; for stores.
    pub fn new(job: Job, state: JobState) -> Self {
        Self { job, state, due: None, token: None }
    }
}

/// The right to work on a job until it runs out: a job and a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which job.
    pub job: JobId,
    /// Whose it is.
    pub token: Token,
}

/// A job that was just taken, with its lease.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedJob {
    /// The job, as it is after it was taken.
    pub job: Job,
    /// The lease.
    pub lease: Lease,
}
