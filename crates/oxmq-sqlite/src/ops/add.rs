//! `add`: many jobs, group by group.

use std::time::Duration;

use oxmq_core::store::{AddRequest, Added, Fate, OnRefusal};
use oxmq_core::{
    Event, EventKind, JobId, JobOptions, JobState, NewJob, Parent, QueueAddress, Result, Timestamp, millis,
};
use rusqlite::params;

use super::dedup::{self, Decision};
use super::{family, flow, place};
use crate::fault::Sql;
use crate::row::{JobRow, flag, seq_of, stored};
use crate::tx::{QueueTx, Tx};

pub(crate) fn add(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &AddRequest,
) -> Sql<Vec<Result<Vec<Added>>>> {
    let is_tied = |job: &NewJob| job.options.parent.is_some();
    if request.groups.iter().any(|group| group.jobs.iter().any(is_tied)) {
        let nodes = request.plan(address);
        return flow::insert(tx, "add", request.groups.len(), &nodes, OnRefusal::UndoFlow, request.now);
    }
    tx.queue(address, request.now)?;
    let mut answers = Vec::with_capacity(request.groups.len());
    for group in &request.groups {
        // Nothing here refuses a job without a parent: what could be refused was, before. So a group is whole, or SQLite failed and
        // the transaction is undone.
        let added: Sql<Vec<Added>> =
            group.jobs.iter().map(|job| add_one(tx, address, job, request.now)).collect();
        answers.push(Ok(added?));
    }
    Ok(answers)
}

fn add_one(tx: &mut Tx<'_>, address: &QueueAddress, job: &NewJob, now: Timestamp) -> Sql<Added> {
    let queue = tx.known(address)?;
    // Spent also by a job that brings its own id, or is there already.
    let number = queue.next_id();
    let options = &job.options;
    if let Some(id) = &options.job_id
        && let Some(there) = JobRow::find(queue.db, queue.row.no, id)?
    {
        queue.emit(now, &Event::of(id, EventKind::Duplicated))?;
        return Ok(Added::existing(id.clone(), there.state()));
    }
    let id = id_of(number, job);
    let fate = match &options.deduplication {
        None => Fate::Created,
        Some(_) => match dedup::decide(tx, address, number, &id, job, now)? {
            Decision::Create(fate) => fate,
            Decision::Not(added) => return Ok(added),
        },
    };
    let timestamp = options.created_at(now);
    let own_id = options.job_id.as_ref();
    let new = New { number, own_id, job, options, parent: None, has_children: false, timestamp, flags: 0 };
    let state = create(tx.known(address)?, &new, now)?;
    Ok(Added::new(id, state, fate))
}

/// The id of a new job that got this number.
pub(super) fn id_of(number: i64, job: &NewJob) -> JobId {
    job.options.job_id.clone().unwrap_or_else(|| JobId::stored(number.to_string()))
}

/// A job that is not there yet.
pub(super) struct New<'a> {
    /// What the queue's counter gave for it.
    pub(super) number: i64,
    /// The id that is not that number.
    pub(super) own_id: Option<&'a JobId>,
    pub(super) job: &'a NewJob,
    pub(super) options: &'a JobOptions,
    pub(super) parent: Option<&'a Parent>,
    /// It waits for children that are added with it.
    pub(super) has_children: bool,
    pub(super) timestamp: Timestamp,
    /// Those that it has besides what its options say.
    pub(super) flags: i64,
}

/// Creates a job; where it is.
pub(super) fn create(queue: &mut QueueTx<'_>, new: &New<'_>, now: Timestamp) -> Sql<JobState> {
    let New { number, own_id, job, options, parent, has_children, timestamp, flags } = *new;
    let id = own_id.cloned().unwrap_or_else(|| JobId::stored(number.to_string()));
    let delay = options.delay.unwrap_or(Duration::ZERO);
    let priority = options.priority.unwrap_or(0);
    let lifo = options.lifo.unwrap_or(false);
    let due = timestamp + delay;
    let (state, rank, ord) = if has_children {
        (stored::WAITING_CHILDREN, 0, place::timed_ord(queue, stored::WAITING_CHILDREN, timestamp)?)
    } else if delay.is_zero() {
        (stored::WAITING, priority, place::line_ord(queue, lifo && priority == 0))
    } else {
        (stored::DELAYED, 0, place::timed_ord(queue, stored::DELAYED, due)?)
    };
    let flags = flags
        | if lifo { flag::LIFO } else { 0 }
        | if parent.is_some() { flag::PARENT } else { 0 }
        | if options.deduplication.is_some() { flag::DEDUPLICATION } else { 0 };
    let seq = seq_of(queue.row.no, number);
    queue.held.insert_job.execute(
        queue.db,
        "INSERT INTO oxmq_jobs (seq, queue, custom_id, state, rank, ord, priority, flags, delay, timestamp) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            seq,
            queue.row.no,
            own_id.map(JobId::as_str),
            state,
            rank,
            ord,
            priority,
            flags,
            millis(delay),
            timestamp.as_millis(),
        ],
    )?;
    queue.held.insert_payload.execute(
        queue.db,
        "INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, ?2, ?3, ?4)",
        params![seq, job.name, job.data.as_str(), options.to_json().as_str()],
    )?;

    if let Some(parent) = parent {
        family::put_parent(queue.db, seq, parent)?;
    }
    queue.emit(now, &Event::of(&id, EventKind::Added { name: job.name.clone() }))?;
    let (state, kind) = if has_children {
        (JobState::WaitingChildren, EventKind::WaitingChildren { prev: None })
    } else if delay.is_zero() {
        (place::line_state(priority), EventKind::Waiting { prev: None })
    } else {
        (JobState::Delayed, EventKind::Delayed { at: due })
    };
    queue.emit(now, &Event::of(&id, kind))?;
    queue.count(None, Some(state));
    queue.ring_work();
    Ok(state)
}
