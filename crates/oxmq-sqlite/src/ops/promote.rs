//! `promote`: let delayed jobs run; those that are due, one, or all.

use oxmq_core::store::{PromoteRequest, Step};
use oxmq_core::{ErrorKind, QueueAddress, Result, Timestamp};
use rusqlite::params;

use super::{not_found, place, refused, unknown_request};
use crate::fault::Sql;
use crate::row::{JobRow, ords_of, stored};
use crate::tx::{QueueTx, Tx};

pub(crate) fn promote(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &PromoteRequest,
) -> Sql<Result<Step>> {
    match request {
        PromoteRequest::One { job: id, now } => {
            let missing = || Ok(Err(not_found("promote", address, id)));
            let Some(queue) = tx.find_queue(address)? else { return missing() };
            let Some(job) = JobRow::find(queue.db, queue.row.no, id)? else { return missing() };
            if job.state != stored::DELAYED {
                let message = format!("the job is {}, not delayed", job.state());
                return Ok(Err(refused(ErrorKind::WrongState, "promote", message, address, id)));
            }
            release(queue, &job, *now)?;
            Ok(Ok(Step { count: 1, ..Step::default() }))
        }
        PromoteRequest::All { limit, now } => {
            let Some(queue) = tx.find_queue(address)? else { return Ok(Ok(Step::default())) };
            let count = release_until(queue, i64::MAX, place::step_limit(*limit), *now)?;
            Ok(Ok(Step { count, more: queue.row.counts.delayed > 0, ..Step::default() }))
        }
        _ => Err(unknown_request()),
    }
}

/// Promotes what is due at `now`, the earliest first.
pub(super) fn promote_due(queue: &mut QueueTx<'_>, now: Timestamp, limit: usize) -> Sql<u64> {
    if queue.row.counts.delayed == 0 {
        return Ok(0);
    }
    release_until(queue, ords_of(now).1, i64::try_from(limit).unwrap_or(i64::MAX), now)
}

fn release_until(queue: &mut QueueTx<'_>, last_ord: i64, limit: i64, now: Timestamp) -> Sql<u64> {
    let due = place::select(
        queue.db,
        place::select_jobs!(
            "WHERE queue = ?1 AND state = 2 AND rank = 0 AND ord <= ?2 ORDER BY ord LIMIT ?3"
        ),
        params![queue.row.no, last_ord, limit],
    )?;
    for job in &due {
        release(queue, job, now)?;
    }
    Ok(due.len() as u64)
}

fn release(queue: &mut QueueTx<'_>, job: &JobRow, now: Timestamp) -> Sql<()> {
    queue.db.prepare_cached("UPDATE oxmq_jobs SET delay = 0 WHERE seq = ?1")?.execute([job.seq])?;
    place::into_line(queue, job, job.priority, false, "delayed", now)
}
