//! `remove`: a job and all that belongs to it, its children, or both.

use std::collections::{BTreeMap, BTreeSet};

use oxmq_core::store::{
    ChildKind, REMOVE_JOBS_MAX, RemoveAnswer, RemoveRequest, RemoveScope, too_many_below,
};
use oxmq_core::{ErrorKind, Event, EventKind, JobId, JobKey, JobState, QueueAddress, Result, Timestamp};
use rusqlite::Connection;

use super::family::{Orphan, Parents};
use super::{family, place, refused, schedule};
use crate::fault::{Sql, SqlFault};
use crate::row::{JobRow, flag, stored};
use crate::tx::Tx;

pub(crate) fn remove(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &RemoveRequest,
) -> Sql<Result<RemoveAnswer>> {
    let RemoveRequest { job: id, scope, now } = request;
    let top = JobKey::new(address.clone(), id);
    let Some((_, job)) = family::find(tx, &top)? else { return Ok(Ok(RemoveAnswer::NotFound)) };
    let only_pending = *scope == RemoveScope::PendingChildren;
    if !only_pending && job.is_leased(*now) {
        return Ok(Ok(RemoveAnswer::Locked));
    }
    if *scope == RemoveScope::WithChildren && job.has(flag::CHILDREN) && is_held_below(tx, &top, *now)? {
        return Ok(Ok(RemoveAnswer::Locked));
    }
    if !only_pending && schedule::is_current(tx.settled()?, &job)? {
        return Ok(Err(schedule::needed_by_its_schedule("remove", address, id)));
    }
    let mut going = Vec::new();
    if scope.has_children() && job.has(flag::CHILDREN) {
        let Some(below) = below(tx, &top, only_pending, *now)? else {
            let message = too_many_below();
            return Ok(Err(refused(ErrorKind::Refused, "remove", message, address, id)));
        };
        going = below;
    }
    if only_pending {
        drop_gone(tx, &top)?;
    } else {
        going.push((top.clone(), None));
    }
    for (key, parent) in &going {
        // A parent that goes, too, is not released.
        if let Some(parent) = parent.as_ref().filter(|parent| !only_pending || **parent != top)
            && let Some((queue, above)) = family::find(tx, parent)?
        {
            family::drop_child(queue.db, &above, ChildKind::Pending, key)?;
        }
        remove_one(tx, key, *now)?;
    }
    if only_pending && let Some((queue, job)) = family::find(tx, &top)? {
        family::release_if_free(queue, &job, *now)?;
    }
    Ok(Ok(RemoveAnswer::Removed))
}

fn remove_one(tx: &mut Tx<'_>, key: &JobKey, now: Timestamp) -> Sql<()> {
    let Some((queue, job)) = family::find(tx, key)? else { return Ok(()) };
    let mut orphans: Vec<Orphan> = Vec::new();
    let was_full = queue.row.is_full();
    place::delete_by_hand(queue, &job, &mut orphans, now)?;
    queue.ring_place(was_full);
    family::removed(tx, &key.queue, orphans, Parents::Released, now)?;
    let prev = match job.state() {
        // The name of BullMQ's list.
        JobState::Waiting => "wait",
        state => state.as_str(),
    };
    tx.known(&key.queue)?.emit(now, &Event::of(&key.id, EventKind::Removed { prev: prev.into() }))?;
    Ok(())
}

/// The children that a job knows: all, or those it waits for.
fn children_of(db: &Connection, job: &JobRow, pending: bool) -> Sql<Vec<JobKey>> {
    if !job.has(flag::CHILDREN) {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare_cached(
        "SELECT prefix, name, id FROM oxmq_children WHERE parent = ?1 AND (kind = 2 OR NOT ?2) \
         ORDER BY kind = 2, kind, prefix, name, id",
    )?;
    let mut rows = statement.query(rusqlite::params![job.seq, pending])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (prefix, name, id): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let queue = QueueAddress::with_prefix(prefix, name)
            .map_err(|error| SqlFault::Corrupt(format!("a child's queue: {error}")))?;
        found.push(JobKey::new(queue, JobId::stored(id)));
    }
    Ok(found)
}

/// Jobs to be removed, each with the parent it was found by.
type Found = Vec<(JobKey, Option<JobKey>)>;

/// The jobs below one that have no other parent, children before their parents; `None` if there are too many. `pending`: only
/// by way of pending children, and none that is held or has failed, nor what is below those.
fn below(tx: &mut Tx<'_>, top: &JobKey, pending: bool, now: Timestamp) -> Sql<Option<Found>> {
    let mut seen = BTreeSet::from([top.clone()]);
    let mut found: Found = Vec::new();
    let mut parents: BTreeMap<JobKey, JobKey> = BTreeMap::new();
    let mut left = vec![top.clone()];
    while let Some(parent) = left.pop() {
        let Some((queue, job)) = family::find(tx, &parent)? else { continue };
        let children = children_of(queue.db, &job, pending)?;
        if parent != *top {
            let above = parents.get(&parent).cloned();
            found.push((parent.clone(), above));
        }
        if found.len() + left.len() > REMOVE_JOBS_MAX {
            return Ok(None);
        }
        for key in children {
            let Some((queue, job)) = family::find(tx, &key)? else { continue };
            let is_child = family::tie(queue.db, &job)?.is_some_and(|above| above.key == parent);
            let stays = pending && (job.is_leased(now) || job.state == stored::FAILED);
            if is_child && !stays && seen.insert(key.clone()) {
                parents.insert(key.clone(), parent.clone());
                left.push(key);
            }
        }
    }
    found.reverse();
    Ok(Some(found))
}

/// Whether somebody holds a job that this one waits for, however far below.
fn is_held_below(tx: &mut Tx<'_>, top: &JobKey, now: Timestamp) -> Sql<bool> {
    let mut seen = BTreeSet::from([top.clone()]);
    let mut left = vec![top.clone()];
    while let Some(key) = left.pop() {
        let Some((queue, job)) = family::find(tx, &key)? else { continue };
        if key != *top && job.is_leased(now) {
            return Ok(true);
        }
        for child in children_of(queue.db, &job, true)? {
            if seen.insert(child.clone()) {
                left.push(child);
            }
        }
    }
    Ok(false)
}

/// Children that are gone already are waited for no more.
fn drop_gone(tx: &mut Tx<'_>, top: &JobKey) -> Sql<()> {
    let Some((queue, job)) = family::find(tx, top)? else { return Ok(()) };
    for child in children_of(queue.db, &job, true)? {
        if family::find(tx, &child)?.is_none() {
            family::drop_child(tx.settled()?, &job, ChildKind::Pending, &child)?;
        }
    }
    Ok(())
}
