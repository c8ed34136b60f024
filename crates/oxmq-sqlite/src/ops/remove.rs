//! `remove`: one job and all that belongs to it.

use oxmq_core::store::{RemoveAnswer, RemoveRequest};
use oxmq_core::{Event, EventKind, JobState, QueueAddress, Result};

use super::{place, schedule};
use crate::fault::Sql;
use crate::row::JobRow;
use crate::tx::Tx;

pub(crate) fn remove(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &RemoveRequest,
) -> Sql<Result<RemoveAnswer>> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(Ok(RemoveAnswer::NotFound)) };
    let Some(job) = JobRow::find(queue.db, queue.row.no, &request.job)? else {
        return Ok(Ok(RemoveAnswer::NotFound));
    };
    if job.is_leased(request.now) {
        return Ok(Ok(RemoveAnswer::Locked));
    }
    if schedule::is_current(queue.db, &job)? {
        return Ok(Err(schedule::needed_by_its_schedule("remove", address, &request.job)));
    }
    place::delete(queue, &job)?;
    let prev = match job.state() {
        // The name of BullMQ's list.
        JobState::Waiting => "wait",
        state => state.as_str(),
    };
    queue.emit(request.now, &Event::of(&request.job, EventKind::Removed { prev: prev.into() }))?;
    Ok(Ok(RemoveAnswer::Removed))
}
