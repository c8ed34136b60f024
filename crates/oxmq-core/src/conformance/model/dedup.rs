//! Deduplication: one job stands for all that are added under one id.

use std::time::Duration;

use super::family::Removal;
use super::produce::Fresh;
use super::{Model, Queue};
use crate::address::{JobId, QueueAddress};
use crate::clock::{Timestamp, millis};
use crate::events::EventKind;
use crate::job::NewJob;
use crate::state::JobState;
use crate::store::{Added, Fate, OwnerRequest, ReleaseRequest};

/// Who owns a deduplication id.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    owner: JobId,
    /// Without it: until the owner has finished.
    until: Option<Timestamp>,
}

/// The job that is added when the owner has finished.
#[derive(Debug, Clone)]
pub(super) struct Successor {
    id: JobId,
    job: NewJob,
}

/// What becomes of a job with a deduplication id.
pub(super) enum Decision {
    /// It is created, and this came of it.
    Create(Fate),
    /// It is not.
    Not(Added),
}

impl Model {
    /// [`Store::deduplication_owner`](crate::Store::deduplication_owner).
    pub fn deduplication_owner(&self, queue: &QueueAddress, request: &OwnerRequest) -> Option<JobId> {
        self.queue(queue)?.claim(&request.id, request.now).map(|claim| claim.owner.clone())
    }

    /// [`Store::release_deduplication`](crate::Store::release_deduplication).
    pub fn release_deduplication(&mut self, queue: &QueueAddress, request: &ReleaseRequest) -> bool {
        let queue = self.queue_mut(queue);
        let Some(claim) = queue.claim(&request.id, request.now) else { return false };
        let is_meant = request.only_if_owner.as_ref().is_none_or(|owner| *owner == claim.owner);
        is_meant && queue.claims.remove(&request.id).is_some()
    }

    /// Decides about a new job, which would get this id.
    pub(super) fn deduplicate(
        &mut self,
        address: &QueueAddress,
        id: &JobId,
        new: &NewJob,
        now: Timestamp,
    ) -> Decision {
        let Some(options) = &new.options.deduplication else { return Decision::Create(Fate::Created) };
        let queue = self.queue_mut(address);
        let keeps_last = options.keep_last_if_active;
        let ttl = options.ttl_ms().filter(|_| !keeps_last);
        let fresh =
            Claim { owner: id.clone(), until: ttl.map(|ms| now + Duration::from_millis(ms.unsigned_abs())) };
        let key = options.id.clone();
        let Some(claim) = queue.claim(&key, now).cloned() else {
            queue.claims.insert(key, fresh);
            return Decision::Create(Fate::Created);
        };
        let owner = claim.owner;
        let state = queue.jobs.get(&owner).map(|entry| entry.state);
        let told = EventKind::Deduplicated { deduplication_id: key.clone(), deduplicated_job: id.clone() };
        if options.replace && state == Some(JobState::Delayed) {
            self.delete(address, std::slice::from_ref(&owner), Removal::Retention, now);
            let queue = self.queue_mut(address);
            queue.emit_of(&owner, EventKind::Removed { prev: JobState::Delayed.as_str().into() }, now);
            let told =
                EventKind::Deduplicated { deduplication_id: key.clone(), deduplicated_job: owner.clone() };
            queue.emit_of(id, told, now);
            queue.successors.remove(&key);
            let until = if ttl.is_some() && !options.extend { claim.until } else { fresh.until };
            queue.claims.insert(key, Claim { owner: id.clone(), until });
            return Decision::Create(Fate::Replaced { removed: owner });
        }
        if state.is_none() && claim.until.is_none() {
            queue.successors.remove(&key);
            queue.claims.insert(key, fresh);
            return Decision::Create(Fate::Created);
        }
        queue.emit_of(&owner, told, now);
        if keeps_last && state == Some(JobState::Active) {
            queue.successors.insert(key.clone(), Successor { id: id.clone(), job: new.clone() });
            queue.claims.insert(key, Claim { owner: owner.clone(), until: None });
            return Decision::Not(Added::new(owner, JobState::Active, Fate::KeptAsNext { next: id.clone() }));
        }
        if options.extend && !options.replace && options.ttl_ms().is_some() {
            queue.claims.insert(key, Claim { owner: owner.clone(), until: fresh.until });
        }
        if options.reschedule && !options.replace && state == Some(JobState::Delayed) {
            let delay = new.options.delay.unwrap_or_default();
            let due = new.options.created_at(now) + delay;
            queue.leave(&owner);
            queue.enter_delayed(&owner, due, millis(delay), now);
        }
        Decision::Not(Added::deduplicated(owner, state))
    }
}

impl Queue {
    fn claim(&self, id: &str, now: Timestamp) -> Option<&Claim> {
        self.claims.get(id).filter(|claim| claim.until.is_none_or(|until| until > now))
    }

    /// A job has completed or failed for good.
    pub(super) fn end_deduplication(&mut self, id: &JobId, now: Timestamp) {
        let Some(key) = self.jobs[id].job.deduplication_id.clone() else { return };
        if self.claim(&key, now).is_some_and(|claim| claim.owner == *id && claim.until.is_none()) {
            self.claims.remove(&key);
        }
        if self.claim(&key, now).is_some_and(|claim| claim.owner != *id) {
            return;
        }
        let Some(Successor { id, job }) = self.successors.remove(&key) else { return };
        self.last_number += 1;
        if self.jobs.contains_key(&id) {
            self.emit_of(&id, EventKind::Duplicated, now);
            return;
        }
        self.claims.insert(key, Claim { owner: id.clone(), until: None });
        let options = &job.options;
        let fresh =
            Fresh { job: &job, options, parent: None, has_children: false, timestamp: now, scheduler: None };
        self.create(&id, &fresh, now);
    }

    /// A job is removed by hand.
    pub(super) fn forget_deduplication(&mut self, id: &JobId, now: Timestamp) {
        let Some(key) = self.jobs[id].job.deduplication_id.clone() else { return };
        if self.claim(&key, now).is_some_and(|claim| claim.owner == *id) {
            self.claims.remove(&key);
            self.successors.remove(&key);
        }
    }
}
