//! What a worker tells the listeners in its own process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::schedule::SkipReason;
use crate::address::JobId;
use crate::error::Error;
use crate::job::Job;
use crate::json::JsonText;

/// Something that happened in this worker; for [`WorkerBuilder::on`](super::WorkerBuilder::on).
///
/// These are local: what other workers do is in the queue's stream of events.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// The store has answered for the first time.
    Ready,
    /// A handler begins.
    Active {
        /// The job, as it was taken.
        job: Arc<Job>,
    },
    /// A job is done, and that is stored.
    Completed {
        /// The job, as it was taken.
        job: Arc<Job>,
        /// What its handler returned.
        result: JsonText,
    },
    /// A try of a job failed, and that is stored.
    Failed {
        /// The job, as it was taken.
        job: Arc<Job>,
        /// The reason, as it is stored.
        error: String,
        /// Whether it is tried again.
        will_retry: bool,
    },
    /// A job runs again later, or was given back: no failure, no attempt spent.
    Returned {
        /// The job, as it was taken.
        job: Arc<Job>,
    },
    /// A job waits for its children, and runs again when they have ended: no failure, no attempt spent.
    AwaitsChildren {
        /// The job, as it was taken.
        job: Arc<Job>,
    },
    /// A job of a schedule completed without having run, by a rule of its schedule; told before that is stored.
    Skipped {
        /// The job, as it was taken.
        job: Arc<Job>,
        /// Why.
        reason: SkipReason,
    },
    /// A schedule could not go on when its job started; it may have ended. The job runs all the same.
    ScheduleTrouble {
        /// The job, as it was taken.
        job: Arc<Job>,
        /// What went wrong, with the schedule's id.
        error: Error,
    },
    /// A handler reported progress.
    Progress {
        /// The job, as it was taken.
        job: Arc<Job>,
        /// The progress.
        progress: JsonText,
    },
    /// This worker found a job whose worker had died, and brought it back.
    Stalled {
        /// Which.
        id: JobId,
    },
    /// Nothing is left to take for now.
    Drained,
    /// The store refused something or cannot be reached; told once until it changes. The worker goes on by itself.
    Error {
        /// What the store said.
        error: Error,
    },
    /// Jobs are due and a slot is free, but this worker took nothing for long. It makes new connections and goes on,
    /// or ends if [`end_when_stuck`](super::WorkerBuilder::end_when_stuck) says so.
    Stuck {
        /// How many jobs could be taken.
        due: u64,
        /// For how long nothing was taken.
        nothing_for: Duration,
    },
    /// A process for [isolated handlers](crate::Isolation) did not start, or ended before it took a job. It is tried again after a wait
    /// that doubles, up to 10 s; the job that needed it fails with this reason.
    ChildNotStarted {
        /// What happened, with the last thing that the process wrote.
        reason: String,
        /// How many times in a row.
        failures: u32,
    },
    /// The leases of running jobs were renewed.
    LeasesRenewed {
        /// Of these.
        jobs: Vec<JobId>,
    },
    /// Somebody else has the job now, or it is gone; its handler was told to stop.
    LeaseLost {
        /// The job, as it was taken.
        job: Arc<Job>,
    },
    /// A handler ended, but the job was not this worker's any more; the result is thrown away.
    LateResultRefused {
        /// The job, as it was taken.
        job: Arc<Job>,
        /// What the store said; `None` if it was not even asked, because the lease was known to be lost.
        error: Option<Error>,
    },
    /// [`pause`](super::WorkerHandle::pause) was called.
    Paused,
    /// [`resume`](super::WorkerHandle::resume) was called.
    Resumed,
    /// It takes no more jobs, and ends when the running ones have.
    Closing,
    /// It has ended.
    Closed,
}

type Listener = Arc<dyn Fn(&WorkerEvent) + Send + Sync>;

/// The listeners of a worker.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Vec<Listener>);

impl Listeners {
    pub(crate) fn add(&mut self, listener: impl Fn(&WorkerEvent) + Send + Sync + 'static) {
        self.0.push(Arc::new(listener));
    }

    /// Tells all of them. The event is only made if there is one; a listener that panics harms nobody else.
    pub(crate) fn tell(&self, event: impl FnOnce() -> WorkerEvent) {
        if self.0.is_empty() {
            return;
        }
        let event = event();
        for listener in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| listener(&event))).is_err() {
                tracing::error!(?event, "a listener of the worker panicked");
            }
        }
    }
}
