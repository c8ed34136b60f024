//! `drain`: remove what waits.

use oxmq_core::QueueAddress;
use oxmq_core::store::{DrainRequest, Step};
use rusqlite::params;

use super::family::Parents;
use super::{family, place};
use crate::fault::Sql;
use crate::row::stored;
use crate::tx::Tx;

pub(crate) fn drain(tx: &mut Tx<'_>, address: &QueueAddress, request: &DrainRequest) -> Sql<Step> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(Step::default()) };
    let last = if request.delayed { stored::DELAYED } else { stored::WAITING };
    let (no, limit) = (queue.row.no, place::step_limit(request.limit));
    let mut orphans = Vec::new();
    let count = place::delete_all_by_hand(
        queue,
        request.now,
        place::select_jobs!(
            "WHERE queue = ?1 AND state BETWEEN 1 AND ?2 AND (flags & 128 = 0 OR NOT EXISTS \
             (SELECT 1 FROM oxmq_schedules WHERE job = seq)) ORDER BY state, rank, ord LIMIT ?3"
        ),
        params![no, last, limit],
        &mut orphans,
    )?;
    family::removed(tx, address, orphans, Parents::GoAlong, request.now)?;
    let queue = tx.known(address)?;
    let counts = &queue.row.counts;
    let left = counts.waiting + counts.prioritized + if request.delayed { counts.delayed } else { 0 };
    // The current jobs of schedules stay: there is more only if this step was full.
    Ok(Step { count, more: left > 0 && i64::try_from(count) == Ok(limit), ..Step::default() })
}
