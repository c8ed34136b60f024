//! The life of one job: may it run, call the handler, bound it, decide the ending.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::context::{CancelCause, JobContext};
use super::errors::Wish;
use super::events::WorkerEvent;
use super::finish::{Decision, Outcome, ending_for, refusal_before_start};
use super::schedule::{self, Verdict};
use super::shared::Shared;
use super::trace::JobTrace;
use crate::clock::{Timestamp, millis};
use crate::job::{Job, Lease, LeasedJob};
use crate::options::JobOptions;
use crate::outcome::Ending;
use crate::store::{Limit, LimitRequest};
use crate::telemetry::{SpanKind, SpanParent, attribute};

/// A job that this worker holds, from the take to the acknowledged ending.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) job: Arc<Job>,
    pub(crate) options: JobOptions,
    pub(crate) lease: Lease,
    /// Tells the handler to stop.
    pub(crate) cancel: CancellationToken,
    /// Drops the handler at once.
    pub(crate) abandon: CancellationToken,
    cause: OnceLock<CancelCause>,
    deadline: OnceLock<Timestamp>,
    lost: AtomicBool,
    sent: AtomicBool,
    /// What telemetry hears of it.
    pub(crate) trace: JobTrace,
}

impl Running {
    pub(crate) fn new(leased: LeasedJob) -> Self {
        Self {
            options: leased.job.options(),
            job: Arc::new(leased.job),
            lease: leased.lease,
            cancel: CancellationToken::new(),
            abandon: CancellationToken::new(),
            cause: OnceLock::new(),
            deadline: OnceLock::new(),
            lost: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            trace: JobTrace::default(),
        }
    }

    /// Tells the handler to stop; the first cause counts. Returns whether this was it.
    pub(crate) fn stop(&self, cause: CancelCause) -> bool {
        let first = self.cause.set(cause).is_ok();
        self.cancel.cancel();
        first
    }

    pub(crate) fn cause(&self) -> Option<CancelCause> {
        self.cause.get().cloned()
    }

    /// When its time is over; the first counts.
    pub(crate) fn set_deadline(&self, deadline: Timestamp) {
        let _ = self.deadline.set(deadline);
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.deadline.get().copied()
    }

    /// The lease is lost. Returns whether that is news that matters: once an ending was sent, its answer tells more.
    pub(crate) fn lose(&self) -> bool {
        !self.sent.load(Ordering::Acquire) && !self.lost.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// An ending is on its way to the store.
    pub(crate) fn mark_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }
}

/// A job that was run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) running: Arc<Running>,
    /// What is to be written, if the lease is not lost by then.
    pub(crate) decision: Decision,
}

/// Runs a job and decides how it ends. Never panics, whatever the handler does.
pub(crate) async fn run(shared: Arc<Shared>, running: Arc<Running>) -> Ended {
    let process = running.trace.begin(&shared, &running);
    // Made within the process span, for those who bridge these spans to the same system.
    let span = process.within(|| {
        tracing::info_span!(
            "job",
            queue = %shared.queue,
            id = %running.job.id,
            name = %running.job.name,
            start = running.job.attempts_started,
        )
    });
    let work = process.around(outcome_of(&shared, &running).instrument(span));
    let outcome = match catch_panics(work).await {
        Ok(outcome) => outcome,
        Err(message) => Outcome::Panicked(message),
    };
    let limit = match &outcome {
        Outcome::Failed(error) => match error.wish {
            Wish::RateLimited(pause) => Some(pause),
            _ => None,
        },
        _ => None,
    };
    let now = shared.clock.now();
    running.trace.handler_ended(now);
    let mut decision =
        ending_for(&running.job, &running.options, outcome, &shared.policy, now, fastrand::f64());
    if let Some(pause) = limit {
        process.around(limit_queue(&shared, &mut decision, now, pause)).await;
    }
    Ended { running, decision }
}

async fn outcome_of(shared: &Arc<Shared>, running: &Arc<Running>) -> Outcome {
    let job = &running.job;
    let mut skipped = None;
    if let Some(id) = &job.scheduler_id {
        match Box::pin(schedule::advance(shared, running, id)).await {
            Verdict::Run => {}
            Verdict::Skip(result) => skipped = Some(result),
            Verdict::Stop(cause) => return Outcome::Stopped(cause),
        }
    }
    if let Some(reason) =
        refusal_before_start(job, &running.options, shared.settings.max_starts, shared.clock.now())
    {
        return Outcome::Refused(reason);
    }
    if let Some(result) = skipped {
        return Outcome::Done(result);
    }
    let Some(route) = shared.routes.find(&job.name) else {
        return Outcome::Refused(shared.routes.unknown(&job.name));
    };
    if let Some(limit) = running.options.timeout {
        running.set_deadline(shared.clock.now() + limit);
    }
    shared.counters.started.add_one();
    shared.listeners.tell(|| WorkerEvent::Active { job: job.clone() });
    let work = match &shared.pool {
        None => route(JobContext { running: running.clone(), desk: shared.clone() }),
        Some(pool) => pool.clone().call(shared.clone(), running.clone()),
    };
    let returned = tokio::select! {
        biased; // One that is dropped must not be asked once more what it makes of that: what it says would count.
        () = running.abandon.cancelled() => None,
        result = catch_panics(work) => Some(result),
        () = overstayed(shared, running) => None,
    };
    let finished = match returned {
        Some(Ok(Ok(value))) => Some(Outcome::Done(value)),
        Some(Ok(Err(error))) => Some(Outcome::Failed(error)),
        Some(Err(message)) => Some(Outcome::Panicked(message)),
        None => None,
    };
    match (running.cause(), finished) {
        // A handler that got done while the worker was closing is done.
        (None | Some(CancelCause::Closing), Some(finished)) => finished,
        (Some(cause), _) => Outcome::Stopped(cause),
        (None, None) => Outcome::Stopped(CancelCause::Closing),
    }
}

/// Waits until the handler was told to stop, because of its time limit or anything else, and did not within the grace.
async fn overstayed(shared: &Shared, running: &Running) {
    match running.options.timeout {
        None => running.cancel.cancelled().await,
        Some(limit) => {
            if shared.clock.timeout(limit, running.cancel.cancelled()).await.is_none() {
                running.stop(CancelCause::TimedOut(limit));
            }
        }
    }
    // A handler in a process of its own is ended there first.
    let kill_time = shared.pool.as_ref().map_or(Duration::ZERO, |pool| pool.kill_time());
    shared.clock.sleep(shared.settings.cancel_grace + kill_time).await;
    tracing::warn!("the handler did not stop when it was told to, and is dropped");
}

/// Keeps the queue from giving anything for so long; if that fails, the job at least is not run before.
async fn limit_queue(shared: &Shared, decision: &mut Decision, now: Timestamp, pause: Duration) {
    let until = now + pause;
    let request = LimitRequest { limit: Limit::Until(Some(until)), now: shared.clock.now() };
    let trace = shared.trace("rateLimit", SpanKind::Internal, SpanParent::Current);
    trace.set(attribute::WORKER_RATE_LIMIT, || millis(pause).into());
    match trace.call(shared.store.limit(&shared.queue, request), |_, ()| {}).await {
        Ok(()) => shared.answered("limit"),
        Err(error) => {
            shared.trouble("limit", &error);
            decision.ending = Ending::Postponed { at: until };
        }
    }
}

/// Awaits a future whose panics become values.
pub(crate) async fn catch_panics<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(message_of(&*panic))),
    })
    .await
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

/// The longest a call that is no part of work may keep a closing worker waiting.
pub(crate) const LAST_CALL: Duration = Duration::from_secs(1);
