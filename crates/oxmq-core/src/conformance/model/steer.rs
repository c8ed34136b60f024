//! Cancel, promote, retry, reschedule, remove, pause, resume, limit, drain, clean, obliterate, sweep.

use super::family::Removal;
use super::schedule::needed_by_its_schedule;
use super::work::worker_of;
use super::{End, Entry, Model, Queue, wrong_state};
use crate::address::{JobId, JobKey, QueueAddress};
use crate::clock::{Timestamp, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventKind};
use crate::options::Retention;
use crate::state::JobState;
use crate::store::{
    CancelAnswer, CancelRequest, Change, CleanRequest, DrainRequest, Limit, LimitRequest, ObliterateRequest,
    PromoteRequest, RescheduleRequest, RetryRequest, Step, SweepRequest,
};

impl Model {
    /// [`Store::cancel`](crate::Store::cancel).
    pub fn cancel(&mut self, address: &QueueAddress, request: CancelRequest) -> Result<CancelAnswer> {
        let queue = self.queue_mut(address);
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
        let key = JobKey::new(address.clone(), &id);
        queue.end_deduplication(&id, now);
        self.child_failed(&key, &reason, now);
        self.end(&key, JobState::Failed, Retention::ALL, now);
        self.queue_mut(address).emit_of(&id, EventKind::Failed { reason, prev: state.as_str().into() }, now);
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
    pub fn retry(&mut self, address: &QueueAddress, request: RetryRequest) -> Result<Step> {
        let queue = self.queue_mut(address);
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
                self.run_again(address, &id, now);
                Ok(Step { count: 1, ..Step::default() })
            }
            RetryRequest::Many { state, finished_until, limit, now } => {
                let finished = queue.first(state, usize::MAX).into_iter();
                let chosen: Vec<JobId> = finished
                    .filter(|id| queue.jobs[id].job.finished_on.is_some_and(|at| at <= finished_until))
                    .collect();
                Ok(step(&chosen, limit, |id| self.run_again(address, id, now)))
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
        let queue = self.queue_mut(queue);
        match request.limit {
            Limit::Until(until) => {
                queue.limited_until = until;
                queue.window = None;
            }
            Limit::Concurrency(most) => queue.concurrency = most,
            Limit::Rate(rate) => {
                queue.rate_max = rate.map(|rate| rate.max);
                queue.rate_window = rate.map(|rate| rate.window);
            }
        }
    }

    /// [`Store::drain`](crate::Store::drain).
    pub fn drain(&mut self, address: &QueueAddress, request: DrainRequest) -> Step {
        let queue = self.queue_mut(address);
        let mut states = vec![JobState::Waiting, JobState::Prioritized];
        states.extend(request.delayed.then_some(JobState::Delayed));
        let all = states.iter().flat_map(|state| queue.first(*state, usize::MAX));
        let all: Vec<JobId> = all.filter(|id| !queue.is_current(id)).collect();
        let step = step(&all, request.limit, |_| {});
        self.delete(address, first(&all, request.limit), Removal::ByHandAlong, request.now);
        let queue = self.queue_mut(address);
        // A parent may have gone with them, or have come to wait.
        let left = states.iter().flat_map(|state| queue.first(*state, usize::MAX));
        let left = left.filter(|id| !queue.is_current(id)).count();
        Step { more: left > 0, ..step }
    }

    /// [`Store::clean`](crate::Store::clean).
    pub fn clean(&mut self, address: &QueueAddress, request: CleanRequest) -> Step {
        let queue = self.queue_mut(address);
        let CleanRequest { state, older_than, limit, now } = request;
        let all = queue.first(state, usize::MAX).into_iter();
        let old: Vec<JobId> = all
            .filter(|id| {
                let entry = &queue.jobs[id];
                age_of(entry) <= older_than && !entry.is_held(now) && !queue.is_current(id)
            })
            .collect();
        let step = Step { ids: first(&old, limit).to_vec(), ..step(&old, limit, |_| {}) };
        self.delete(address, &step.ids, Removal::ByHandAlong, now);
        self.queue_mut(address).emit(Event::queue(EventKind::Cleaned { count: step.count }), now);
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
        // First those that wait for children: nobody is to see them wait for none.
        let waiting = queue.first(JobState::WaitingChildren, usize::MAX);
        let others = queue.jobs.keys().filter(|id| queue.jobs[*id].state != JobState::WaitingChildren);
        let all: Vec<JobId> = waiting.iter().chain(others).cloned().collect();
        let step = step(&all, request.limit, |_| {});
        self.delete(address, first(&all, request.limit), Removal::ByHand, request.now);
        if !step.more {
            self.queues.remove(address);
        }
        Ok(step)
    }

    /// [`Store::sweep`](crate::Store::sweep).
    pub fn sweep(&mut self, address: &QueueAddress, request: SweepRequest) -> Step {
        let queue = self.queue_mut(address);
        let finished = [JobState::Completed, JobState::Failed].into_iter();
        let over: Vec<JobId> = finished
            .flat_map(|state| queue.first(state, usize::MAX))
            .filter(|id| queue.jobs[id].keep_until.is_some_and(|until| until < request.now))
            .collect();
        self.delete(address, first(&over, request.limit), Removal::Retention, request.now);
        step(&over, request.limit, |_| {})
    }
}

/// Does `act` for the first `limit` of `ids`.
fn step(ids: &[JobId], limit: usize, mut act: impl FnMut(&JobId)) -> Step {
    let count = ids.len().min(limit);
    ids[..count].iter().for_each(&mut act);
    Step { count: count as u64, ids: Vec::new(), more: count < ids.len() }
}

/// The first `limit` of `ids`.
fn first(ids: &[JobId], limit: usize) -> &[JobId] {
    &ids[..ids.len().min(limit)]
}

/// The time by which a job is old or not.
fn age_of(entry: &Entry) -> Timestamp {
    let job = &entry.job;
    match entry.state {
        JobState::Waiting | JobState::Prioritized => job.timestamp,
        _ => job.finished_on.or(job.processed_on).unwrap_or(job.timestamp),
    }
}

impl Model {
    fn run_again(&mut self, address: &QueueAddress, id: &JobId, now: Timestamp) {
        let state = self.queue_mut(address).jobs[id].state;
        self.child_retried(&JobKey::new(address.clone(), id), state, now);
        self.queue_mut(address).run_again(id, now);
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
