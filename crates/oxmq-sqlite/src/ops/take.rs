//! `take`: promote what is due, then give what is first in line.

use std::time::Duration;

use oxmq_core::store::{GROUP_JOBS_MAX, Idle, PROMOTE_PER_TAKE_MAX, RateLimit, TakeRequest, Taken};
use oxmq_core::{Event, EventKind, JobState, Lease, LeasedJob, QueueAddress, Timestamp, millis};
use rusqlite::{OptionalExtension, params};

use super::promote::promote_due;
use crate::fault::Sql;
use crate::row::{JOB_COLUMNS, JobRow, Payload, job_columns, stored, time_of};
use crate::tx::{QueueTx, Tx};

pub(crate) fn take(tx: &mut Tx<'_>, address: &QueueAddress, request: &TakeRequest) -> Sql<Taken> {
    // A queue that nobody added to is not made by looking.
    let Some(queue) = tx.find_queue(address)? else {
        tx.note_missing(address);
        let idle = (request.limit > 0).then_some(Idle::Empty { next_due: None });
        return Ok(Taken { jobs: Vec::new(), idle });
    };
    promote_due(queue, request.now, PROMOTE_PER_TAKE_MAX)?;
    let limit = request.limit.min(GROUP_JOBS_MAX);
    let rate = rate_for(queue, request.rate_limit);
    let mut taken = Taken::default();
    taken.idle = loop {
        let open = limit.saturating_sub(taken.jobs.len());
        if open == 0 {
            break None;
        }
        if let Some(idle) = held(queue, rate, request) {
            break Some(idle);
        }
        // Jobs that are only to be failed do not count against the limit, so there may be room for more after these.
        let room = match rate {
            Some(limit) => open.min(limit.max.saturating_sub(queue.row.rate_count) as usize),
            None => open,
        };
        let room = match queue.row.concurrency {
            0 => room,
            most => {
                let places = u64::from(most).saturating_sub(queue.row.counts.active);
                room.min(usize::try_from(places).unwrap_or(usize::MAX))
            }
        };
        let given = give(queue, request, rate, room)?;
        if given.is_empty() {
            break Some(Idle::Empty { next_due: next_due(queue)? });
        }
        taken.jobs.extend(given);
    };
    // Only what holds for every worker: one that has a limit of its own may find nothing where another does.
    if matches!(taken.idle, Some(Idle::Empty { .. } | Idle::Paused | Idle::Full)) {
        queue.note_idle();
    }
    Ok(taken)
}

/// The rate that holds for a worker that brings one of its own, or none.
fn rate_for(queue: &QueueTx<'_>, own: Option<RateLimit>) -> Option<RateLimit> {
    let row = &queue.row;
    let window = Duration::from_millis(row.rate_ms.unsigned_abs());
    let max = (row.rate_max > 0).then_some(row.rate_max).or(own.map(|own| own.max))?;
    let window = own.map(|own| own.window).or((row.rate_ms > 0).then_some(window))?;
    Some(RateLimit { max, window })
}

/// Why the queue gives nothing now, if so.
fn held(queue: &mut QueueTx<'_>, rate: Option<RateLimit>, request: &TakeRequest) -> Option<Idle> {
    let (row, now) = (&mut queue.row, request.now);
    let passes = request.until_needs_rate && rate.is_none();
    if let Some(until) = row.limited_until(rate.map(|rate| rate.max), now).filter(|_| !passes) {
        return Some(Idle::RateLimited { until });
    }
    if row.rate_until <= now.as_millis() {
        row.rate_count = 0;
    }
    if row.counts.paused {
        return Some(Idle::Paused);
    }
    row.is_full().then_some(Idle::Full)
}

/// The jobs that are first, with their payloads.
fn first_in_line(queue: &QueueTx<'_>, limit: usize) -> Sql<Vec<(JobRow, Payload)>> {
    let mut statement = queue.db.prepare_cached(concat!(
        "SELECT ",
        job_columns!(),
        ", name, data, opts FROM oxmq_jobs LEFT JOIN oxmq_payloads USING (seq) \
         WHERE queue = ?1 AND state = 1 ORDER BY rank, ord LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![queue.row.no, limit], |row| {
        Ok((JobRow::read(row)?, Payload::read(row, JOB_COLUMNS)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn give(
    queue: &mut QueueTx<'_>,
    request: &TakeRequest,
    rate: Option<RateLimit>,
    limit: usize,
) -> Sql<Vec<LeasedJob>> {
    let first = first_in_line(queue, limit)?;
    let now = request.now.as_millis();
    let token = (!request.token.is_none()).then(|| request.token.as_str());
    let lease_end = if token.is_some() { now.saturating_add(millis(request.lease_for)) } else { 0 };
    let mut given = Vec::with_capacity(first.len());
    for (mut row, payload) in first {
        let from = row.state();
        row.state = stored::ACTIVE;
        row.rank = queue.next_ord();
        row.ats += 1;
        row.processed_on = Some(now);
        if request.worker.is_some() {
            row.worker.clone_from(&request.worker);
        }
        queue.held.give.execute(
            queue.db,
            "UPDATE oxmq_jobs SET state = 3, rank = ?2, ord = ?3, token = ?4, worker = ?5, processed_on = ?6, \
             ats = ?7 WHERE seq = ?1",
            params![row.seq, row.rank, lease_end, token, row.worker, now, row.ats],
        )?;
        queue.count(Some(from), Some(JobState::Active));
        let job = row.job_of(payload, queue.db)?;
        if let Some(limit) = rate
            && job.deferred_failure.is_none()
        {
            queue.row.rate_count += 1;
            if queue.row.rate_count == 1 {
                queue.row.rate_until = now.saturating_add(millis(limit.window));
            }
        }
        queue.emit(request.now, &Event::of(&job.id, EventKind::Active { prev: "waiting".into() }))?;
        let lease = Lease { job: job.id.clone(), token: request.token.clone() };
        given.push(LeasedJob { job, lease });
    }
    Ok(given)
}

/// When the earliest delayed job is due.
fn next_due(queue: &QueueTx<'_>) -> Sql<Option<Timestamp>> {
    if queue.row.counts.delayed == 0 {
        return Ok(None);
    }
    let first: Option<i64> = queue
        .db
        .prepare_cached(
            "SELECT ord FROM oxmq_jobs WHERE queue = ?1 AND state = 2 AND rank = 0 ORDER BY ord LIMIT 1",
        )?
        .query_row([queue.row.no], |row| row.get(0))
        .optional()?;
    Ok(first.map(|ord| Timestamp::from_millis(time_of(ord))))
}
