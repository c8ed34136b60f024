//! `retry`: run finished jobs again.

use oxmq_core::store::{RetryRequest, Step};
use oxmq_core::{ErrorKind, JobKey, JobState, QueueAddress, Result, Timestamp};
use rusqlite::params;

use super::{family, not_found, place, refused, unknown_request};
use crate::fault::Sql;
use crate::row::{JobRow, flag, ords_of, stored};
use crate::tx::Tx;

pub(crate) fn retry(tx: &mut Tx<'_>, address: &QueueAddress, request: &RetryRequest) -> Sql<Result<Step>> {
    match request {
        RetryRequest::One { job: id, state, reset_attempts_made, reset_attempts_started, now } => {
            let missing = || Ok(Err(not_found("retry", address, id)));
            let Some(queue) = tx.find_queue(address)? else { return missing() };
            let Some(job) = JobRow::find(queue.db, queue.row.no, id)? else { return missing() };
            if job.state() != *state || !state.is_final() {
                let message = format!("the job is {}, not {state}", job.state());
                return Ok(Err(refused(ErrorKind::WrongState, "retry", message, address, id)));
            }
            queue
                .db
                .prepare_cached(
                    "UPDATE oxmq_jobs SET atm = iif(?2, 0, atm), ats = iif(?3, 0, ats) WHERE seq = ?1",
                )?
                .execute(params![job.seq, reset_attempts_made, reset_attempts_started])?;
            again(tx, address, &job, *now)?;
            Ok(Ok(Step { count: 1, ..Step::default() }))
        }
        RetryRequest::Many { state, finished_until, limit, now } => {
            let Some(queue) = tx.find_queue(address)? else { return Ok(Ok(Step::default())) };
            let stored = match state {
                JobState::Completed => stored::COMPLETED,
                JobState::Failed => stored::FAILED,
                _ => return Ok(Ok(Step::default())),
            };
            let limit = place::step_limit(*limit);
            // One more than is moved, to know whether there is more.
            let mut found = place::select(
                queue.db,
                place::select_jobs!(
                    "WHERE queue = ?1 AND state = ?2 AND rank = 0 AND ord <= ?3 ORDER BY ord LIMIT ?4"
                ),
                params![queue.row.no, stored, ords_of(*finished_until).1, limit + 1],
            )?;
            let more = found.len() as u64 > limit.unsigned_abs();
            if more {
                found.pop();
            }
            for job in &found {
                again(tx, address, job, *now)?;
            }
            Ok(Ok(Step { count: found.len() as u64, more, ..Step::default() }))
        }
        _ => Err(unknown_request()),
    }
}

fn again(tx: &mut Tx<'_>, address: &QueueAddress, job: &JobRow, now: Timestamp) -> Sql<()> {
    let state = job.state();
    let queue = tx.known(address)?;
    if let Some(parent) = family::tie(queue.db, job)? {
        family::child_retried(tx, &JobKey::new(address.clone(), job.id()), &parent, state, now)?;
    }
    let queue = tx.known(address)?;
    if job.has(flag::RESULT) {
        let forget = if state == JobState::Completed {
            "UPDATE oxmq_results SET returnvalue = NULL WHERE seq = ?1"
        } else {
            "UPDATE oxmq_results SET failed_reason = NULL WHERE seq = ?1"
        };
        queue.db.prepare_cached(forget)?.execute([job.seq])?;
    }
    let front = job.has(flag::LIFO) && job.priority == 0;
    place::into_line(queue, job, job.priority, front, state.as_str(), now)?;
    queue.db.prepare_cached("UPDATE oxmq_jobs SET processed_on = NULL WHERE seq = ?1")?.execute([job.seq])?;
    Ok(())
}
