//! Add.

use std::collections::VecDeque;

use super::{End, Entry, Model, Queue};
use crate::address::{JobId, QueueAddress};
use crate::clock::{Timestamp, millis};
use crate::error::Result;
use crate::events::EventKind;
use crate::job::{Job, NewJob};
use crate::state::JobState;
use crate::store::{AddRequest, Added};

impl Model {
    /// [`Store::add`](crate::Store::add). The model refuses no group.
    pub fn add(&mut self, queue: &QueueAddress, request: AddRequest) -> Vec<Result<Vec<Added>>> {
        let AddRequest { groups, now } = request;
        if groups.is_empty() {
            return Vec::new();
        }
        let queue = self.queue_mut(queue);
        groups
            .into_iter()
            .map(|group| Ok(group.jobs.into_iter().map(|job| queue.add_one(job, now)).collect()))
            .collect()
    }
}

impl Queue {
    fn add_one(&mut self, new: NewJob, now: Timestamp) -> Added {
        self.last_number += 1;
        let NewJob { name, data, options } = new;
        let id = options.job_id.clone().unwrap_or_else(|| JobId::from(self.last_number.to_string()));
        if let Some(entry) = self.jobs.get(&id) {
            let state = entry.state;
            self.emit_of(&id, EventKind::Duplicated, now);
            return Added::existing(id, state);
        }

        self.create(&id, NewJob { name, data, options }, None, now);
        Added::created(id.clone(), self.jobs[&id].state)
    }

    /// Puts a new job where it belongs, and tells it.
    pub(super) fn create(&mut self, id: &JobId, new: NewJob, scheduler: Option<&str>, now: Timestamp) {
        let NewJob { name, data, options } = new;
        let mut job = Job::new(id.clone(), name.clone(), data, options.to_json());
        job.timestamp = options.timestamp.unwrap_or(now);
        job.scheduler_id = scheduler.map(Into::into);
        job.priority = options.priority.unwrap_or(0);
        let delay = options.delay.unwrap_or_default();
        let due = job.timestamp + delay;
        let lifo = options.lifo.unwrap_or(false);
        let entry = Entry {
            job,
            state: JobState::Waiting,
            due: None,
            lease: None,
            cancel: None,
            keep_until: None,
            lifo,
            is_before: false,
            log: VecDeque::new(),
        };
        self.jobs.insert(id.clone(), entry);
        self.emit_of(id, EventKind::Added { name }, now);
        if millis(delay) > 0 {
            self.enter_delayed(id, due, millis(delay), now);
        } else {
            // Lifo is for waiting only: among prioritized jobs a new one stands behind its equals.
            let end = if lifo && self.jobs[id].job.priority == 0 { End::Front } else { End::Back };
            self.enter_waiting(id, end);
            self.emit_of(id, EventKind::Waiting { prev: None }, now);
        }
    }
}
