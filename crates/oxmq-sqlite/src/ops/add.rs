//! `add`: many jobs, group by group.

use std::time::Duration;

use oxmq_core::store::{AddRequest, Added, Fate};
use oxmq_core::{Event, EventKind, JobId, JobState, NewJob, QueueAddress, Result, Timestamp, millis};
use rusqlite::params;

use super::dedup::{self, Decision};
use super::place;
use crate::fault::Sql;
use crate::row::{JobRow, flag, seq_of, stored};
use crate::tx::{QueueTx, Tx};

pub(crate) fn add(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &AddRequest,
) -> Sql<Vec<Result<Vec<Added>>>> {
    let queue = tx.queue(address, request.now)?;
    let mut answers = Vec::with_capacity(request.groups.len());
    for group in &request.groups {
        // Nothing here refuses a job: what could be refused was, before. So a group is whole, or SQLite failed and
        // the transaction is undone.
        let added: Sql<Vec<Added>> = group.jobs.iter().map(|job| add_one(queue, job, request.now)).collect();
        answers.push(Ok(added?));
    }
    Ok(answers)
}

fn add_one(queue: &mut QueueTx<'_>, job: &NewJob, now: Timestamp) -> Sql<Added> {
    // Spent also by a job that brings its own id, or is there already.
    let number = queue.next_id();
    let options = &job.options;
    if let Some(id) = &options.job_id
        && let Some(there) = JobRow::find(queue.db, queue.row.no, id)?
    {
        queue.emit(now, &Event::of(id, EventKind::Duplicated))?;
        return Ok(Added::existing(id.clone(), there.state()));
    }
    let fate = match &options.deduplication {
        None => Fate::Created,
        Some(deduplication) => match dedup::decide(queue, number, job, deduplication, now)? {
            Decision::Create(fate) => fate,
            Decision::Not(added) => return Ok(added),
        },
    };
    let state = create(queue, number, job, options.timestamp.unwrap_or(now), now)?;
    Ok(Added::new(id_of(number, job), state, fate))
}

/// The id of a new job that got this number.
pub(super) fn id_of(number: i64, job: &NewJob) -> JobId {
    job.options.job_id.clone().unwrap_or_else(|| JobId::stored(number.to_string()))
}

/// Creates a job that got this number; where it is.
pub(super) fn create(
    queue: &mut QueueTx<'_>,
    number: i64,
    job: &NewJob,
    timestamp: Timestamp,
    now: Timestamp,
) -> Sql<JobState> {
    let options = &job.options;
    let id = id_of(number, job);
    let delay = options.delay.unwrap_or(Duration::ZERO);
    let priority = options.priority.unwrap_or(0);
    let lifo = options.lifo.unwrap_or(false);
    let due = timestamp + delay;
    let (state, rank, ord) = if delay.is_zero() {
        (stored::WAITING, priority, place::line_ord(queue, lifo && priority == 0))
    } else {
        (stored::DELAYED, 0, place::timed_ord(queue, stored::DELAYED, due)?)
    };
    let flags = if lifo { flag::LIFO } else { 0 }
        | if options.deduplication.is_some() { flag::DEDUPLICATION } else { 0 };
    let seq = seq_of(queue.row.no, number);
    queue
        .db
        .prepare_cached(
            "INSERT INTO oxmq_jobs (seq, queue, custom_id, state, rank, ord, priority, flags, delay, timestamp) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            seq,
            queue.row.no,
            options.job_id.as_ref().map(JobId::as_str),
            state,
            rank,
            ord,
            priority,
            flags,
            millis(delay),
            timestamp.as_millis(),
        ])?;
    queue
        .db
        .prepare_cached("INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![seq, job.name, job.data.as_str(), options.to_json().as_str()])?;

    queue.emit(now, &Event::of(&id, EventKind::Added { name: job.name.clone() }))?;
    let (state, kind) = if delay.is_zero() {
        (place::line_state(priority), EventKind::Waiting { prev: None })
    } else {
        (JobState::Delayed, EventKind::Delayed { at: due })
    };
    queue.emit(now, &Event::of(&id, kind))?;
    queue.count(None, Some(state));
    queue.ring_work();
    Ok(state)
}
