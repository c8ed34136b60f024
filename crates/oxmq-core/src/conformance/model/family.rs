//! Parents and children: `add_flow`, children, detach, and what happens to a parent when something happens to a child.

use std::collections::BTreeSet;
use std::time::Duration;

use super::schedule::needed_by_its_schedule;
use super::{Children, End, Model};
use crate::address::{JobId, JobKey, QueueAddress};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::events::EventKind;
use crate::family::{ChildFailure, Parent};
use crate::json::JsonText;
use crate::state::JobState;
use crate::store::{
    AddFlowRequest, Added, Child, ChildCounts, ChildKind, ChildOutcome, ChildrenCursor, ChildrenPage,
    ChildrenRequest, DetachRequest, REMOVE_JOBS_MAX, RemoveAnswer, RemoveRequest, RemoveScope,
    too_many_below,
};

impl Model {
    /// [`Store::add_flow`](crate::Store::add_flow).
    pub fn add_flow(&mut self, request: &AddFlowRequest) -> Result<Vec<Result<Vec<Added>>>> {
        let nodes = request.plan()?;
        Ok(self.insert("add_flow", request.flows.len(), &nodes, request.on_refusal, request.now))
    }

    /// [`Store::detach`](crate::Store::detach).
    pub fn detach(&mut self, queue: &QueueAddress, request: &DetachRequest) -> Result<bool> {
        let child = JobKey::new(queue.clone(), &request.child);
        let missing =
            |key: &JobKey, why: &str| Error::new(ErrorKind::NotFound, "detach", why).with("job", key);
        let entry = self.entry(&child).ok_or_else(|| missing(&child, "there is no such job"))?;
        let Some(parent) = entry.job.parent.clone() else { return Ok(false) };
        if self.entry(&parent.key).is_none() {
            return Err(missing(&parent.key, "the parent is not there"));
        }
        let was_pending = self.remove_pending(&child, &parent.key);
        if was_pending {
            self.release_if_free(&parent.key, request.now);
            self.entry_mut(&child).expect("the job is there").job.parent = None;
        }
        Ok(was_pending)
    }

    /// [`Store::children`](crate::Store::children): in the order of their keys.
    pub fn children(&self, queue: &QueueAddress, request: &ChildrenRequest) -> ChildrenPage {
        let Some(entry) = self.queue(queue).and_then(|queue| queue.jobs.get(&request.job)) else {
            return ChildrenPage::default();
        };
        let all = request.kinds.iter().flat_map(|kind| entry.children.of(*kind));
        let mut passed = request.cursor.is_none();
        let mut rest = all.filter(|child| {
            let cursor = request.cursor.as_ref();
            let is_last =
                cursor.is_some_and(|last| last.kind == child.outcome.kind() && last.after == child.key);
            // A child that has changed its kind is not found there: go on behind where it was.
            let is_behind = cursor.is_some_and(|last| {
                let place = |kind| request.kinds.iter().position(|other| *other == kind);
                (place(child.outcome.kind()), &child.key) > (place(last.kind), &last.after)
            });
            passed |= is_behind;
            passed && !is_last
        });
        let children: Vec<Child> = rest.by_ref().take(request.limit).collect();
        let next = children.last().filter(|_| rest.next().is_some());
        let next = next.map(|last| ChildrenCursor { kind: last.outcome.kind(), after: last.key.clone() });
        ChildrenPage { children, next, counts: entry.children.counts() }
    }

    /// Takes a child from the pending ones of its parent; whether it was one.
    pub(super) fn remove_pending(&mut self, child: &JobKey, parent: &JobKey) -> bool {
        self.entry_mut(parent).is_some_and(|parent| parent.children.pending.remove(child))
    }

    /// Lets a parent run that waits for its children, if it does.
    fn release(&mut self, parent: &JobKey, now: Timestamp) {
        let Some(entry) = self.entry_mut(parent).filter(|entry| entry.state == JobState::WaitingChildren)
        else {
            return;
        };
        if entry.job.deferred_failure.is_some() {
            entry.job.delay_ms = 0;
        }
        let delay_ms = entry.job.delay_ms;
        let queue = self.queue_mut(&parent.queue);
        queue.leave(&parent.id);
        if delay_ms > 0 {
            queue.enter_delayed(
                &parent.id,
                now + Duration::from_millis(delay_ms.unsigned_abs()),
                delay_ms,
                now,
            );
            return;
        }
        queue.run_parent(&parent.id, now);
    }

    /// The same, if no child is left to wait for.
    pub(super) fn release_if_free(&mut self, parent: &JobKey, now: Timestamp) {
        if self.entry(parent).is_some_and(|entry| entry.children.pending.is_empty()) {
            self.release(parent, now);
        }
    }

    /// A child has completed.
    pub(super) fn child_completed(&mut self, child: &JobKey, value: &JsonText, now: Timestamp) {
        let Some(parent) = self.entry(child).and_then(|entry| entry.job.parent.clone()) else { return };
        if self.remove_pending(child, &parent.key) {
            let entry = self.entry_mut(&parent.key).expect("it had the child");
            entry.children.processed.insert(child.clone(), value.clone());
            self.release_if_free(&parent.key, now);
        }
    }

    /// A child has failed for good.
    pub(super) fn child_failed(&mut self, child: &JobKey, reason: &str, now: Timestamp) {
        let Some(Parent { key, on_failure: Some(choice) }) =
            self.entry(child).and_then(|entry| entry.job.parent.clone())
        else {
            return;
        };
        if !self.remove_pending(child, &key) {
            return;
        }
        let entry = self.entry_mut(&key).expect("it had the child");
        match choice {
            ChildFailure::FailParent => {
                entry.children.failed.insert(child.clone(), now);
                if entry.state == JobState::Failed {
                    return;
                }
                entry.job.deferred_failure = Some(failure_of(child));
                if entry.state == JobState::Delayed {
                    entry.job.delay_ms = 0;
                    let queue = self.queue_mut(&key.queue);
                    queue.leave(&key.id);
                    queue.run_parent(&key.id, now);
                } else {
                    self.release(&key, now);
                }
            }
            ChildFailure::ContinueParent => {
                entry.children.ignored.insert(child.clone(), reason.into());
                self.release(&key, now);
            }
            ChildFailure::Ignore => {
                entry.children.ignored.insert(child.clone(), reason.into());
                self.release_if_free(&key, now);
            }
            ChildFailure::Remove => self.release_if_free(&key, now),
        }
    }

    /// A finished child runs again, from this state.
    pub(super) fn child_retried(&mut self, child: &JobKey, state: JobState, now: Timestamp) {
        let Some(parent) = self.entry(child).and_then(|entry| entry.job.parent.clone()) else { return };
        let Some(entry) = self.entry_mut(&parent.key) else { return };
        let children = &mut entry.children;
        let was_known = if state == JobState::Completed {
            children.processed.remove(child).is_some()
        } else {
            let was_failed = children.failed.remove(child).is_some();
            children.ignored.remove(child).is_some() || was_failed
        };
        if !was_known {
            return;
        }
        children.pending.insert(child.clone());
        if entry.job.deferred_failure.as_ref() != Some(&failure_of(child)) {
            return;
        }
        let last = entry.children.failed.iter().max_by_key(|(key, at)| (**at, key.to_string()));
        entry.job.deferred_failure = last.map(|(key, _)| failure_of(key));
        let state = entry.state;
        let waits = matches!(state, JobState::Waiting | JobState::Prioritized);
        if waits && entry.job.deferred_failure.is_none() {
            let queue = self.queue_mut(&parent.key.queue);
            queue.leave(&parent.key.id);
            queue.enter_waiting_children(&parent.key.id, now, Some(state), now);
        }
    }

    /// Removes jobs of a queue silently, all at once, and then tells the parents of those that had one.
    pub(super) fn delete(&mut self, queue: &QueueAddress, ids: &[JobId], how: Removal, now: Timestamp) {
        let mut orphaned = Vec::new();
        for id in ids {
            let Some(entry) = self.queue(queue).and_then(|queue| queue.jobs.get(id)) else { continue };
            orphaned
                .extend(entry.job.parent.clone().map(|parent| (JobKey::new(queue.clone(), id), parent.key)));
            let queue = self.queue_mut(queue);
            if how != Removal::Retention {
                queue.forget_deduplication(id, now);
            }
            queue.forget(id);
        }
        for (child, parent) in orphaned {
            self.child_removed(&child, &parent, how, now);
        }
    }

    /// A child is removed.
    fn child_removed(&mut self, child: &JobKey, parent: &JobKey, how: Removal, now: Timestamp) {
        if !self.remove_pending(child, parent) {
            return;
        }
        let goes = how == Removal::ByHandAlong && parent.queue == child.queue;
        let entry = self.entry(parent).expect("it had the child");
        if goes && entry.children.pending.is_empty() && entry.state == JobState::WaitingChildren {
            let removed = EventKind::Removed { prev: JobState::WaitingChildren.as_str().into() };
            self.queue_mut(&parent.queue).emit_of(&parent.id, removed, now);
            self.delete(&parent.queue, std::slice::from_ref(&parent.id), how, now);
        } else {
            self.release_if_free(parent, now);
        }
    }

    /// Removes a job that is there, and tells it.
    fn remove_one(&mut self, key: &JobKey, now: Timestamp) {
        let entry = self.entry(key).expect("the job is there");
        let prev = match entry.state {
            JobState::Waiting => "wait",
            other => other.as_str(),
        };
        self.delete(&key.queue, std::slice::from_ref(&key.id), Removal::ByHand, now);
        self.queue_mut(&key.queue).emit_of(&key.id, EventKind::Removed { prev: prev.into() }, now);
    }

    /// [`Store::remove`](crate::Store::remove).
    pub fn remove(&mut self, queue: &QueueAddress, request: &RemoveRequest) -> Result<RemoveAnswer> {
        let RemoveRequest { job: id, scope, now } = request;
        let top = JobKey::new(queue.clone(), id);
        let Some(entry) = self.entry(&top) else { return Ok(RemoveAnswer::NotFound) };
        if *scope == RemoveScope::PendingChildren {
            // Those that are gone already are waited for no more.
            let is_gone = |key: &&JobKey| self.entry(key).is_none();
            let gone: Vec<JobKey> = entry.children.pending.iter().filter(is_gone).cloned().collect();
            let going = self.below(&top, true, *now)?;
            for key in &gone {
                self.remove_pending(key, &top);
            }
            self.remove_all(&going, *now);
            self.release_if_free(&top, *now);
            return Ok(RemoveAnswer::Removed);
        }
        if entry.is_held(*now) {
            return Ok(RemoveAnswer::Locked);
        }
        if *scope == RemoveScope::WithChildren && self.is_pending_held(&top, *now) {
            return Ok(RemoveAnswer::Locked);
        }
        if self.queue_mut(queue).is_current(id) {
            return Err(needed_by_its_schedule("remove", id));
        }
        let mut going = Vec::new();
        if *scope == RemoveScope::WithChildren {
            going = self.below(&top, false, *now)?;
        }
        going.push(top);
        self.remove_all(&going, *now);
        Ok(RemoveAnswer::Removed)
    }

    /// Removes jobs that are there. A parent that goes, too, is not released by it.
    fn remove_all(&mut self, going: &[JobKey], now: Timestamp) {
        for key in going {
            let parent = self.entry(key).and_then(|entry| entry.job.parent.clone());
            if let Some(parent) = parent.filter(|parent| going.contains(&parent.key)) {
                self.remove_pending(key, &parent.key);
            }
            self.remove_one(key, now);
        }
    }

    /// All jobs that are there below one and have no other parent, children before their parents. `pending`: only by way of
    /// pending children, and none that is held or has failed, nor what is below those.
    fn below(&self, top: &JobKey, pending: bool, now: Timestamp) -> Result<Vec<JobKey>> {
        let mut seen = BTreeSet::from([top.clone()]);
        let mut found = Vec::new();
        let mut left = vec![top.clone()];
        while let Some(parent) = left.pop() {
            let Some(entry) = self.entry(&parent) else { continue };
            if parent != *top {
                found.push(parent.clone());
            }
            let children: Vec<JobKey> = if pending {
                entry.children.pending.iter().cloned().collect()
            } else {
                entry.children.keys().collect()
            };
            for key in children {
                let Some(entry) = self.entry(&key) else { continue };
                let is_child = entry.job.parent.as_ref().is_some_and(|above| above.key == parent);
                let stays = pending && (entry.is_held(now) || entry.state == JobState::Failed);
                if is_child && !stays && seen.insert(key.clone()) {
                    left.push(key);
                }
            }
        }
        if found.len() > REMOVE_JOBS_MAX {
            let message = too_many_below();
            return Err(Error::new(ErrorKind::Refused, "remove", message));
        }
        found.reverse();
        Ok(found)
    }

    fn is_pending_held(&self, top: &JobKey, now: Timestamp) -> bool {
        let mut seen = BTreeSet::new();
        let mut left = vec![top.clone()];
        while let Some(key) = left.pop() {
            let Some(entry) = self.entry(&key) else { continue };
            if entry.is_held(now) {
                return true;
            }
            if seen.insert(key) {
                left.extend(entry.children.pending.iter().cloned());
            }
        }
        false
    }

    /// The jobs of a queue that know of children.
    pub(in crate::conformance) fn parents(&self, queue: &QueueAddress) -> Vec<JobId> {
        let jobs = self.queue(queue).into_iter().flat_map(|queue| &queue.jobs);
        jobs.filter(|(_, entry)| entry.children.counts().total() > 0).map(|(id, _)| id.clone()).collect()
    }

    /// The parents that wait for children although none is pending: there must not be any.
    pub fn stuck_parents(&self) -> Vec<JobKey> {
        let mut stuck = Vec::new();
        for (address, queue) in &self.queues {
            let waiting = queue.list(JobState::WaitingChildren);
            let is_stuck = |id: &&JobId| queue.jobs[*id].children.pending.is_empty();
            stuck.extend(waiting.filter(is_stuck).map(|id| JobKey::new(address.clone(), id)));
        }
        stuck
    }
}

/// How jobs are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// By retention: their deduplication ids stay.
    Retention,
    /// By hand.
    ByHand,
    /// By hand; and a parent in the same queue goes, too, if that was the last child it waited for, and is not released.
    ByHandAlong,
}

/// The deferred failure of a parent.
fn failure_of(child: &JobKey) -> String {
    format!("child {child} failed")
}

impl Children {
    fn of(&self, kind: ChildKind) -> Vec<Child> {
        let child = |key: &JobKey, outcome| Child { key: key.clone(), outcome };
        match kind {
            ChildKind::Processed => {
                let known = self.processed.iter();
                known.map(|(key, value)| child(key, ChildOutcome::Processed(value.clone()))).collect()
            }
            ChildKind::Pending => self.pending.iter().map(|key| child(key, ChildOutcome::Pending)).collect(),
            ChildKind::Ignored => {
                let known = self.ignored.iter();
                known.map(|(key, reason)| child(key, ChildOutcome::Ignored(reason.clone()))).collect()
            }
            ChildKind::Failed => {
                self.failed.iter().map(|(key, at)| child(key, ChildOutcome::Failed(*at))).collect()
            }
        }
    }

    /// All children, in the order in which BullMQ removes them.
    fn keys(&self) -> impl Iterator<Item = JobKey> {
        let ended = self.processed.keys().chain(self.ignored.keys()).chain(self.failed.keys());
        ended.chain(&self.pending).cloned()
    }

    fn counts(&self) -> ChildCounts {
        ChildCounts {
            processed: self.processed.len() as u64,
            pending: self.pending.len() as u64,
            ignored: self.ignored.len() as u64,
            failed: self.failed.len() as u64,
        }
    }

    /// Whether a child is known as one that has not ended, or has failed.
    pub(super) fn knows_failed(&self, child: &JobKey) -> bool {
        self.pending.contains(child) || self.ignored.contains_key(child) || self.failed.contains_key(child)
    }
}

impl super::Queue {
    /// Puts a parent that left a state to those that run.
    fn run_parent(&mut self, id: &JobId, now: Timestamp) {
        let end = if self.jobs[id].job.priority == 0 { End::Front } else { End::Back };
        self.enter_waiting(id, end);
        self.emit_waiting(id, JobState::WaitingChildren, now);
    }
}
