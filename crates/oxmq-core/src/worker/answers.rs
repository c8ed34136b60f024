//! The exchange's other half: what to do with jobs that were given, handlers that ended, and answers of the store.

use std::sync::Arc;

use tokio::task::JoinError;

use super::context::CancelCause;
use super::errors::HandlerError;
use super::events::WorkerEvent;
use super::exchange::{Exchange, Pending, TAKEN_BYTES_PER_CALL, TAKES_PER_CALL_MAX};
use super::finish::{Decision, Outcome, ending_for};
use super::resolve::{CallDone, keep};
use super::run::{Ended, Running, catch_panics, run};
use super::shutdown::Phase;
use crate::error::{Error, ErrorKind, Result};
use crate::job::LeasedJob;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{Idle, Taken};

impl Exchange {
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
        self.began += 1;
        self.jobs.spawn(async move {
            // Boxed: a task is moved more than once until it is one.
            match catch_panics(Box::pin(run(shared.clone(), running.clone()))).await {
                Ok(ended) => ended,
                // The handler's panics were caught before; this is one of dropping what it left behind.
                Err(message) => {
                    let outcome = Outcome::Panicked(message);
                    let now = shared.clock.now();
                    let decision =
                        ending_for(&running.job, &running.options, outcome, &shared.policy, now, 0.0);
                    Ended { running, decision }
                }
            }
        });
    }

    pub(super) fn job_ended(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok(Ended { running, decision }) => {
                self.pending.push_back(Pending { running, decision, doubtful: false });
            }
            // Aborted at shutdown, which has handed the job back.
            Err(error) => tracing::debug!(%error, "a job's task ended early"),
        }
    }

    pub(super) fn call_ended(&mut self, done: Result<CallDone, JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // The runtime is shutting down: panics of the store were caught.
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
                if let Some(keeping) = done.keeping {
                    self.keeping.spawn(keep(self.shared.clone(), keeping));
                }
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
                self.gate.open();
            }
        }
        self.adopt(done.adopted);
    }

    /// Runs jobs that were taken although the answer got lost.
    pub(super) fn adopt(&mut self, jobs: Vec<LeasedJob>) {
        for leased in jobs {
            tracing::warn!(queue = %self.shared.queue, job = %leased.job.id, "adopted a job of a take without an answer");
            self.begin(leased);
        }
    }

    fn taken(&mut self, taken: Taken, looks: u64) {
        let none = taken.jobs.is_empty();
        self.drained &= none;
        if !none {
            self.gate.gave();
            self.measure(&taken.jobs);
        }
        let empty = matches!(taken.idle, Some(Idle::Empty { .. }));
        if !empty {
            self.shared.progressed();
        }
        if none && empty && !std::mem::replace(&mut self.drained, true) {
            self.shared.listeners.tell(|| WorkerEvent::Drained);
        }
        // Nothing without a reason is for the store to explain; it is not to be asked again at once either.
        if none || taken.idle.is_some() {
            self.gate.idle(taken.idle, looks);
        }
        for leased in taken.jobs {
            self.begin(leased);
        }
    }

    /// Takes the size of these jobs for that of the next ones. What was seen before counts half as much with each answer: one
    /// without large jobs does not mean that there are none behind it.
    fn measure(&mut self, jobs: &[LeasedJob]) {
        let all: usize = jobs.iter().map(|leased| leased.job.data.as_str().len()).sum();
        self.job_bytes = (all / jobs.len()).max(self.job_bytes / 2);
        self.takes_max = (TAKEN_BYTES_PER_CALL / self.job_bytes.max(1)).clamp(1, TAKES_PER_CALL_MAX);
    }

    fn answered(&mut self, mut pending: Pending, answer: Result<Option<JobState>>) {
        match answer {
            Ok(state) => {
                self.shared.end(&pending.running.lease);
                self.report(&pending, state);
            }
            Err(error) if error.kind() == ErrorKind::CancelRequested => {
                let cause = CancelCause::Requested(error.message().to_owned());
                self.decide_anew(pending, Outcome::Stopped(cause));
            }
            // The handler is done, but the job cannot be yet: as BullMQ has it, this try has failed.
            Err(error) if error.kind() == ErrorKind::PendingChildren => {
                self.decide_anew(pending, Outcome::Failed(HandlerError::fail(error.message())));
            }
            // Nor will it ever be, however often it is tried.
            Err(error) if error.kind() == ErrorKind::FailedChildren => {
                self.decide_anew(pending, Outcome::Failed(HandlerError::give_up(error.message())));
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

    /// The ending was refused for a reason that asks for another one.
    fn decide_anew(&mut self, mut pending: Pending, outcome: Outcome) {
        let (running, shared) = (&pending.running, &self.shared);
        let (now, chance) = (shared.clock.now(), fastrand::f64());
        pending.decision = ending_for(&running.job, &running.options, outcome, &shared.policy, now, chance);
        self.pending.push_front(pending);
    }

    /// The ending cannot be written, ever: the job is somebody else's, or gone.
    pub(super) fn refused(&mut self, running: &Running, error: Option<Error>) {
        self.shared.end(&running.lease);
        self.shared.counters.late_results_refused.add_one();
        let why = error.as_ref().map_or_else(|| "the lease was lost".to_owned(), ToString::to_string);
        running.trace.refused(&why);
        tracing::warn!(queue = %self.shared.queue, job = %running.job.id, why, "a late result was refused");
        self.shared.listeners.tell(|| WorkerEvent::LateResultRefused { job: running.job.clone(), error });
    }

    /// Counts, logs and tells an ending that is written.
    fn report(&self, pending: &Pending, state: Option<JobState>) {
        let (counters, queue, job) = (&self.shared.counters, &self.shared.queue, &pending.running.job);
        let attempt = job.attempts_made + 1;
        pending.running.trace.stored(&self.shared, pending);
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
            Ending::AwaitChildren { .. } if state == Some(JobState::WaitingChildren) => {
                counters.returned.add_one();
                self.shared.listeners.tell(|| WorkerEvent::AwaitsChildren { job: job.clone() });
            }
            Ending::Postponed { .. } | Ending::Returned | Ending::AwaitChildren { .. } => {
                counters.returned.add_one();
                self.shared.listeners.tell(|| WorkerEvent::Returned { job: job.clone() });
            }
        }
    }
}
