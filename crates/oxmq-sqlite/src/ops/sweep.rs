//! `sweep`: finished jobs whose age is over.

use oxmq_core::QueueAddress;
use oxmq_core::store::{Step, SweepRequest};
use rusqlite::params;

use super::family::Parents;
use super::{family, place};
use crate::fault::Sql;
use crate::tx::Tx;

pub(crate) fn sweep(tx: &mut Tx<'_>, address: &QueueAddress, request: &SweepRequest) -> Sql<Step> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(Step::default()) };
    let limit = place::step_limit(request.limit);
    // One more than is removed, to know whether there is more.
    let mut over = place::select(
        queue.db,
        place::select_jobs!(
            "WHERE queue = ?1 AND expire_at IS NOT NULL AND expire_at <= ?2 ORDER BY expire_at LIMIT ?3"
        ),
        params![queue.row.no, request.now.as_millis(), limit + 1],
    )?;
    let more = over.len() as u64 > limit.unsigned_abs();
    if more {
        over.pop();
    }
    let mut orphans = Vec::new();
    for job in &over {
        place::delete(queue, job, &mut orphans)?;
    }
    family::removed(tx, address, orphans, Parents::Released, request.now)?;
    Ok(Step { count: over.len() as u64, more, ..Step::default() })
}
