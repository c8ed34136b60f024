//! `add`: many jobs, group by group.

use std::time::Duration;

use oxmq_core::store::{AddRequest, Added};
use oxmq_core::{Event, EventKind, JobId, JobState, NewJob, QueueAddress, Result, Timestamp, millis};
use rusqlite::params;

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
    let id = options.job_id.clone().unwrap_or_else(|| JobId::stored(number.to_string()));
    let state = create(queue, number, &id, job, 0, now)?;
    Ok(Added::created(id, state))
}

/// Puts a new job where it belongs, and tells it. `number` is the one that it spent, `flags` are those that it has besides
/// what its options say.
pub(super) fn create(
    queue: &mut QueueTx<'_>,
    number: i64,
    id: &JobId,
    job: &NewJob,
    flags: i64,
    now: Timestamp,
) -> Sql<JobState> {
    let options = &job.options;
    let timestamp = options.timestamp.unwrap_or(now);
    let delay = options.delay.unwrap_or(Duration::ZERO);
    let priority = options.priority.unwrap_or(0);
    let lifo = options.lifo.unwrap_or(false);
    let due = timestamp + delay;
    let (state, rank, ord) = if delay.is_zero() {
        (stored::WAITING, priority, place::line_ord(queue, lifo && priority == 0))
    } else {
        (stored::DELAYED, 0, place::timed_ord(queue, stored::DELAYED, due)?)
    };
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
            if lifo { flags | flag::LIFO } else { flags },
            millis(delay),
            timestamp.as_millis(),
        ])?;
    queue
        .db
        .prepare_cached("INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![seq, job.name, job.data.as_str(), options.to_json().as_str()])?;

    queue.emit(now, &Event::of(id, EventKind::Added { name: job.name.clone() }))?;
    let (state, kind) = if delay.is_zero() {
        (place::line_state(priority), EventKind::Waiting { prev: None })
    } else {
        (JobState::Delayed, EventKind::Delayed { at: due })
    };
    queue.emit(now, &Event::of(id, kind))?;
    queue.count(None, Some(state));
    queue.ring_work();
    Ok(state)
}
