//! `add_flow`, and adds of jobs with a parent: groups that are checked before they are written.

use std::collections::{BTreeMap, BTreeSet};

use oxmq_core::store::{AddFlowRequest, Added, ChildKind, Fate, OnRefusal, ParentRefusal, PlannedNode};
use oxmq_core::{Error, Event, EventKind, JobId, JobKey, JobState, Parent, Result, Timestamp};
use rusqlite::OptionalExtension;

use super::dedup::{self, Decision};
use super::{add, family};
use crate::fault::Sql;
use crate::row::{JobRow, flag, stored};
use crate::tx::Tx;

/// The parents of jobs that are about to be written.
type Planned = BTreeMap<JobKey, Option<JobKey>>;

pub(crate) fn add_flow(tx: &mut Tx<'_>, request: &AddFlowRequest) -> Sql<Result<Vec<Result<Vec<Added>>>>> {
    let nodes = match request.plan() {
        Ok(nodes) => nodes,
        Err(error) => return Ok(Err(error)),
    };
    insert(tx, "add_flow", request.flows.len(), &nodes, request.on_refusal, request.now).map(Ok)
}

/// Writes nodes, each group whole or not at all.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    verb: &'static str,
    groups: usize,
    nodes: &[PlannedNode<'_>],
    on_refusal: OnRefusal,
    now: Timestamp,
) -> Sql<Vec<Result<Vec<Added>>>> {
    let mut answers: Vec<Result<Vec<(usize, Added)>>> = (0..groups).map(|_| Ok(Vec::new())).collect();
    let undoes = on_refusal == OnRefusal::UndoFlow;
    if undoes {
        let mut members: BTreeMap<usize, Vec<&PlannedNode<'_>>> = BTreeMap::new();
        for node in nodes {
            members.entry(node.group).or_default().push(node);
        }
        let mut planned = Planned::new();
        for (group, members) in members {
            let mut own = Planned::new();
            let mut refused = None;
            for node in members {
                if let Err(why) = check(tx, node, &planned, &mut own)? {
                    refused = Some(refusal(verb, why, node));
                    break;
                }
            }
            match refused {
                None => planned.extend(own),
                Some(error) => answers[group] = Err(error),
            }
        }
    }
    let mut parents: Vec<&JobKey> = Vec::new();
    let mut met: BTreeSet<&JobKey> = BTreeSet::new();
    // Parents that lack a child which belongs to somebody else: they are not released.
    let mut lacking: BTreeSet<&JobKey> = BTreeSet::new();
    for node in nodes {
        if undoes && answers[node.group].is_err() {
            continue;
        }
        let parent = node.parent.as_ref().map(|parent| &parent.key);
        let written = insert_one(tx, node, undoes, now)?;
        if written == Err(ParentRefusal::Taken) {
            lacking.extend(parent);
        }
        parents.extend(parent.filter(|parent| met.insert(*parent)));
        match (written, &mut answers[node.group]) {
            (Ok(added), Ok(answer)) => answer.push((node.index, added)),
            (Err(why), answer) if node.index == 0 => *answer = Err(refusal(verb, why, node)),
            (Err(why), Ok(answer)) => {
                let there = match node.key() {
                    Some(key) => family::find(tx, &key)?.map(|(_, job)| job.state()),
                    None => None,
                };
                let would_be = if node.has_children { JobState::WaitingChildren } else { JobState::Waiting };
                if let Some(id) = node.id {
                    let mut added = Added::existing(id.clone(), there.unwrap_or(would_be));
                    added.fate = Fate::Refused(why.kind());
                    answer.push((node.index, added));
                }
            }
            (_, Err(_)) => {}
        }
    }
    for parent in parents {
        if !lacking.contains(parent)
            && let Some((queue, job)) = family::find(tx, parent)?
        {
            family::release_if_free(queue, &job, now)?;
        }
    }
    let in_order = |mut added: Vec<(usize, Added)>| {
        added.sort_by_key(|(index, _)| *index);
        added.into_iter().map(|(_, added)| added).collect()
    };
    Ok(answers.into_iter().map(|answer| answer.map(in_order)).collect())
}

fn refusal(verb: &'static str, why: ParentRefusal, node: &PlannedNode<'_>) -> Error {
    match &node.parent {
        Some(parent) => why.into_error(verb, node.key().as_ref(), &parent.key),
        // Only children are refused.
        None => Error::new(why.kind(), verb, "the job was refused"),
    }
}

/// What is known of jobs that are there, or are about to be.
struct Known<'t, 'c, 'p> {
    tx: &'t mut Tx<'c>,
    planned: &'p Planned,
    own: &'p Planned,
}

impl Known<'_, '_, '_> {
    fn is_planned(&self, key: &JobKey) -> bool {
        self.own.contains_key(key) || self.planned.contains_key(key)
    }

    fn is_there(&mut self, key: &JobKey) -> Sql<bool> {
        Ok(self.is_planned(key) || family::find(self.tx, key)?.is_some())
    }

    /// The parent that a job has, or is about to get.
    fn parent_of(&mut self, key: &JobKey) -> Sql<Option<JobKey>> {
        if let Some(parent) = self.own.get(key).or_else(|| self.planned.get(key)) {
            return Ok(parent.clone());
        }
        let Some((queue, job)) = family::find(self.tx, key)? else { return Ok(None) };
        Ok(family::tie(queue.db, &job)?.map(|parent| parent.key))
    }
}

/// Whether a node may be written, after those that are planned.
fn check(
    tx: &mut Tx<'_>,
    node: &PlannedNode<'_>,
    planned: &Planned,
    own: &mut Planned,
) -> Sql<Result<(), ParentRefusal>> {
    if node.options.deduplication.is_some() {
        // It may not come to be there.
        return Ok(Ok(()));
    }
    let mut known = Known { tx, planned, own };
    let parent = node.parent.as_ref().map(|parent| parent.key.clone());
    let Some(key) = node.key() else {
        let is_there = match &parent {
            Some(parent) => known.is_there(parent)?,
            None => true,
        };
        return Ok(if is_there { Ok(()) } else { Err(ParentRefusal::Missing) });
    };
    let current = known.parent_of(&key)?;
    let Some(parent) = parent else {
        own.entry(key).or_insert(current);
        return Ok(Ok(()));
    };
    if !known.is_there(&parent)? {
        return Ok(Err(ParentRefusal::Missing));
    }
    if known.is_there(&key)? {
        if let Some(current) = current.as_ref().filter(|current| **current != parent)
            && known.is_there(current)?
        {
            return Ok(Err(ParentRefusal::Taken));
        }
        let job = family::find(known.tx, &key)?.map(|(_, job)| job);
        if job.is_some_and(|job| job.state == stored::FAILED)
            && !knows_failed(known.tx, &key, current.as_ref(), &parent)?
        {
            return Ok(Err(ParentRefusal::ChildFailed));
        }
        let mut above = Some(parent.clone());
        let mut seen = BTreeSet::new();
        while let Some(one) = above.filter(|one| seen.insert(one.clone())) {
            if one == key {
                return Ok(Err(ParentRefusal::Circle));
            }
            above = known.parent_of(&one)?;
        }
    }
    own.insert(key, Some(parent));
    Ok(Ok(()))
}

/// Whether a failed job is a child of this parent already, which knows of it.
fn knows_failed(tx: &mut Tx<'_>, child: &JobKey, current: Option<&JobKey>, parent: &JobKey) -> Sql<bool> {
    if current != Some(parent) {
        return Ok(false);
    }
    let Some((queue, above)) = family::find(tx, parent)? else { return Ok(false) };
    for kind in [ChildKind::Pending, ChildKind::Ignored, ChildKind::Failed] {
        if family::knows(queue.db, &above, kind, child)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn insert_one(
    tx: &mut Tx<'_>,
    node: &PlannedNode<'_>,
    undoes: bool,
    now: Timestamp,
) -> Sql<Result<Added, ParentRefusal>> {
    if let Some(parent) = &node.parent
        && family::find(tx, &parent.key)?.is_none()
    {
        return Ok(Err(ParentRefusal::Missing));
    }
    let queue = tx.queue(node.queue, now)?;
    let number = queue.next_id();
    if let Some(id) = node.id
        && let Some(there) = JobRow::find(queue.db, queue.row.no, id)?
    {
        let state = there.state();
        if let Some(parent) = &node.parent
            && let Err(why) = attach(tx, &JobKey::new(node.queue.clone(), id), &there, parent, undoes)?
        {
            return Ok(Err(why));
        }
        tx.queue(node.queue, now)?.emit(now, &Event::of(id, EventKind::Duplicated))?;
        return Ok(Ok(Added::existing(id.clone(), state)));
    }
    let id = node.id.cloned().unwrap_or_else(|| JobId::stored(number.to_string()));
    let fate = match &node.options.deduplication {
        None => Fate::Created,
        Some(_) => match dedup::decide(tx, node.queue, number, &id, node.job, now)? {
            Decision::Create(fate) => fate,
            Decision::Not(added) => return Ok(Ok(added)),
        },
    };
    let new = add::New {
        number,
        own_id: node.id,
        job: node.job,
        options: &node.options,
        parent: node.parent.as_ref(),
        has_children: node.has_children,
        timestamp: node.options.created_at(now),
        flags: 0,
    };
    let state = add::create(tx.known(node.queue)?, &new, now)?;
    let added = Added::new(id, state, fate);
    if let Some(parent) = &node.parent {
        let child = JobKey::new(node.queue.clone(), &added.id);
        if let Some((queue, above)) = family::find(tx, &parent.key)? {
            family::put_child(queue.db, &above, ChildKind::Pending, &child, None, None)?;
        }
    }
    Ok(Ok(added))
}

/// Makes a job that is there somebody's child.
fn attach(
    tx: &mut Tx<'_>,
    key: &JobKey,
    job: &JobRow,
    parent: &Parent,
    undoes: bool,
) -> Sql<Result<(), ParentRefusal>> {
    let db = tx.settled()?;
    let current = family::tie(db, job)?.map(|parent| parent.key);
    let value: Option<Option<String>> = if job.has(flag::RESULT) {
        db.prepare_cached("SELECT returnvalue FROM oxmq_results WHERE seq = ?1")?
            .query_row([job.seq], |row| row.get(0))
            .optional()?
    } else {
        None
    };
    let value = value.flatten().unwrap_or_else(|| "null".into());
    if let Some(current) = current.as_ref().filter(|current| **current != parent.key)
        && family::find(tx, current)?.is_some()
    {
        return Ok(Err(ParentRefusal::Taken));
    }
    let is_settled =
        undoes && job.state == stored::FAILED && knows_failed(tx, key, current.as_ref(), &parent.key)?;
    let Some((queue, above)) = family::find(tx, &parent.key)? else {
        return Ok(Err(ParentRefusal::Missing));
    };
    if job.state == stored::COMPLETED {
        family::put_child(queue.db, &above, ChildKind::Processed, key, Some(&value), None)?;
    } else if !is_settled {
        family::put_child(queue.db, &above, ChildKind::Pending, key, None, None)?;
    }
    family::adopt(queue.db, job, parent)?;
    Ok(Ok(()))
}
