//! `obliterate`: everything of a queue, step by step.

use oxmq_core::store::{ObliterateRequest, Step};
use oxmq_core::{Error, ErrorKind, Event, EventKind, QueueAddress, Result};
use rusqlite::params;

use super::family::Parents;
use super::{family, place};
use crate::fault::Sql;
use crate::tx::Tx;

pub(crate) fn obliterate(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &ObliterateRequest,
) -> Sql<Result<Step>> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(Ok(Step::default())) };
    if !queue.row.counts.paused {
        queue.row.counts.paused = true;
        queue.emit(request.now, &Event::queue(EventKind::Paused))?;
    }
    let active = queue.row.counts.active;
    if !request.force && active > 0 {
        let message =
            format!("{active} jobs are active: wait for them, or force it; the queue is paused now");
        return Ok(Err(Error::new(ErrorKind::Refused, "obliterate", message).with("queue", address)));
    }
    let no = queue.row.no;
    let mut orphans = Vec::new();
    let limit = place::step_limit(request.limit);
    // First those that wait for children: none of them is to be released.
    let mut count = place::delete_all_by_hand(
        queue,
        request.now,
        place::select_jobs!("WHERE queue = ?1 AND state = 6 LIMIT ?2"),
        params![no, limit],
        &mut orphans,
    )?;
    count += place::delete_all_by_hand(
        queue,
        request.now,
        place::select_jobs!("WHERE queue = ?1 LIMIT ?2"),
        params![no, limit - count.cast_signed()],
        &mut orphans,
    )?;
    family::removed(tx, address, orphans, Parents::Released, request.now)?;
    let queue = tx.known(address)?;
    let left: bool = queue
        .db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM oxmq_jobs WHERE queue = ?1)")?
        .query_row([queue.row.no], |row| row.get(0))?;
    if !left {
        for statement in [
            "DELETE FROM oxmq_events WHERE queue = ?1",
            "DELETE FROM oxmq_workers WHERE queue = ?1",
            "DELETE FROM oxmq_claims WHERE queue = ?1",
            "DELETE FROM oxmq_successors WHERE queue = ?1",
            "DELETE FROM oxmq_metrics WHERE queue = ?1",
            "DELETE FROM oxmq_metric_points WHERE queue = ?1",
            "DELETE FROM oxmq_schedules WHERE queue = ?1",
            "DELETE FROM oxmq_fields WHERE queue = ?1",
        ] {
            queue.db.prepare_cached(statement)?.execute([queue.row.no])?;
        }
        tx.remove_queue(address)?;
    }
    Ok(Ok(Step { count, more: left, ..Step::default() }))
}
