//! Add, and what adds of flows share with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::dedup::Decision;
use super::{Children, End, Entry, Model, Queue};
use crate::address::{JobId, JobKey, QueueAddress};
use crate::clock::{Timestamp, millis};
use crate::error::Result;
use crate::events::EventKind;
use crate::family::Parent;
use crate::job::{Job, NewJob};
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::state::JobState;
use crate::store::{AddRequest, Added, Fate, OnRefusal, ParentRefusal, PlannedNode};

/// The parents of jobs that are about to be written.
type Planned = BTreeMap<JobKey, Option<JobKey>>;

impl Model {
    /// [`Store::add`](crate::Store::add).
    pub fn add(&mut self, queue: &QueueAddress, request: &AddRequest) -> Vec<Result<Vec<Added>>> {
        if !request.groups.is_empty() {
            self.queue_mut(queue);
        }
        self.insert("add", request.groups.len(), &request.plan(queue), OnRefusal::UndoFlow, request.now)
    }

    /// Writes nodes, group by group or flow by flow: each whole or not at all.
    pub(super) fn insert(
        &mut self,
        operation: &'static str,
        groups: usize,
        nodes: &[PlannedNode<'_>],
        on_refusal: OnRefusal,
        now: Timestamp,
    ) -> Vec<Result<Vec<Added>>> {
        let mut answers: Vec<Result<Vec<(usize, Added)>>> = (0..groups).map(|_| Ok(Vec::new())).collect();
        let mut planned = Planned::new();
        for (group, answer) in answers.iter_mut().enumerate() {
            if on_refusal == OnRefusal::UndoFlow {
                let mut own = planned.clone();
                let mut nodes = nodes.iter().filter(|node| node.group == group);
                match nodes.try_for_each(|node| self.check(node, &mut own).map_err(|why| (why, node))) {
                    Ok(()) => planned = own,
                    Err((why, node)) => *answer = Err(refusal(operation, why, node)),
                }
            }
        }
        // Parents that lack a child which belongs to somebody else: they are not released.
        let mut lacking = BTreeSet::new();
        let mut parents: Vec<JobKey> = Vec::new();
        for node in nodes {
            if answers[node.group].is_err() && on_refusal == OnRefusal::UndoFlow {
                continue;
            }
            let parent = node.parent.as_ref().map(|parent| parent.key.clone());
            let written = self.insert_one(node, on_refusal, now);
            if written == Err(ParentRefusal::Taken) {
                lacking.extend(parent.clone());
            }
            parents.extend(parent.filter(|parent| !parents.contains(parent)));
            match (written, &mut answers[node.group]) {
                (Ok(added), Ok(answer)) => answer.push((node.index, added)),
                (Err(why), answer) if node.index == 0 => *answer = Err(refusal(operation, why, node)),
                (Err(why), Ok(answer)) => {
                    let key = node.key().expect("nodes of flows have ids");
                    let there = self.entry(&key).map(|entry| entry.state);
                    let state = there.unwrap_or(if node.has_children {
                        JobState::WaitingChildren
                    } else {
                        JobState::Waiting
                    });
                    answer.push((node.index, Added { id: key.id, state, fate: Fate::Refused(why.kind()) }));
                }
                (_, Err(_)) => {}
            }
        }
        for parent in parents.iter().filter(|parent| !lacking.contains(*parent)) {
            self.release_if_free(parent, now);
        }
        let in_order = |mut added: Vec<(usize, Added)>| {
            added.sort_by_key(|(index, _)| *index);
            added.into_iter().map(|(_, added)| added).collect()
        };
        answers.into_iter().map(|answer| answer.map(in_order)).collect()
    }

    /// Whether a node may be written, after those that are planned.
    fn check(&self, node: &PlannedNode<'_>, planned: &mut Planned) -> Result<(), ParentRefusal> {
        if node.options.deduplication.is_some() {
            // It may not come to be there.
            return Ok(());
        }
        let Some(key) = node.key() else {
            let parent = node.parent.as_ref().map(|parent| &parent.key);
            let is_there =
                parent.is_none_or(|parent| self.entry(parent).is_some() || planned.contains_key(parent));
            return if is_there { Ok(()) } else { Err(ParentRefusal::Missing) };
        };
        let is_there = |key: &JobKey| planned.contains_key(key) || self.entry(key).is_some();
        // The parent that a job has, or is about to get.
        let parent_of = |key: &JobKey| match planned.get(key) {
            Some(parent) => parent.clone(),
            None => {
                self.entry(key).and_then(|entry| entry.job.parent.as_ref()).map(|parent| parent.key.clone())
            }
        };
        let current = parent_of(&key);
        let Some(parent) = node.parent.as_ref().map(|parent| parent.key.clone()) else {
            planned.entry(key).or_insert(current);
            return Ok(());
        };
        if !is_there(&parent) {
            return Err(ParentRefusal::Missing);
        }
        if is_there(&key) {
            if current.as_ref().is_some_and(|current| *current != parent && is_there(current)) {
                return Err(ParentRefusal::Taken);
            }
            let is_failed = self.entry(&key).is_some_and(|entry| entry.state == JobState::Failed);
            if is_failed && !self.knows_failed(&key, current.as_ref(), &parent) {
                return Err(ParentRefusal::ChildFailed);
            }
            let mut above = Some(parent.clone());
            let mut seen = BTreeSet::new();
            while let Some(one) = above.filter(|one| seen.insert(one.clone())) {
                if one == key {
                    return Err(ParentRefusal::Circle);
                }
                above = parent_of(&one);
            }
        }
        planned.insert(key, Some(parent));
        Ok(())
    }

    /// Whether a failed job is a child of this parent already, which knows of it.
    fn knows_failed(&self, child: &JobKey, current: Option<&JobKey>, parent: &JobKey) -> bool {
        current == Some(parent)
            && self.entry(parent).is_some_and(|parent| parent.children.knows_failed(child))
    }

    fn insert_one(
        &mut self,
        node: &PlannedNode<'_>,
        on_refusal: OnRefusal,
        now: Timestamp,
    ) -> Result<Added, ParentRefusal> {
        if let Some(parent) = &node.parent
            && self.entry(&parent.key).is_none()
        {
            return Err(ParentRefusal::Missing);
        }
        let queue = self.queue_mut(node.queue);
        queue.last_number += 1;
        let id = node.id.cloned().unwrap_or_else(|| JobId::from(queue.last_number.to_string()));
        let key = JobKey::new(node.queue.clone(), &id);
        if let Some(entry) = queue.jobs.get(&id) {
            let state = entry.state;
            if let Some(parent) = &node.parent {
                self.attach(&key, parent, on_refusal)?;
            }
            self.queue_mut(node.queue).emit_of(&id, EventKind::Duplicated, now);
            return Ok(Added::existing(id, state));
        }
        let fate = match self.deduplicate(node.queue, &id, node.job, now) {
            Decision::Create(fate) => fate,
            Decision::Not(added) => return Ok(added),
        };
        let fresh = Fresh {
            job: node.job,
            options: &node.options,
            parent: node.parent.as_ref(),
            has_children: node.has_children,
            timestamp: node.options.created_at(now),
            scheduler: None,
        };
        let state = self.queue_mut(node.queue).create(&id, &fresh, now);
        if let Some(parent) = &node.parent {
            let entry = self.entry_mut(&parent.key).expect("the parent is there");
            entry.children.pending.insert(key);
        }
        Ok(Added::new(id, state, fate))
    }

    /// Makes a job that is there somebody's child.
    fn attach(&mut self, key: &JobKey, parent: &Parent, on_refusal: OnRefusal) -> Result<(), ParentRefusal> {
        let entry = self.entry(key).expect("the job is there");
        let current = entry.job.parent.as_ref().map(|parent| parent.key.clone());
        let state = entry.state;
        let value = entry.job.return_value.clone().unwrap_or_else(JsonText::null);
        if current.as_ref().is_some_and(|current| *current != parent.key && self.entry(current).is_some()) {
            return Err(ParentRefusal::Taken);
        }
        let is_settled = on_refusal == OnRefusal::UndoFlow
            && state == JobState::Failed
            && self.knows_failed(key, current.as_ref(), &parent.key);
        let above = self.entry_mut(&parent.key).expect("the parent is there");
        if state == JobState::Completed {
            above.children.processed.insert(key.clone(), value);
        } else if !is_settled {
            above.children.pending.insert(key.clone());
        }
        self.entry_mut(key).expect("the job is there").job.parent = Some(parent.clone());
        Ok(())
    }
}

fn refusal(operation: &'static str, why: ParentRefusal, node: &PlannedNode<'_>) -> crate::Error {
    let parent = node.parent.as_ref().expect("only children are refused");
    why.into_error(operation, node.key().as_ref(), &parent.key)
}

/// A job that is about to be there.
pub(super) struct Fresh<'a> {
    pub(super) job: &'a NewJob,
    pub(super) options: &'a JobOptions,
    pub(super) parent: Option<&'a Parent>,
    pub(super) has_children: bool,
    pub(super) timestamp: Timestamp,
    pub(super) scheduler: Option<&'a str>,
}

impl Queue {
    /// Creates a job; where it is.
    pub(super) fn create(&mut self, id: &JobId, fresh: &Fresh<'_>, now: Timestamp) -> JobState {
        let Fresh { job: new, options, parent, has_children, timestamp, scheduler } = *fresh;
        let mut job = Job::new(id.clone(), new.name.clone(), new.data.clone(), options.to_json());
        job.timestamp = timestamp;
        job.scheduler_id = scheduler.map(Into::into);
        job.priority = options.priority.unwrap_or(0);
        job.parent = parent.cloned();
        job.deduplication_id = options.deduplication.as_ref().map(|deduplication| deduplication.id.clone());
        let delay = options.delay.unwrap_or_default();
        job.delay_ms = millis(delay);
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
            since: None,
            children: Children::default(),
        };
        self.jobs.insert(id.clone(), entry);
        self.emit_of(id, EventKind::Added { name: new.name.clone() }, now);
        if has_children {
            self.enter_waiting_children(id, timestamp, None, now);
        } else if millis(delay) > 0 {
            self.enter_delayed(id, timestamp + delay, millis(delay), now);
        } else {
            // Lifo is for waiting only: among prioritized jobs a new one stands behind its equals.
            let end = if lifo && self.jobs[id].job.priority == 0 { End::Front } else { End::Back };
            self.enter_waiting(id, end);
            self.emit_of(id, EventKind::Waiting { prev: None }, now);
        }
        self.jobs[id].state
    }
}
