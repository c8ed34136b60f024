//! Cancel, promote, retry, reschedule, remove, pause, resume, limit, drain, clean, obliterate, sweep.

use super::schedule::needed_by_its_schedule;
use super::work::worker_of;
use super::{End, Entry, Model, Queue, wrong_state};
use crate::address::{JobId, QueueAddress};
use crate::clock::{Timestamp, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventKind};
use crate::options::Retention;
use crate::state::JobState;
use crate::store::{
    CancelAnswer, CancelRequest, Change, CleanRequest, DrainRequest, LimitRequest, ObliterateRequest,
    PromoteRequest, RemoveAnswer, RemoveRequest, RescheduleRequest, RetryRequest, Step, SweepRequest,
};

impl Model {
    /// [`Store::cancel`](crate::Store::cancel).
    pub fn cancel(&mut self, queue: &QueueAddress, request: CancelRequest) -> Result<CancelAnswer> {
        let queue = self.queue_mut(queue);
        let CancelRequest { job: id, reason, now } = request;
        let entry = queue.jobs.get(&id);
        let state = entry.map_or(JobState::Waiting, |entry| entry.state);
        if state.is_final() {
            return Ok(CancelAnswer::Finished(state));
        }
        if state == JobState::Active {
            let token = entry.and_then(|entry| entry.lease.as_ref()).map(|lease| lease.token.clone());
            let worker = token.as_ref().and_then(|token| worker_of(token.as_str()));
            let known = worker.and_then(|id| queue.workers.get(id)).filter(|(_, until)| *until > now);
            let answer = known.map(|(info, _)| info.name.clone().unwrap_or_else(|| info.id.clone()));
            let entry = queue.entry("cancel", &id)?;
            return Ok(match answer {
                Some(worker) => {
                    // The first request stands: its reason may be known to the worker already.
                    entry.cancel.get_or_insert(reason);
                    CancelAnswer::Requested { worker }
                }
                None => CancelAnswer::Unreachable { worker: entry.job.processed_by.clone() },
            });
        }
        if queue.is_current(&id) {
            return Err(needed_by_its_schedule("cancel", &id));
        }
        let reason = format!("cancelled: {reason}");
        queue.entry("cancel", &id)?.job.failed_reason = Some(reason.clone());
        queue.leave(&id);
        queue.end(&id, JobState::Failed, Retention::ALL, now);
        queue.emit_of(&id, EventKind::Failed { reason, prev: state.as_str().into() }, now);
        Ok(CancelAnswer::Cancelled)
    }

    /// [`Store::promote`](crate::Store::promote).
    pub fn promote(&mut self, queue: &QueueAddress, request: PromoteRequest) -> Result<Step> {
        let queue = self.queue_mut(queue);
        match request {
            PromoteRequest::One { job: id, now } => {
                let state = queue.entry("promote", &id)?.state;
                if state != JobState::Delayed {
                    return Err(wrong_state("promote", &id, state));
                }
                queue.promote_one(&id, now);
                Ok(Step { count: 1, ..Step::default() })
            }
            PromoteRequest::All { limit, now } => {
                let all = queue.first(JobState::Delayed, usize::MAX);
                Ok(step(&all, limit, |id| queue.promote_one(id, now)))
            }
        }
    }

    /// [`Store::retry`](crate::Store::retry).
    pub fn retry(&mut self, queue: &QueueAddress, request: RetryRequest) -> Result<Step> {
        let queue = self.queue_mut(queue);
        match request {
            RetryRequest::One { job: id, state, reset_attempts_made, reset_attempts_started, now } => {
                let entry = queue.entry("retry", &id)?;
                if entry.state != state {
                    return Err(wrong_state("retry", &id, entry.state));
                }
                if reset_attempts_made {
                    entry.job.attempts_made = 0;
                }
                if reset_attempts_started {
                    entry.job.attempts_started = 0;
                }
                queue.run_again(&id, now);
                Ok(Step { count: 1, ..Step::default() })
            }
            RetryRequest::Many { state, finished_until, limit, now } => {
                let finished = queue.first(state, usize::MAX).into_iter();
                let chosen: Vec<JobId> = finished
                    .filter(|id| queue.jobs[id].job.finished_on.is_some_and(|at| at <= finished_until))
                    .collect();
                Ok(step(&chosen, limit, |id| queue.run_again(id, now)))
            }
        }
    }

    /// [`Store::reschedule`](crate::Store::reschedule).
    pub fn reschedule(&mut self, queue: &QueueAddress, request: RescheduleRequest) -> Result<()> {
        let queue = self.queue_mut(queue);
        let RescheduleRequest { job: id, change, now } = request;
        let entry = queue.entry("reschedule", &id)?;
        let state = entry.state;
        match change {
            Change::Delay(_) if state != JobState::Delayed => {
                return Err(wrong_state("reschedule", &id, state));
            }
            Change::Delay(delay) => {
                queue.leave(&id);
                queue.enter_delayed(&id, now + delay, millis(delay), now);
            }
            Change::Priority { priority, lifo } => {
                entry.job.priority = priority;
                if matches!(state, JobState::Waiting | JobState::Prioritized) {
                    queue.leave(&id);
                    queue.enter_waiting(&id, if lifo { End::Front } else { End::Back });
                }
            }
        }
        Ok(())
    }

    /// [`Store::remove`](crate::Store::remove).
    pub fn remove(&mut self, queue: &QueueAddress, request: &RemoveRequest) -> Result<RemoveAnswer> {
        let queue = self.queue_mut(queue);
        let id = &request.job;
        let Some(entry) = queue.jobs.get(id) else { return Ok(RemoveAnswer::NotFound) };
        if entry.is_held(request.now) {
            return Ok(RemoveAnswer::Locked);
        }
        let prev = match entry.state {
            JobState::Waiting => "wait",
            other => other.as_str(),
        };
        if queue.is_current(id) {
            return Err(needed_by_its_schedule("remove", id));
        }
        queue.delete(id);
        queue.emit_of(id, EventKind::Removed { prev: prev.into() }, request.now);
        Ok(RemoveAnswer::Removed)
    }

    /// [`Store::pause`](crate::Store::pause).
    pub fn pause(&mut self, queue: &QueueAddress, now: Timestamp) {
        let queue = self.queue_mut(queue);
        queue.paused = true;
        queue.emit(Event::queue(EventKind::Paused), now);
    }

    /// [`Store::resume`](crate::Store::resume).
    pub fn resume(&mut self, queue: &QueueAddress, now: Timestamp) {
        let queue = self.queue_mut(queue);
        queue.paused = false;
        queue.emit(Event::queue(EventKind::Resumed), now);
    }

    /// [`Store::limit`](crate::Store::limit).
    pub fn limit(&mut self, queue: &QueueAddress, request: LimitRequest) {
        self.queue_mut(queue).limited_until = request.until;
    }

    /// [`Store::drain`](crate::Store::drain).
    pub fn drain(&mut self, queue: &QueueAddress, request: DrainRequest) -> Step {
        let queue = self.queue_mut(queue);
        let mut states = vec![JobState::Waiting, JobState::Prioritized];
        states.extend(request.delayed.then_some(JobState::Delayed));
        let all = states.into_iter().flat_map(|state| queue.first(state, usize::MAX));
        let all: Vec<JobId> = all.filter(|id| !queue.is_current(id)).collect();
        step(&all, request.limit, |id| queue.delete(id))
    }

    /// [`Store::clean`](crate::Store::clean).
    pub fn clean(&mut self, queue: &QueueAddress, request: CleanRequest) -> Step {
        let queue = self.queue_mut(queue);
        let CleanRequest { state, older_than, limit, now } = request;
        let all = queue.first(state, usize::MAX).into_iter();
        let old: Vec<JobId> = all
            .filter(|id| {
                let entry = &queue.jobs[id];
                age_of(entry) <= older_than && !entry.is_held(now) && !queue.is_current(id)
            })
            .collect();
        let ids: Vec<JobId> = old.iter().take(limit).cloned().collect();
        let step = Step { ids, ..step(&old, limit, |id| queue.delete(id)) };
        queue.emit(Event::queue(EventKind::Cleaned { count: step.count }), now);
        step
    }

    /// [`Store::obliterate`](crate::Store::obliterate).
    pub fn obliterate(&mut self, address: &QueueAddress, request: ObliterateRequest) -> Result<Step> {
        let queue = self.queue_mut(address);
        if !queue.paused {
            queue.paused = true;
            queue.emit(Event::queue(EventKind::Paused), request.now);
        }
        if !request.force && queue.len(JobState::Active) > 0 {
            return Err(Error::new(ErrorKind::Refused, "obliterate", "jobs are active"));
        }
        let all: Vec<JobId> = queue.jobs.keys().cloned().collect();
        let step = step(&all, request.limit, |id| queue.delete(id));
        if !step.more {
            self.queues.remove(address);
        }
        Ok(step)
    }

    /// [`Store::sweep`](crate::Store::sweep).
    pub fn sweep(&mut self, queue: &QueueAddress, request: SweepRequest) -> Step {
        let queue = self.queue_mut(queue);
        let finished = [JobState::Completed, JobState::Failed].into_iter();
        let over: Vec<JobId> = finished
            .flat_map(|state| queue.first(state, usize::MAX))
            .filter(|id| queue.jobs[id].keep_until.is_some_and(|until| until < request.now))
            .collect();
        step(&over, request.limit, |id| queue.delete(id))
    }
}

/// Does `act` for the first `limit` of `ids`.
fn step(ids: &[JobId], limit: usize, mut act: impl FnMut(&JobId)) -> Step {
    let count = ids.len().min(limit);
    ids[..count].iter().for_each(&mut act);
    Step { count: count as u64, ids: Vec::new(), more: count < ids.len() }
}

/// The time by which a job is old or not.
fn age_of(entry: &Entry) -> Timestamp {
    let job = &entry.job;
    match entry.state {
        JobState::Waiting | JobState::Prioritized => job.timestamp,
        _ => job.finished_on.or(job.processed_on).unwrap_or(job.timestamp),
    }
}

impl Queue {
    fn run_again(&mut self, id: &JobId, now: Timestamp) {
        self.leave(id);
        let entry = self.jobs.get_mut(id).expect("the job is there");
        let state = entry.state;
        entry.job.finished_on = None;
        entry.job.processed_on = None;
        if state == JobState::Completed {
            entry.job.return_value = None;
        } else {
            entry.job.failed_reason = None;
        }
        let end = if entry.lifo && entry.job.priority == 0 { End::Front } else { End::Back };
        self.enter_waiting(id, end);
        self.emit_waiting(id, state, now);
    }
}
