//! `reschedule`: another time, or another priority.

use oxmq_core::store::{Change, RescheduleRequest};
use oxmq_core::{ErrorKind, QueueAddress, Result, millis};
use rusqlite::params;

use super::{not_found, place, refused, unknown_request};
use crate::fault::Sql;
use crate::row::{JobRow, stored};
use crate::tx::Tx;

pub(crate) fn reschedule(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &RescheduleRequest,
) -> Sql<Result<()>> {
    let missing = || Ok(Err(not_found("reschedule", address, &request.job)));
    let Some(queue) = tx.find_queue(address)? else { return missing() };
    let Some(job) = JobRow::find(queue.db, queue.row.no, &request.job)? else { return missing() };
    match request.change {
        Change::Delay(delay) => {
            if job.state != stored::DELAYED {
                let message = format!("the job is {}, not delayed", job.state());
                return Ok(Err(refused(ErrorKind::WrongState, "reschedule", message, address, &request.job)));
            }
            place::into_delayed(queue, &job, millis(delay), request.now + delay, request.now)?;
        }
        Change::Priority { priority, lifo } => {
            if job.state == stored::WAITING {
                let ord = place::line_ord(queue, lifo);
                queue
                    .db
                    .prepare_cached("UPDATE oxmq_jobs SET rank = ?2, ord = ?3 WHERE seq = ?1")?
                    .execute(params![job.seq, priority, ord])?;
                queue.count(Some(job.state()), Some(place::line_state(priority)));
            }
            queue
                .db
                .prepare_cached("UPDATE oxmq_jobs SET priority = ?2 WHERE seq = ?1")?
                .execute(params![job.seq, priority])?;
        }
        _ => return Err(unknown_request()),
    }
    Ok(Ok(()))
}
