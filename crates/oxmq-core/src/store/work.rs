//! Requests and answers of the section "work".

use std::fmt;
use std::time::Duration;

use crate::address::{JobId, Token};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::job::{Lease, LeasedJob};
use crate::json::JsonText;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{Answer, WorkerInfo};

/// A demand for jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct TakeRequest {
    /// The most jobs to give, at most [`GROUP_JOBS_MAX`](super::GROUP_JOBS_MAX); 0 gives none (but promotes what is due).
    pub limit: usize,
    /// Whose they will be. A worker that wants to be reached by [`Store::cancel`](crate::Store::cancel) uses its id, `:`, and anything.
    pub token: Token,
    /// How long the lease lasts without being extended.
    pub lease_for: Duration,
    /// The name of the worker, stored with the job.
    pub worker: Option<String>,
    /// A rate limit of the worker's: at most so many takes in a window, counted for the whole queue.
    pub rate_limit: Option<RateLimit>,
    /// Whether a limit that was set by hand ([`Limit::Until`](super::Limit::Until)) is passed over if there is no rate, neither this one nor the
    /// queue's, as BullMQ's workers do. With `false` it holds for everybody.
    pub until_needs_rate: bool,
    /// The time of the call.
    pub now: Timestamp,
}

/// At most `max` takes in each window of `window`. Fixed windows, which begin with the first take after the last one's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub max: u32,
    /// In how long.
    pub window: Duration,
}

/// Jobs that were given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taken {
    /// The jobs, in order.
    pub jobs: Vec<LeasedJob>,
    /// Why there are fewer than asked for; `None` if there are not.
    pub idle: Option<Idle>,
}

/// Why a take gave fewer jobs than asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// Nothing else is due.
    Empty {
        /// When the next delayed job is due, if there is one.
        next_due: Option<Timestamp>,
    },
    /// The queue is paused.
    Paused,
    /// The queue is rate-limited.
    RateLimited {
        /// Until then.
        until: Timestamp,
    },
    /// As many jobs are active as the queue allows in all.
    Full,
}

/// Endings to be written, and perhaps a demand for more.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishRequest {
    /// The endings.
    pub finished: Vec<Finish>,
    /// What to take after them.
    pub take: Option<TakeRequest>,
    /// Whether those that complete or fail for good are [counted](crate::Store::metrics), and how many points are kept then:
    /// 1 to [`METRICS_POINTS_MAX`](super::METRICS_POINTS_MAX).
    pub metrics: Option<u32>,
    /// The time of the call.
    pub now: Timestamp,
}

/// The ending of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Which job, and by what right.
    pub lease: Lease,
    /// How it ends.
    pub ending: Ending,
    /// Whether the ending was decided with a request to cancel in mind, and is to be written in spite of one.
    pub heeds_cancel: bool,
    /// What [`Job::known`](crate::Job::known) said of the job as it was given, which may spare the store a look; or nothing.
    pub known: Option<Known>,
}

/// What cannot change in a job as long as its lease holds. It has neither a parent nor a deduplication id, and cannot come to have
/// them: its id is a number, and so no other job can be added with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// How many tries had ended.
    pub attempts_made: u32,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// What became of the endings, and the next jobs.
#[derive(Debug, Clone, Default)]
pub struct Finished {
    /// For each ending, in order: the state the job is in now, `None` if it was removed.
    pub answers: Vec<Result<Option<JobState>>>,
    /// What was taken; `None` if nothing was asked for.
    pub taken: Option<Taken>,
}

/// What an exchange did, as early as it may be known.
pub struct Exchanged {
    /// What became of the endings, and the next jobs. The leases hold.
    pub finished: Finished,
    /// Ends when it is certain that this survives all that the store's writes survive; `None` if it is. Nothing has to wait for it to be
    /// made so. It takes no longer than a call may take. Its error is [`Ambiguous`](crate::ErrorKind::Ambiguous): whether the endings are written will be seen when the store works again.
    pub kept: Option<Answer<'static, ()>>,
}

impl From<Finished> for Exchanged {
    fn from(finished: Finished) -> Self {
        Self { finished, kept: None }
    }
}

impl fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, kept } = self;
        f.debug_struct("Exchanged").field("finished", finished).field("kept", &kept.is_none()).finish()
    }
}

/// Leases to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtendRequest {
    /// The leases.
    pub leases: Vec<Lease>,
    /// How long each lasts from now on.
    pub lease_for: Duration,
    /// The time of the call.
    pub now: Timestamp,
}

/// What became of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extended {
    /// It is kept.
    Kept,
    /// The job is not ours any more: recovered, finished, removed.
    Lost,
    /// It is kept, and somebody asked for the job to be cancelled.
    CancelRequested {
        /// Why.
        reason: String,
    },
}

/// A check for the jobs of dead workers.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoverRequest {
    /// How often a job's worker may die before the job fails.
    pub max_stalled: u32,
    /// How often this check is made by the caller. A store may skip a check that comes sooner after another
    /// caller's than this.
    pub interval: Duration,
    /// The time of the call.
    pub now: Timestamp,
}

/// What a check for the jobs of dead workers found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The jobs that were brought back.
    pub stalled: Vec<JobId>,
    /// Whether the queue held nothing to be done at a moment of the call: no job that was active, waiting (also in a queue that
    /// is paused), prioritized or delayed. A store that did not find out says no.
    pub empty: bool,
}

/// A wait for work.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitRequest {
    /// The worker's name, if it has one.
    pub worker: Option<String>,
    /// The longest to wait, in real time.
    pub timeout: Duration,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Woken {
    /// There may be something to take.
    Look,
    /// Nothing can be taken before this time, as far as is known.
    Due(Timestamp),
    /// The time was up.
    TimedOut,
}

/// A wait for requests to cancel.
#[derive(Debug, Clone, PartialEq)]
pub struct CancellationsRequest {
    /// The id of the worker: the part of its tokens before the last `:`.
    pub worker_id: String,
    /// Leases whose requests the worker knows already.
    pub known: Vec<Lease>,
    /// The longest to wait, in real time.
    pub timeout: Duration,
}

/// A request to cancel a running job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// The attempt that is meant.
    pub lease: Lease,
    /// Why.
    pub reason: String,
}

/// Something to be written down about a job.
#[derive(Debug, Clone, PartialEq)]
pub struct NoteRequest {
    /// Which job.
    pub job: JobId,
    /// What.
    pub note: Note,
    /// The time of the call.
    pub now: Timestamp,
}

/// What is written down about a job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// Its progress.
    Progress(JsonText),
    /// A line for its log.
    Log {
        /// The line.
        line: String,
        /// How many lines are kept, the newest; all if `None`.
        keep: Option<u32>,
    },
    /// Removes its log lines, but for the newest.
    ClearLogs {
        /// How many are kept; none if `None`.
        keep: Option<u32>,
    },
    /// New data in place of the old.
    Data(JsonText),
}

/// A sign of life of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnounceRequest {
    /// Who it is.
    pub worker: WorkerInfo,
    /// How long this holds; zero to say good-bye.
    pub ttl: Duration,
    /// Whether the worker did the same not long ago, and was answered: a store may leave out what it does besides. Now and then a
    /// worker says no, though it did.
    pub renews: bool,
    /// The time of the call.
    pub now: Timestamp,
}
