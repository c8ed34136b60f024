//! Parents and children: what happens to a parent when something happens to a child.

use oxmq_core::store::{ChildKind, DetachRequest};
use oxmq_core::{
    ChildFailure, Error, ErrorKind, Event, EventKind, JobId, JobKey, JobState, Parent, QueueAddress, Result,
    Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{not_found, place};
use crate::fault::Sql;
use crate::row::{JobRow, flag, parent_of, stored};
use crate::tx::{QueueTx, Tx};

/// The number of a kind in the table.
pub(crate) fn kind_no(kind: ChildKind) -> i64 {
    match kind {
        ChildKind::Processed => 1,
        ChildKind::Ignored => 3,
        ChildKind::Failed => 4,
        // Pending; there are no others.
        _ => 2,
    }
}

/// A job of which only its parent is left to be told.
pub(crate) struct Orphan {
    pub(crate) id: JobId,
    pub(crate) parent: JobKey,
}

/// What becomes of a parent in the queue of a removed child, if that was the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parents {
    Released,
    GoAlong,
}

/// A job that is there, with its queue.
pub(super) fn find<'t, 'c>(tx: &'t mut Tx<'c>, key: &JobKey) -> Sql<Option<(&'t mut QueueTx<'c>, JobRow)>> {
    let Some(queue) = tx.find_queue(&key.queue)? else { return Ok(None) };
    let job = JobRow::find(queue.db, queue.row.no, &key.id)?;
    Ok(job.map(|job| (queue, job)))
}

/// Whether a parent waits for any child.
pub(super) fn has_pending(db: &Connection, parent: &JobRow) -> Sql<bool> {
    has_any(db, parent, ChildKind::Pending)
}

/// Whether a parent knows any child of a kind.
pub(super) fn has_any(db: &Connection, parent: &JobRow, kind: ChildKind) -> Sql<bool> {
    if !parent.has(flag::CHILDREN) {
        return Ok(false);
    }
    Ok(db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM oxmq_children WHERE parent = ?1 AND kind = ?2)")?
        .query_row([parent.seq, kind_no(kind)], |row| row.get(0))?)
}

/// Whether a parent knows a child as one of a kind.
pub(super) fn knows(db: &Connection, parent: &JobRow, kind: ChildKind, child: &JobKey) -> Sql<bool> {
    if !parent.has(flag::CHILDREN) {
        return Ok(false);
    }
    let found: Option<i64> = db
        .prepare_cached(
            "SELECT 1 FROM oxmq_children WHERE parent = ?1 AND kind = ?2 AND prefix = ?3 AND name = ?4 AND id = ?5",
        )?
        .query_row(
            params![parent.seq, kind_no(kind), child.queue.prefix(), child.queue.name(), child.id.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.is_some())
}

/// Forgets a child as one of a kind; whether it was one.
pub(super) fn drop_child(db: &Connection, parent: &JobRow, kind: ChildKind, child: &JobKey) -> Sql<bool> {
    if !parent.has(flag::CHILDREN) {
        return Ok(false);
    }
    let dropped = db
        .prepare_cached(
            "DELETE FROM oxmq_children WHERE parent = ?1 AND kind = ?2 AND prefix = ?3 AND name = ?4 AND id = ?5",
        )?
        .execute(params![
            parent.seq,
            kind_no(kind),
            child.queue.prefix(),
            child.queue.name(),
            child.id.as_str()
        ])?;
    Ok(dropped > 0)
}

/// Notes a child as one of a kind.
pub(super) fn put_child(
    db: &Connection,
    parent: &JobRow,
    kind: ChildKind,
    child: &JobKey,
    value: Option<&str>,
    at: Option<Timestamp>,
) -> Sql<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO oxmq_children (parent, kind, prefix, name, id, value, at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        parent.seq,
        kind_no(kind),
        child.queue.prefix(),
        child.queue.name(),
        child.id.as_str(),
        value,
        at.map(Timestamp::as_millis)
    ])?;
    if !parent.has(flag::CHILDREN) {
        set_flag(db, parent, flag::CHILDREN)?;
    }
    Ok(())
}

fn set_flag(db: &Connection, job: &JobRow, bit: i64) -> Sql<()> {
    db.prepare_cached("UPDATE oxmq_jobs SET flags = flags | ?2 WHERE seq = ?1")?.execute([job.seq, bit])?;
    Ok(())
}

/// Stores whose child a job is.
pub(super) fn put_parent(db: &Connection, child: i64, parent: &Parent) -> Sql<()> {
    let on_failure = match parent.on_failure {
        Some(ChildFailure::FailParent) => 1,
        Some(ChildFailure::ContinueParent) => 2,
        Some(ChildFailure::Ignore) => 3,
        Some(ChildFailure::Remove) => 4,
        _ => 0,
    };
    let JobKey { queue, id } = &parent.key;
    db.prepare_cached(
        "INSERT OR REPLACE INTO oxmq_parents (seq, prefix, name, id, on_failure) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![child, queue.prefix(), queue.name(), id.as_str(), on_failure])?;
    Ok(())
}

/// The same of a job that had none.
pub(super) fn adopt(db: &Connection, child: &JobRow, parent: &Parent) -> Sql<()> {
    put_parent(db, child.seq, parent)?;
    set_flag(db, child, flag::PARENT)
}

fn deferred_failure(db: &Connection, job: &JobRow) -> Sql<Option<String>> {
    if !job.has(flag::RESULT) {
        return Ok(None);
    }
    let found: Option<Option<String>> = db
        .prepare_cached("SELECT deferred_failure FROM oxmq_results WHERE seq = ?1")?
        .query_row([job.seq], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

fn set_deferred_failure(db: &Connection, job: &mut JobRow, reason: Option<&str>) -> Sql<()> {
    db.prepare_cached(
        "INSERT INTO oxmq_results (seq, deferred_failure) VALUES (?1, ?2) \
         ON CONFLICT (seq) DO UPDATE SET deferred_failure = excluded.deferred_failure",
    )?
    .execute(params![job.seq, reason])?;
    job.flags |= flag::RESULT;
    set_flag(db, job, flag::RESULT)
}

/// The deferred failure of a parent.
fn failure_of(child: &JobKey) -> String {
    format!("child {child} failed")
}

/// Puts a parent that waits, for its children or for its time, to those that run.
fn run_parent(queue: &mut QueueTx<'_>, job: &JobRow, now: Timestamp) -> Sql<()> {
    if job.delay > 0 {
        if deferred_failure(queue.db, job)?.is_none() {
            let delay = std::time::Duration::from_millis(job.delay.unsigned_abs());
            return place::into_delayed(queue, job, job.delay, now + delay, now);
        }
        queue.db.prepare_cached("UPDATE oxmq_jobs SET delay = 0 WHERE seq = ?1")?.execute([job.seq])?;
    }
    place::into_line(queue, job, job.priority, job.priority == 0, "waiting-children", now)
}

/// Lets a parent run that waits for its children, if it does.
fn release(queue: &mut QueueTx<'_>, job: &JobRow, now: Timestamp) -> Sql<()> {
    if job.state == stored::WAITING_CHILDREN { run_parent(queue, job, now) } else { Ok(()) }
}

/// The same, if no child is left to wait for.
pub(super) fn release_if_free(queue: &mut QueueTx<'_>, job: &JobRow, now: Timestamp) -> Sql<()> {
    if job.state != stored::WAITING_CHILDREN || has_pending(queue.db, job)? {
        return Ok(());
    }
    run_parent(queue, job, now)
}

/// The parent of a job, if it has one.
pub(super) fn tie(db: &Connection, job: &JobRow) -> Sql<Option<Parent>> {
    if job.has(flag::PARENT) { parent_of(db, job.seq) } else { Ok(None) }
}

/// A child has completed.
pub(super) fn child_completed(
    tx: &mut Tx<'_>,
    child: &JobKey,
    parent: &Parent,
    value: &str,
    now: Timestamp,
) -> Sql<()> {
    let Some((queue, above)) = find(tx, &parent.key)? else { return Ok(()) };
    if !drop_child(queue.db, &above, ChildKind::Pending, child)? {
        return Ok(());
    }
    put_child(queue.db, &above, ChildKind::Processed, child, Some(value), None)?;
    release_if_free(queue, &above, now)
}

/// A child has failed for good.
pub(super) fn child_failed(
    tx: &mut Tx<'_>,
    child: &JobKey,
    parent: &Parent,
    reason: &str,
    now: Timestamp,
) -> Sql<()> {
    let Some(choice) = parent.on_failure else { return Ok(()) };
    let Some((queue, mut above)) = find(tx, &parent.key)? else { return Ok(()) };
    if !drop_child(queue.db, &above, ChildKind::Pending, child)? {
        return Ok(());
    }
    match choice {
        ChildFailure::FailParent => {
            put_child(queue.db, &above, ChildKind::Failed, child, None, Some(now))?;
            if above.state == stored::FAILED {
                return Ok(());
            }
            set_deferred_failure(queue.db, &mut above, Some(&failure_of(child)))?;
            if matches!(above.state, stored::DELAYED | stored::WAITING_CHILDREN) {
                run_parent(queue, &above, now)?;
            }
            Ok(())
        }
        ChildFailure::ContinueParent => {
            put_child(queue.db, &above, ChildKind::Ignored, child, Some(reason), None)?;
            release(queue, &above, now)
        }
        ChildFailure::Ignore => {
            put_child(queue.db, &above, ChildKind::Ignored, child, Some(reason), None)?;
            release_if_free(queue, &above, now)
        }
        // Remove; there are no others.
        _ => release_if_free(queue, &above, now),
    }
}

/// A finished child runs again, from this state.
pub(super) fn child_retried(
    tx: &mut Tx<'_>,
    child: &JobKey,
    parent: &Parent,
    state: JobState,
    now: Timestamp,
) -> Sql<()> {
    let Some((queue, mut above)) = find(tx, &parent.key)? else { return Ok(()) };
    let db = queue.db;
    let was_known = if state == JobState::Completed {
        drop_child(db, &above, ChildKind::Processed, child)?
    } else {
        let was_failed = drop_child(db, &above, ChildKind::Failed, child)?;
        drop_child(db, &above, ChildKind::Ignored, child)? || was_failed
    };
    if !was_known {
        return Ok(());
    }
    put_child(db, &above, ChildKind::Pending, child, None, None)?;
    if deferred_failure(db, &above)?.as_deref() != Some(failure_of(child).as_str()) {
        return Ok(());
    }
    let other: Option<String> = db
        .prepare_cached(
            "SELECT prefix || ':' || name || ':' || id AS key FROM oxmq_children WHERE parent = ?1 AND kind = 4 \
             ORDER BY at_ms DESC, key DESC LIMIT 1",
        )?
        .query_row([above.seq], |row| row.get(0))
        .optional()?;
    let reason = other.map(|key| format!("child {key} failed"));
    set_deferred_failure(db, &mut above, reason.as_deref())?;
    if reason.is_none() && above.state == stored::WAITING {
        let prev = above.state();
        into_waiting_children(queue, &above, now, Some(prev), now)?;
    }
    Ok(())
}

/// Makes a job wait for its children. Writes `waiting-children`.
pub(super) fn into_waiting_children(
    queue: &mut QueueTx<'_>,
    job: &JobRow,
    since: Timestamp,
    prev: Option<JobState>,
    now: Timestamp,
) -> Sql<()> {
    let ord = place::timed_ord(queue, stored::WAITING_CHILDREN, since)?;
    queue
        .db
        .prepare_cached(
            "UPDATE oxmq_jobs SET state = 6, rank = 0, ord = ?2, token = NULL, flags = ?3 WHERE seq = ?1",
        )?
        .execute(params![job.seq, ord, job.flags & !flag::CANCEL])?;
    place::drop_cancel(queue.db, job)?;
    queue.count(Some(job.state()), Some(JobState::WaitingChildren));
    let prev = prev.map(|prev| prev.as_str().into());
    queue.emit(now, &Event::of(&job.id(), EventKind::WaitingChildren { prev }))?;
    Ok(())
}

/// Jobs of a queue are removed: their parents wait for them no more.
pub(super) fn removed(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    mut orphans: Vec<Orphan>,
    parents: Parents,
    now: Timestamp,
) -> Sql<()> {
    let mut at = 0;
    while let Some(Orphan { id, parent }) = orphans.get(at) {
        at += 1;
        let child = JobKey::new(address.clone(), id);
        let goes = parents == Parents::GoAlong && parent.queue == *address;
        let Some((queue, above)) = find(tx, parent)? else { continue };
        if !drop_child(queue.db, &above, ChildKind::Pending, &child)? {
            continue;
        }
        if goes && above.state == stored::WAITING_CHILDREN && !has_pending(queue.db, &above)? {
            let prev = JobState::WaitingChildren.as_str().into();
            queue.emit(now, &Event::of(&above.id(), EventKind::Removed { prev }))?;
            let mut above_it = Vec::new();
            place::delete(queue, &above, &mut above_it)?;
            orphans.splice(at..at, above_it);
        } else {
            release_if_free(queue, &above, now)?;
        }
    }
    Ok(())
}

pub(crate) fn detach(tx: &mut Tx<'_>, address: &QueueAddress, request: &DetachRequest) -> Sql<Result<bool>> {
    let child = JobKey::new(address.clone(), &request.child);
    let Some((queue, job)) = find(tx, &child)? else {
        return Ok(Err(not_found("detach", address, &request.child)));
    };
    let Some(parent) = tie(queue.db, &job)? else { return Ok(Ok(false)) };
    let Some((queue, above)) = find(tx, &parent.key)? else {
        let error = Error::new(ErrorKind::NotFound, "detach", "the parent is not there");
        return Ok(Err(error.with("job", &parent.key)));
    };
    if !drop_child(queue.db, &above, ChildKind::Pending, &child)? {
        return Ok(Ok(false));
    }
    release_if_free(queue, &above, request.now)?;
    queue.db.prepare_cached("DELETE FROM oxmq_parents WHERE seq = ?1")?.execute([job.seq])?;
    queue
        .db
        .prepare_cached("UPDATE oxmq_jobs SET flags = flags & ~?2 WHERE seq = ?1")?
        .execute([job.seq, flag::PARENT])?;
    Ok(Ok(true))
}
