//! The one task that talks to the store for work.
//!
//! It sends when fewer than [`DEPTH`] calls are under way and something is finished or a slot is free; the call
//! carries every finish and the whole free demand. There is no timer and no linger: batches grow with the load by
//! themselves, and at low load a finish leaves at once, and a new job begins after one round trip.
//!
//! A slot is one of: free; reserved by a call that may fill it; running a handler; pending, with an ending that is
//! not acknowledged. So endings are bounded by the concurrency, also when the store is away for hours.
//!
//! When the store has nothing to give, the *gate* closes: then a take is sent only along with endings, until
//! [`Store::wait`](crate::Store::wait) says look, a delayed job is due, or the poll interval is over.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::DropGuard;

use super::duties::Duties;
use super::events::WorkerEvent;
use super::finish::{Decision, Outcome, ending_for};
use super::resolve::{Call, CallDone, call};
use super::run::{CatchUnwind, Ended, LAST_CALL, Running, run};
use super::shared::{Control, Shared, Stage};
use super::shutdown::Phase;
use crate::address::Token;
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result};
use crate::job::LeasedJob;
use crate::outcome::Ending;
use crate::store::{Idle, TakeRequest, Taken, WaitRequest, Woken};

/// How many calls are under way at most. With one, all slots march in step; more than two gain little.
pub const DEPTH: usize = 2;
/// The most endings in one call.
pub const ENDINGS_PER_CALL_MAX: usize = 50;
/// The most jobs that one call asks for.
pub const TAKES_PER_CALL_MAX: usize = 50;

/// How soon to look again at a queue where as many jobs are active as it allows: nobody tells when one ends.
const FULL_POLL: Duration = Duration::from_secs(1);

/// An ending that is not acknowledged.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) running: Arc<Running>,
    pub(super) decision: Decision,
    /// A call that carried it ended without a clear answer: it may be written already.
    pub(super) doubtful: bool,
}

/// Whether it is worth asking for jobs.
#[derive(Debug, Clone, Copy)]
enum Gate {
    Open,
    /// The store gave less than was asked for, and nothing has changed since, as far as is known.
    Closed {
        until: Option<Timestamp>,
    },
}

type Wait = Pin<Box<dyn Future<Output = Result<Woken>> + Send>>;

pub(crate) struct Exchange {
    pub(super) shared: Arc<Shared>,
    control: watch::Receiver<Control>,
    pub(super) jobs: JoinSet<Ended>,
    pub(super) calls: JoinSet<CallDone>,
    pub(super) pending: VecDeque<Pending>,
    /// Slots that calls under way may fill.
    reserved: usize,
    takes: u64,
    gate: Gate,
    wait: Option<Wait>,
    /// Waiting is of no use until the gate opens by its time.
    wait_off: bool,
    last_due: Option<Timestamp>,
    /// Counts what opened the gate, so that an answer from before does not close it.
    looks: u64,
    /// Calls that failed in a row.
    failures: u32,
    pub(super) retry_at: Option<Timestamp>,
    /// Endings go one by one, because the store choked on one of several.
    solo: bool,
    ready: bool,
    drained: bool,
    pub(super) phase: Phase,
    _closed: DropGuard,
}

/// What the exchange waited for.
enum Step {
    Job(Option<Result<Ended, JoinError>>),
    Call(Option<Result<CallDone, JoinError>>),
    Woken(Result<Woken>),
    /// The controls were moved, or some time has come.
    Look,
}

impl Exchange {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            control: shared.control.subscribe(),
            _closed: shared.closed.clone().drop_guard(),
            shared,
            jobs: JoinSet::new(),
            calls: JoinSet::new(),
            pending: VecDeque::new(),
            reserved: 0,
            takes: 0,
            gate: Gate::Open,
            wait: None,
            wait_off: false,
            last_due: None,
            looks: 0,
            failures: 0,
            retry_at: None,
            solo: false,
            ready: false,
            drained: false,
            phase: Phase::Working,
        }
    }

    /// Works until the worker has ended.
    pub(super) async fn run(mut self, duties: Duties) {
        let mut yielded = false;
        loop {
            self.reap();
            let control = *self.control.borrow_and_update();
            if self.advance_phase(control.stage) {
                break;
            }
            self.open_gate_in_time();
            if let Some(call) = self.compose(control, yielded) {
                self.send(call);
                yielded = false;
            } else if !yielded && self.has_something_to_send(control) {
                // Let handlers that are about to end get into this call.
                tokio::task::yield_now().await;
                yielded = true;
            } else {
                yielded = false;
                self.pause(control).await;
            }
        }
        self.jobs.abort_all();
        self.calls.abort_all();
        let leftover = self.shared.running().len();
        if leftover > 0 {
            tracing::warn!(
                queue = %self.shared.queue, jobs = leftover,
                "closed with jobs that could not be handed back; they run again when their leases have run out"
            );
        }
        self.shared.stop_with_goodbye();
        let _ = self.shared.clock.timeout(LAST_CALL * 2, duties).await;
        self.shared.listeners.tell(|| WorkerEvent::Closed);
    }

    /// Takes in everything that has ended by now.
    fn reap(&mut self) {
        while let Some(ended) = self.jobs.try_join_next() {
            self.job_ended(ended);
        }
        while let Some(done) = self.calls.try_join_next() {
            self.call_ended(done);
        }
    }

    // ---------------------------------------------------------------- sending

    fn works(&self, control: Control) -> bool {
        matches!(self.phase, Phase::Working) && !control.paused
    }

    /// How many jobs to ask for in a call that carries so many endings.
    fn demand(&self, control: Control, endings: usize) -> usize {
        if !self.works(control) || self.solo {
            return 0;
        }
        let taken = self.jobs.len() + self.pending.len() - endings + self.reserved;
        control.concurrency.saturating_sub(taken).min(TAKES_PER_CALL_MAX)
    }

    fn endings(&self) -> usize {
        self.pending.len().min(if self.solo { 1 } else { ENDINGS_PER_CALL_MAX })
    }

    fn has_something_to_send(&self, control: Control) -> bool {
        let open = matches!(self.gate, Gate::Open);
        self.calls.len() < DEPTH
            && self.retry_at.is_none()
            && (!self.pending.is_empty() || (open && self.demand(control, 0) > 0))
    }

    /// The next call, if there is one to be made now.
    fn compose(&mut self, control: Control, yielded: bool) -> Option<Call> {
        if !yielded || !self.has_something_to_send(control) {
            return None;
        }
        let endings_count = self.endings();
        let limit = self.demand(control, endings_count);
        let mut endings = Vec::with_capacity(endings_count);
        for pending in self.pending.drain(..endings_count).collect::<Vec<_>>() {
            if pending.running.is_lost() && !pending.doubtful {
                self.refused(&pending.running, None);
            } else {
                pending.running.mark_sent();
                endings.push(pending);
            }
        }
        let take = (limit > 0).then(|| {
            let settings = &self.shared.settings;
            self.takes += 1;
            TakeRequest {
                limit,
                token: Token::new(format!("{}:{}", self.shared.id, self.takes)),
                lease_for: settings.lease,
                worker: settings.name.clone(),
                rate_limit: settings.rate_limit,
                now: self.shared.clock.now(),
            }
        });
        let reserve = limit.max(endings.len());
        (take.is_some() || !endings.is_empty()).then_some(Call { endings, take, reserve, looks: self.looks })
    }

    fn send(&mut self, next: Call) {
        self.reserved += next.reserve;
        self.calls.spawn(call(self.shared.clone(), next));
    }

    // ---------------------------------------------------------------- waiting

    /// Waits until something happens.
    async fn pause(&mut self, control: Control) {
        let busy = self.jobs.len() + self.pending.len() >= control.concurrency;
        let wants = self.works(control) && !busy && self.retry_at.is_none();
        if !wants {
            // A wake-up that comes to a worker without a slot would be lost to the others; so look when there is one.
            if self.wait.take().is_some() {
                self.open_gate();
            }
        } else if matches!(self.gate, Gate::Closed { .. }) && self.wait.is_none() && !self.wait_off {
            self.wait = Some(self.new_wait());
        }
        let gate_until = match self.gate {
            Gate::Closed { until } if wants => until,
            _ => None,
        };
        let wake_at = [gate_until, self.retry_at, self.phase.wake_at()].into_iter().flatten().min();
        let Self { jobs, calls, control, wait, shared, .. } = self;
        let step = tokio::select! {
            Some(ended) = jobs.join_next(), if !jobs.is_empty() => Step::Job(Some(ended)),
            Some(done) = calls.join_next(), if !calls.is_empty() => Step::Call(Some(done)),
            _ = control.changed() => Step::Look,
            woken = poll_wait(wait) => Step::Woken(woken),
            () = sleep_until(shared, wake_at) => Step::Look,
        };
        match step {
            Step::Job(ended) => ended.into_iter().for_each(|ended| self.job_ended(ended)),
            Step::Call(done) => done.into_iter().for_each(|done| self.call_ended(done)),
            Step::Woken(woken) => self.woken(woken),
            Step::Look => {}
        }
    }

    fn new_wait(&self) -> Wait {
        let shared = self.shared.clone();
        Box::pin(async move {
            let settings = &shared.settings;
            let request = WaitRequest { worker: settings.name.clone(), timeout: settings.poll };
            shared.store.wait(&shared.queue, request).await
        })
    }

    fn woken(&mut self, woken: Result<Woken>) {
        self.wait = None;
        let now = self.shared.clock.now();
        match woken {
            Ok(Woken::Due(due)) if due > now => {
                // The same hint twice: this store answers without waiting, so wait here.
                self.wait_off = self.last_due == Some(due);
                self.last_due = Some(due);
                let poll = now + self.shared.settings.poll;
                self.gate = Gate::Closed { until: Some(if self.wait_off { due.min(poll) } else { due }) };
            }
            Ok(_) => {
                self.shared.answered("wait");
                self.open_gate();
            }
            Err(error) => {
                self.shared.trouble("wait", &error);
                self.wait_off = true;
                self.failures += 1;
                self.gate = Gate::Closed { until: Some(now + self.shared.retry_delay(self.failures)) };
            }
        }
    }

    fn open_gate(&mut self) {
        self.gate = Gate::Open;
        self.wait_off = false;
        self.looks += 1;
    }

    fn open_gate_in_time(&mut self) {
        let now = self.shared.clock.now();
        if matches!(self.gate, Gate::Closed { until: Some(until) } if until <= now) {
            self.open_gate();
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
    }

    // ---------------------------------------------------------------- what came of it

    fn begin(&mut self, leased: LeasedJob) {
        let running = Arc::new(Running::new(leased));
        self.shared.begin(&running);
        if !matches!(self.phase, Phase::Working) {
            // It was on its way when the worker was closed.
            let decision = Decision { ending: Ending::Returned, heeds_cancel: false };
            self.pending.push_back(Pending { running, decision, doubtful: false });
            return;
        }
        let shared = self.shared.clone();
        self.jobs.spawn(async move {
            match CatchUnwind(Box::pin(run(shared.clone(), running.clone()))).await {
                Ok(ended) => ended,
                // The handler's panics were caught before; this is one of dropping what it left behind.
                Err(message) => {
                    let outcome = Outcome::Panicked(message);
                    let now = shared.clock.now();
                    let decision =
                        ending_for(&running.job, &running.options, outcome, &shared.policy, now, 0.0);
                    Ended { running, decision: Some(decision) }
                }
            }
        });
    }

    pub(super) fn job_ended(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok(Ended { running, decision: Some(decision) }) => {
                self.pending.push_back(Pending { running, decision, doubtful: false });
            }
            Ok(Ended { running, decision: None }) => self.refused(&running, None),
            // Aborted at shutdown, which has handed the job back.
            Err(error) => tracing::debug!(%error, "a job's task ended early"),
        }
    }

    fn call_ended(&mut self, done: Result<CallDone, JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // Only a store that panics brings this about. What the call carried is not known any more.
                tracing::error!(%error, "a call to the store broke");
                self.reserved = 0;
                return;
            }
        };
        self.reserved -= done.reserve.min(self.reserved);
        match done.result {
            Ok((answers, taken)) => {
                self.failures = 0;
                self.retry_at = None;
                self.shared.answered("exchange");
                if !std::mem::replace(&mut self.ready, true) {
                    self.shared.listeners.tell(|| WorkerEvent::Ready);
                }
                for (pending, answer) in done.endings.into_iter().zip(answers) {
                    self.answered(pending, answer);
                }
                if let Some(taken) = taken {
                    self.taken(taken, done.looks);
                }
                self.solo &= !self.pending.is_empty();
            }
            Err(error) => {
                self.shared.trouble("exchange", &error);
                self.failures += 1;
                self.retry_at = Some(self.shared.clock.now() + self.shared.retry_delay(self.failures));
                let poison =
                    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Internal | ErrorKind::Unsupported);
                if poison && done.endings.len() == 1 && !done.took {
                    self.refused(&done.endings[0].running, Some(error));
                } else {
                    self.solo |= poison && !done.endings.is_empty();
                    let doubtful = error.kind() == ErrorKind::Ambiguous;
                    for mut pending in done.endings.into_iter().rev() {
                        pending.doubtful |= doubtful;
                        self.pending.push_front(pending);
                    }
                }
                self.open_gate();
            }
        }
        for leased in done.adopted {
            tracing::warn!(queue = %self.shared.queue, job = %leased.job.id, "adopted a job of a take without an answer");
            self.begin(leased);
        }
    }

    fn taken(&mut self, taken: Taken, looks: u64) {
        let none = taken.jobs.is_empty();
        self.drained &= none;
        self.last_due = None;
        for leased in taken.jobs {
            self.begin(leased);
        }
        let now = self.shared.clock.now();
        let until = match taken.idle {
            // Less than was asked for, without a reason, is for the store to explain; do not hammer it.
            None if none => Some(now + FULL_POLL),
            None => return,
            Some(Idle::Empty { next_due }) => {
                if none && !std::mem::replace(&mut self.drained, true) {
                    self.shared.listeners.tell(|| WorkerEvent::Drained);
                }
                next_due
            }
            Some(Idle::Paused) => None,
            Some(Idle::RateLimited { until }) => Some(until),
            Some(Idle::Full) => Some(now + FULL_POLL),
        };
        // What opened the gate while the call was under way may have come after the store looked.
        if looks == self.looks {
            self.gate = Gate::Closed { until };
        }
    }

    fn answered(&mut self, mut pending: Pending, answer: Result<Option<crate::JobState>>) {
        match answer {
            Ok(_) => {
                self.shared.end(&pending.running.lease);
                self.report(&pending);
            }
            Err(error) if error.kind() == ErrorKind::CancelRequested => {
                let cause = super::CancelCause::Requested(error.message().to_owned());
                let running = &pending.running;
                let (outcome, now) = (Outcome::Stopped(cause), self.shared.clock.now());
                pending.decision =
                    ending_for(&running.job, &running.options, outcome, &self.shared.policy, now, 0.0);
                self.pending.push_front(pending);
            }
            Err(error) if error.kind().is_transient() => {
                self.shared.trouble("finish", &error);
                self.failures += 1;
                self.retry_at = Some(self.shared.clock.now() + self.shared.retry_delay(self.failures));
                pending.doubtful |= error.kind() == ErrorKind::Ambiguous;
                self.pending.push_front(pending);
            }
            Err(error) => self.refused(&pending.running, Some(error)),
        }
    }

    /// The ending cannot be written, ever: the job is somebody else's, or gone.
    fn refused(&mut self, running: &Running, error: Option<crate::Error>) {
        self.shared.end(&running.lease);
        self.shared.counters.late_results_refused.add_one();
        let why = error.as_ref().map_or_else(|| "the lease was lost".to_owned(), ToString::to_string);
        tracing::warn!(queue = %self.shared.queue, job = %running.job.id, why, "a late result was refused");
        self.shared.listeners.tell(|| WorkerEvent::LateResultRefused { job: running.job.clone(), error });
    }

    /// Counts, logs and tells an ending that is written.
    fn report(&self, pending: &Pending) {
        let (counters, queue, job) = (&self.shared.counters, &self.shared.queue, &pending.running.job);
        let attempt = job.attempts_made + 1;
        match &pending.decision.ending {
            Ending::Completed { return_value, .. } => {
                counters.completed.add_one();
                self.shared
                    .listeners
                    .tell(|| WorkerEvent::Completed { job: job.clone(), result: return_value.clone() });
            }
            Ending::Failed { failure, .. } => {
                counters.failed.add_one();
                tracing::error!(%queue, job = %job.id, name = %job.name, attempt, reason = %failure.reason, "a job failed");
                let error = || failure.reason.clone();
                self.shared.listeners.tell(|| WorkerEvent::Failed {
                    job: job.clone(),
                    error: error(),
                    will_retry: false,
                });
            }
            Ending::Retry { failure, .. } => {
                counters.retried.add_one();
                tracing::warn!(%queue, job = %job.id, name = %job.name, attempt, reason = %failure.reason, "a try failed; there will be another");
                let error = || failure.reason.clone();
                self.shared.listeners.tell(|| WorkerEvent::Failed {
                    job: job.clone(),
                    error: error(),
                    will_retry: true,
                });
            }
            Ending::Postponed { .. } | Ending::Returned => {
                counters.returned.add_one();
                self.shared.listeners.tell(|| WorkerEvent::Returned { job: job.clone() });
            }
        }
    }

    /// Whether nothing is left to be done or written.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.calls.is_empty() && self.jobs.is_empty()
    }

    pub(super) fn stage_changed(&self, stage: Stage) -> bool {
        stage != Stage::Working && matches!(self.phase, Phase::Working)
    }
}

async fn poll_wait(wait: &mut Option<Wait>) -> Result<Woken> {
    match wait {
        Some(wait) => wait.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(shared: &Shared, time: Option<Timestamp>) {
    match time {
        Some(time) => shared.clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}
