//! The reference model: what every store must do, with plain collections, one call after the other.
//!
//! No I/O, no waiting, no cleverness: each intent is one method, to be read next to its contract in
//! [`Store`](crate::Store). The parts that are about waiting lie in [`ModelStore`](super::ModelStore).

mod dedup;
mod family;
mod look;
mod meta;
mod metrics;
mod produce;
mod schedule;
mod steer;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::address::{JobId, JobKey, QueueAddress, Token};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventId, EventKind, StoredEvent};
use crate::job::{Job, JobView};
use crate::json::JsonText;
use crate::state::JobState;
use crate::store::{RateLimit, WorkerInfo};

/// How many events are kept per queue.
pub const EVENTS_KEPT: usize = 10_000;

/// All queues of a store.
#[derive(Debug, Clone, Default)]
pub struct Model {
    queues: BTreeMap<QueueAddress, Queue>,
}

/// One queue.
#[derive(Debug, Clone, Default)]
struct Queue {
    /// The last number that the id counter gave.
    last_number: u64,
    jobs: BTreeMap<JobId, Entry>,
    /// The jobs of each state, in ascending order: what is taken, due or gone first, stands first.
    lists: BTreeMap<JobState, VecDeque<JobId>>,
    paused: bool,
    /// Nothing is given before.
    limited_until: Option<Timestamp>,
    /// The most active jobs.
    concurrency: Option<u32>,
    /// The most takes in a window, and the window.
    rate_max: Option<u32>,
    rate_window: Option<Duration>,
    /// The running window of the rate limit: its end, and the takes in it.
    window: Option<(Timestamp, u32)>,
    events: VecDeque<StoredEvent>,
    last_event: u64,
    /// How many events are kept, if not [`EVENTS_KEPT`].
    events_kept: Option<usize>,
    /// By deduplication id: who owns it.
    claims: BTreeMap<String, dedup::Claim>,
    /// By deduplication id: the job that is added when the owner has finished.
    successors: BTreeMap<String, dedup::Successor>,
    /// By state: what was counted of the jobs that ended in it.
    ended: BTreeMap<JobState, metrics::Ended>,
    schedules: BTreeMap<String, schedule::Schedule>,
    /// Named fields that no call sets but [`set_meta`](crate::Store::set_meta).
    meta: BTreeMap<String, String>,
    /// By id: what it said, and until when it holds.
    workers: BTreeMap<String, (WorkerInfo, Timestamp)>,
}

/// One job.
#[derive(Debug, Clone)]
struct Entry {
    job: Job,
    state: JobState,
    /// If it is delayed.
    due: Option<Timestamp>,
    /// If it is active and locked.
    lease: Option<Held>,
    /// The reason of a request to cancel this attempt.
    cancel: Option<String>,
    /// If it has finished, and is kept for an age: how long.
    keep_until: Option<Timestamp>,
    lifo: bool,
    /// It was put before its equals of the same priority.
    is_before: bool,
    log: VecDeque<String>,
    /// If it waits for its children: since when.
    since: Option<Timestamp>,
    children: Children,
}

/// What a job knows of its children, by their keys.
#[derive(Debug, Clone, Default)]
struct Children {
    pending: BTreeSet<JobKey>,
    processed: BTreeMap<JobKey, JsonText>,
    ignored: BTreeMap<JobKey, String>,
    failed: BTreeMap<JobKey, Timestamp>,
}

/// A lease that holds a job.
#[derive(Debug, Clone)]
struct Held {
    token: Token,
    until: Timestamp,
}

/// Where a job is placed among those it waits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Behind all of waiting, or behind its equals.
    Back,
    /// Before all of waiting, or before its equals.
    Front,
}

impl Model {
    /// A store without any queue.
    pub fn new() -> Self {
        Self::default()
    }

    fn queue(&self, queue: &QueueAddress) -> Option<&Queue> {
        self.queues.get(queue)
    }

    fn queue_mut(&mut self, queue: &QueueAddress) -> &mut Queue {
        self.queues.entry(queue.clone()).or_default()
    }

    fn entry(&self, key: &JobKey) -> Option<&Entry> {
        self.queue(&key.queue)?.jobs.get(&key.id)
    }

    fn entry_mut(&mut self, key: &JobKey) -> Option<&mut Entry> {
        self.queues.get_mut(&key.queue)?.jobs.get_mut(&key.id)
    }
}

impl Queue {
    fn list(&self, state: JobState) -> impl DoubleEndedIterator<Item = &JobId> + ExactSizeIterator {
        static NONE: VecDeque<JobId> = VecDeque::new();
        self.lists.get(&state).unwrap_or(&NONE).iter()
    }

    fn len(&self, state: JobState) -> usize {
        self.list(state).len()
    }

    /// The first `limit` of a state.
    fn first(&self, state: JobState, limit: usize) -> Vec<JobId> {
        self.list(state).take(limit).cloned().collect()
    }

    /// The jobs that a take would give: waiting or prioritized.
    fn nothing_waits(&self) -> bool {
        self.len(JobState::Waiting) == 0 && self.len(JobState::Prioritized) == 0
    }

    fn entry(&mut self, operation: &'static str, id: &JobId) -> Result<&mut Entry> {
        self.jobs.get_mut(id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, operation, "there is no such job").with("job", id.as_str())
        })
    }

    fn emit(&mut self, event: Event, now: Timestamp) -> EventId {
        self.last_event += 1;
        let id = EventId::stored(self.last_event.to_string());
        self.events.push_back(StoredEvent { id: id.clone(), at: now, event });
        if self.events.len() > self.events_kept.unwrap_or(EVENTS_KEPT) {
            self.events.pop_front();
        }
        id
    }

    fn emit_of(&mut self, id: &JobId, kind: EventKind, now: Timestamp) {
        self.emit(Event::of(id, kind), now);
    }

    /// Puts a job that is in no list to those that wait for their children.
    fn enter_waiting_children(
        &mut self,
        id: &JobId,
        since: Timestamp,
        prev: Option<JobState>,
        now: Timestamp,
    ) {
        self.jobs.get_mut(id).expect("the job is there").since = Some(since);
        self.enter(id, JobState::WaitingChildren, End::Back);
        let prev = prev.map(|prev| prev.as_str().into());
        self.emit_of(id, EventKind::WaitingChildren { prev }, now);
    }

    /// Takes the job out of the list of its state. What belonged to that state only is forgotten.
    fn leave(&mut self, id: &JobId) {
        let entry = self.jobs.get_mut(id).expect("the job is there");
        entry.due = None;
        entry.lease = None;
        entry.cancel = None;
        entry.keep_until = None;
        entry.since = None;
        let list = self.lists.entry(entry.state).or_default();
        let place = list.iter().position(|other| other == id).expect("the job is in the list of its state");
        list.remove(place);
    }

    /// Puts a job that is in no list into the list of `state`, at its place.
    fn enter(&mut self, id: &JobId, state: JobState, end: End) {
        let place = {
            let entry = &self.jobs[id];
            let mut others = self.list(state).map(|other| &self.jobs[other]);
            match (state, end) {
                (JobState::Waiting, End::Front) => Some(0),
                (JobState::Prioritized, End::Front) => {
                    others.position(|other| other.job.priority >= entry.job.priority)
                }
                (JobState::Prioritized, End::Back) => {
                    others.position(|other| other.job.priority > entry.job.priority)
                }
                (JobState::Delayed, _) => others.position(|other| other.due > entry.due),
                (JobState::WaitingChildren, _) => others.position(|other| other.since > entry.since),
                _ => None,
            }
        };
        let list = self.lists.entry(state).or_default();
        list.insert(place.unwrap_or(list.len()), id.clone());
        let entry = self.jobs.get_mut(id).expect("the job is there");
        entry.state = state;
        entry.is_before = state == JobState::Prioritized && end == End::Front;
    }

    /// Puts a job that is in no list to those that wait, by its priority.
    fn enter_waiting(&mut self, id: &JobId, end: End) {
        let state = if self.jobs[id].job.priority > 0 { JobState::Prioritized } else { JobState::Waiting };
        self.enter(id, state, end);
    }

    /// Puts a job that is in no list to the delayed ones; tells it.
    fn enter_delayed(&mut self, id: &JobId, due: Timestamp, delay_ms: i64, now: Timestamp) {
        let entry = self.jobs.get_mut(id).expect("the job is there");
        entry.due = Some(due);
        entry.job.delay_ms = delay_ms;
        self.enter(id, JobState::Delayed, End::Back);
        self.emit_of(id, EventKind::Delayed { at: due }, now);
    }

    fn emit_waiting(&mut self, id: &JobId, prev: JobState, now: Timestamp) {
        self.emit_of(id, EventKind::Waiting { prev: Some(prev.as_str().into()) }, now);
    }

    /// Lets a delayed job run.
    fn promote_one(&mut self, id: &JobId, now: Timestamp) {
        self.leave(id);
        self.jobs.get_mut(id).expect("the job is there").job.delay_ms = 0;
        self.enter_waiting(id, End::Back);
        self.emit_waiting(id, JobState::Delayed, now);
    }

    /// Removes a job and all that belongs to it, silently; its parent is told by [`Model::delete`].
    fn forget(&mut self, id: &JobId) {
        self.leave(id);
        self.jobs.remove(id);
    }

    fn first_due(&self) -> Option<Timestamp> {
        self.list(JobState::Delayed).next().and_then(|id| self.jobs[id].due)
    }

    /// Until when nothing is given: by hand, or because the window is full by this rate.
    fn is_limited(&self, rate: Option<RateLimit>, now: Timestamp) -> Option<Timestamp> {
        let full = rate.and_then(|rate| {
            self.window.filter(|(end, count)| *end > now && *count >= rate.max).map(|(end, _)| end)
        });
        self.limited_until.filter(|until| *until > now).or(full)
    }

    /// The queue's own rate.
    fn rate(&self) -> Option<RateLimit> {
        Some(RateLimit { max: self.rate_max?, window: self.rate_window? })
    }

    /// The rate that holds for a worker that brings one of its own, or none.
    fn rate_for(&self, own: Option<RateLimit>) -> Option<RateLimit> {
        let max = self.rate_max.or(own.map(|own| own.max))?;
        Some(RateLimit { max, window: own.map(|own| own.window).or(self.rate_window)? })
    }

    /// Whether as many jobs are active as may be.
    fn is_full(&self) -> bool {
        self.concurrency.is_some_and(|most| self.len(JobState::Active) >= most as usize)
    }
}

impl Entry {
    fn view(&self) -> JobView {
        let mut view = JobView::new(self.job.clone(), self.state);
        view.due = self.due;
        view.token = self.lease.as_ref().map(|lease| lease.token.clone());
        view
    }

    /// Whether a lease that has not run out holds the job.
    fn is_held(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }
}

fn wrong_state(operation: &'static str, id: &JobId, state: JobState) -> Error {
    Error::new(ErrorKind::WrongState, operation, "the job is in another state")
        .with("job", id.as_str())
        .with("state", state.as_str())
}
