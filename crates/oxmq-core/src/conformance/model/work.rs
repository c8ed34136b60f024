//! Take, finish, extend, recover, note, announce.

use super::family::Removal;
use super::{End, Entry, Held, Model, Queue};
use crate::address::{JobId, JobKey, QueueAddress};
use crate::clock::{Timestamp, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventKind};
use crate::job::{Lease, LeasedJob};
use crate::options::Retention;
use crate::outcome::{Ending, Failure};
use crate::state::JobState;
use crate::store::{
    AnnounceRequest, Cancellation, CancellationsRequest, ExtendRequest, Extended, Finish, FinishRequest,
    Finished, GROUP_JOBS_MAX, Idle, Note, NoteRequest, PROMOTE_PER_TAKE_MAX, RecoverRequest, Recovered,
    TakeRequest, Taken,
};

/// How many jobs one finish removes for their age, unless its policy says otherwise.
const EVICT_MAX: usize = 1_000;

impl Model {
    /// [`Store::take`](crate::Store::take).
    pub fn take(&mut self, queue: &QueueAddress, request: &TakeRequest) -> Taken {
        self.queue_mut(queue).take(request)
    }

    /// [`Store::finish`](crate::Store::finish).
    pub fn finish(&mut self, queue: &QueueAddress, request: FinishRequest) -> Finished {
        let FinishRequest { finished, take, metrics, now } = request;
        let mut ended = false;
        let mut answers = Vec::new();
        for finish in finished {
            let state = match finish.ending {
                Ending::Completed { .. } => Some(JobState::Completed),
                Ending::Failed { .. } => Some(JobState::Failed),
                _ => None,
            };
            let answer = self.finish_one(queue, finish, now);
            if answer.is_ok() {
                ended = state.is_some();
                if let Some((state, keep)) = state.zip(metrics) {
                    self.queue_mut(queue).count_ended(state, keep, now);
                }
            }
            answers.push(answer);
        }
        let queue = self.queue_mut(queue);
        let taken = take.map(|request| queue.take(&request));
        let more_may_come = taken.as_ref().is_some_and(|taken| {
            !matches!(taken.idle, None | Some(Idle::Empty { next_due: None })) || !taken.jobs.is_empty()
        });
        if ended && !more_may_come && queue.nothing_waits() && queue.len(JobState::Active) == 0 {
            queue.emit(Event::queue(EventKind::Drained), now);
        }
        Finished { answers, taken }
    }

    /// [`Store::extend`](crate::Store::extend).
    pub fn extend(&mut self, queue: &QueueAddress, request: &ExtendRequest) -> Vec<Extended> {
        let queue = self.queue_mut(queue);
        let until = request.now + request.lease_for;
        request.leases.iter().map(|lease| queue.extend_one(lease, until)).collect()
    }

    /// [`Store::recover`](crate::Store::recover): those that were taken first are brought back first.
    pub fn recover(&mut self, queue: &QueueAddress, request: &RecoverRequest) -> Recovered {
        let queue = self.queue_mut(queue);
        let now = request.now;
        let lost: Vec<JobId> = queue
            .list(JobState::Active)
            .filter(|id| {
                let entry = &queue.jobs[*id];
                match &entry.lease {
                    Some(lease) => lease.until <= now,
                    None => entry.job.processed_on.is_some_and(|at| at + request.interval < now),
                }
            })
            .take(GROUP_JOBS_MAX)
            .cloned()
            .collect();
        for id in &lost {
            queue.leave(id);
            queue.enter(id, JobState::Waiting, End::Front);
            let scheduled = queue.is_of_a_schedule(id);
            let job = &mut queue.jobs.get_mut(id).expect("the job is there").job;
            job.stalled_count += 1;
            if job.stalled_count > request.max_stalled && !scheduled {
                job.deferred_failure = Some("job stalled more than allowable limit".into());
            }
            queue.emit_waiting(id, JobState::Active, now);
            queue.emit_of(id, EventKind::Stalled, now);
        }
        let todo = [JobState::Waiting, JobState::Prioritized, JobState::Delayed, JobState::Active];
        Recovered { empty: todo.iter().all(|state| queue.len(*state) == 0), stalled: lost }
    }

    /// The requests to cancel that a worker has to know of, without waiting for any.
    pub fn cancellations(&self, queue: &QueueAddress, request: &CancellationsRequest) -> Vec<Cancellation> {
        let Some(queue) = self.queue(queue) else { return Vec::new() };
        let asked = queue.list(JobState::Active).filter_map(|id| {
            let entry = &queue.jobs[id];
            let reason = entry.cancel.clone()?;
            let token = entry.lease.as_ref()?.token.clone();
            (worker_of(token.as_str()) == Some(&request.worker_id))
                .then_some(Cancellation { lease: Lease { job: id.clone(), token }, reason })
        });
        asked.filter(|cancellation| !request.known.contains(&cancellation.lease)).collect()
    }

    /// [`Store::note`](crate::Store::note).
    pub fn note(&mut self, queue: &QueueAddress, request: NoteRequest) -> Result<u64> {
        let queue = self.queue_mut(queue);
        let NoteRequest { job: id, note, now } = request;
        let entry = queue.entry("note", &id)?;
        let keep = match note {
            Note::Progress(progress) => {
                entry.job.progress = Some(progress.clone());
                queue.emit_of(&id, EventKind::Progress { data: progress }, now);
                return Ok(0);
            }
            Note::Data(data) => {
                entry.job.data = data;
                return Ok(0);
            }
            Note::Log { line, keep } => {
                entry.log.push_back(line);
                keep
            }
            Note::ClearLogs { keep } => Some(keep.unwrap_or(0)),
        };
        while keep.is_some_and(|keep| entry.log.len() > keep as usize) {
            entry.log.pop_front();
        }
        Ok(entry.log.len() as u64)
    }

    /// [`Store::announce`](crate::Store::announce).
    pub fn announce(&mut self, queue: &QueueAddress, request: AnnounceRequest) {
        let workers = &mut self.queue_mut(queue).workers;
        if request.ttl.is_zero() {
            workers.remove(&request.worker.id);
        } else {
            workers.insert(request.worker.id.clone(), (request.worker, request.now + request.ttl));
        }
    }
}

impl Model {
    fn finish_one(
        &mut self,
        queue: &QueueAddress,
        finish: Finish,
        now: Timestamp,
    ) -> Result<Option<JobState>> {
        self.queue_mut(queue).check_ending(&finish)?;
        let id = finish.lease.job;
        let key = JobKey::new(queue.clone(), &id);
        let prev = || JobState::Active.as_str().into();
        match finish.ending {
            Ending::Completed { return_value, keep } => {
                let own = self.queue_mut(queue);
                own.leave(&id);
                let job = &mut own.jobs.get_mut(&id).expect("the job is there").job;
                job.attempts_made += 1;
                job.return_value = Some(return_value.clone());
                own.end_deduplication(&id, now);
                self.child_completed(&key, &return_value, now);
                self.end(&key, JobState::Completed, keep, now);
                let kind = EventKind::Completed { return_value, prev: prev() };
                self.queue_mut(queue).emit_of(&id, kind, now);
            }
            Ending::Failed { failure, attempts, keep } => {
                let reason = failure.reason.clone();
                let own = self.queue_mut(queue);
                own.leave(&id);
                let attempts_made = own.spend_attempt(&id, failure);
                own.end_deduplication(&id, now);
                self.child_failed(&key, &reason, now);
                self.end(&key, JobState::Failed, keep, now);
                let own = self.queue_mut(queue);
                own.emit_of(&id, EventKind::Failed { reason, prev: prev() }, now);
                if attempts_made >= attempts {
                    own.emit_of(&id, EventKind::RetriesExhausted { attempts_made }, now);
                }
            }
            ending => self.queue_mut(queue).go_on(&id, ending, now),
        }
        Ok(self.entry(&key).map(|entry| entry.state))
    }

    /// Puts a job that is in no list to the finished ones, and applies the retention.
    pub(super) fn end(&mut self, key: &JobKey, state: JobState, keep: Retention, now: Timestamp) {
        let JobKey { queue: address, id } = key;
        let queue = self.queue_mut(address);
        let entry = queue.jobs.get_mut(id).expect("the job is there");
        entry.job.finished_on = Some(now);
        entry.keep_until = keep.age.map(|age| now + age);
        if state == JobState::Failed {
            entry.job.deferred_failure = None;
        }
        queue.enter(id, state, End::Back);
        if keep.count == Some(0) {
            // Only this one: the others were kept by policies of their own.
            self.delete(address, std::slice::from_ref(id), Removal::Retention, now);
            return;
        }
        if let Some(age) = keep.age {
            let limit = keep.limit.map_or(EVICT_MAX, |limit| limit as usize);
            let is_old = |id: &&JobId| queue.jobs[*id].job.finished_on.is_some_and(|at| at + age <= now);
            let old: Vec<JobId> = queue.list(state).rev().filter(is_old).take(limit).cloned().collect();
            self.delete(address, &old, Removal::Retention, now);
        }
        if let Some(count) = keep.count {
            let queue = self.queue_mut(address);
            let over = queue.len(state).saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
            let oldest = queue.first(state, over);
            self.delete(address, &oldest, Removal::Retention, now);
        }
    }
}

/// The worker that a token belongs to: the part before the last `:`.
pub(super) fn worker_of(token: &str) -> Option<&str> {
    token.rsplit_once(':').map(|(worker, _)| worker)
}

impl Queue {
    fn take(&mut self, request: &TakeRequest) -> Taken {
        let now = request.now;
        for id in self.first(JobState::Delayed, PROMOTE_PER_TAKE_MAX) {
            if self.jobs[&id].due > Some(now) {
                break;
            }
            self.promote_one(&id, now);
        }

        let mut taken = Taken::default();
        while taken.jobs.len() < request.limit.min(GROUP_JOBS_MAX) {
            let rate = self.rate_for(request.rate_limit);
            let passes = request.until_needs_rate && rate.is_none();
            if let Some(until) = self.is_limited(rate, now).filter(|_| !passes) {
                taken.idle = Some(Idle::RateLimited { until });
                break;
            }
            if self.paused {
                taken.idle = Some(Idle::Paused);
                break;
            }
            if self.is_full() {
                taken.idle = Some(Idle::Full);
                break;
            }
            let next = self.list(JobState::Waiting).chain(self.list(JobState::Prioritized)).next().cloned();
            let Some(id) = next else {
                taken.idle = Some(Idle::Empty { next_due: self.first_due() });
                break;
            };
            taken.jobs.push(self.take_one(&id, request));
        }
        taken
    }

    fn take_one(&mut self, id: &JobId, request: &TakeRequest) -> LeasedJob {
        let now = request.now;
        self.leave(id);
        self.enter(id, JobState::Active, End::Back);
        let entry = self.jobs.get_mut(id).expect("the job is there");
        if !request.token.is_none() {
            entry.lease = Some(Held { token: request.token.clone(), until: now + request.lease_for });
        }
        entry.job.attempts_started += 1;
        entry.job.processed_on = Some(now);
        if request.worker.is_some() {
            entry.job.processed_by.clone_from(&request.worker);
        }
        let job = entry.job.clone();
        if let Some(limit) = self.rate_for(request.rate_limit).filter(|_| job.deferred_failure.is_none()) {
            match &mut self.window {
                Some((end, count)) if *end > now => *count += 1,
                window => *window = Some((now + limit.window, 1)),
            }
        }
        self.emit_of(id, EventKind::Active { prev: JobState::Waiting.as_str().into() }, now);
        LeasedJob { job, lease: Lease { job: id.clone(), token: request.token.clone() } }
    }

    /// The job that an ending is for, if it may be written.
    fn check_ending(&mut self, finish: &Finish) -> Result<&Entry> {
        let Finish { lease: Lease { job: id, token }, ending, heeds_cancel, .. } = finish;
        let entry = self.entry("finish", id)?;
        let refuse = |kind, why: &str| Err(Error::new(kind, "finish", why).with("job", id.as_str()));
        if !token.is_none() {
            match &entry.lease {
                None => return refuse(ErrorKind::NotLocked, "nobody holds the job"),
                Some(held) if held.token != *token => {
                    return refuse(ErrorKind::LockedByAnother, "somebody else holds the job");
                }
                Some(_) => {}
            }
        }
        if let Some(reason) = entry.cancel.as_ref().filter(|_| !heeds_cancel) {
            return refuse(ErrorKind::CancelRequested, reason);
        }
        let is_completed = matches!(ending, Ending::Completed { .. });
        if is_completed && !entry.children.pending.is_empty() {
            return refuse(
                ErrorKind::PendingChildren,
                &format!("Job {id} has pending dependencies. moveToFinished"),
            );
        }
        let verb = if is_completed { "moveToFinished" } else { "moveToWaitingChildren" };
        let needs_children = is_completed || matches!(ending, Ending::AwaitChildren { .. });
        if needs_children && !entry.children.failed.is_empty() {
            let why = format!("Cannot complete job {id} because it has at least one failed child. {verb}");
            return refuse(ErrorKind::FailedChildren, &why);
        }
        if token.is_none() && entry.state != JobState::Active {
            return Err(super::wrong_state("finish", id, entry.state));
        }
        Ok(&self.jobs[id])
    }

    /// Writes an ending after which the job goes on.
    fn go_on(&mut self, id: &JobId, ending: Ending, now: Timestamp) {
        let entry = &self.jobs[id];
        let awaits = match &ending {
            Ending::AwaitChildren { child: Some(child) } => entry.children.pending.contains(child),
            Ending::AwaitChildren { child: None } => !entry.children.pending.is_empty(),
            _ => false,
        };
        self.leave(id);
        match ending {
            Ending::AwaitChildren { .. } if awaits => {
                self.enter_waiting_children(id, now, Some(JobState::Active), now);
            }
            Ending::Retry { failure, at: None } => {
                self.spend_attempt(id, failure);
                let entry = &self.jobs[id];
                // Lifo is for waiting only, as when it was added.
                let end = if entry.lifo && entry.job.priority == 0 { End::Front } else { End::Back };
                self.enter_waiting(id, end);
                self.emit_waiting(id, JobState::Active, now);
            }
            Ending::Retry { failure, at: Some(at) } => {
                self.spend_attempt(id, failure);
                self.enter_delayed(id, at.max(now), millis(at - now), now);
            }
            Ending::Postponed { at } => self.enter_delayed(id, at.max(now), millis(at - now), now),
            // Returned, or there is nothing to wait for. The others are written by `Model::finish_one`.
            _ => {
                self.enter_waiting(id, End::Front);
                self.emit_waiting(id, JobState::Active, now);
            }
        }
    }

    fn spend_attempt(&mut self, id: &JobId, failure: Failure) -> u32 {
        let job = &mut self.jobs.get_mut(id).expect("the job is there").job;
        job.attempts_made += 1;
        job.failed_reason = Some(failure.reason);
        if failure.stacktrace.is_some() {
            job.stacktrace = failure.stacktrace;
        }
        job.attempts_made
    }

    fn extend_one(&mut self, lease: &Lease, until: Timestamp) -> Extended {
        let Some(entry) = self.jobs.get_mut(&lease.job) else { return Extended::Lost };
        match &mut entry.lease {
            Some(held) if held.token == lease.token => held.until = until,
            // Without locking there is nothing to lose but the job itself.
            None if lease.token.is_none() && entry.state == JobState::Active => {}
            _ => return Extended::Lost,
        }
        match &entry.cancel {
            Some(reason) => Extended::CancelRequested { reason: reason.clone() },
            None => Extended::Kept,
        }
    }
}
