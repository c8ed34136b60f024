//! `pause` and `resume`.

use oxmq_core::{Event, EventKind, QueueAddress, Timestamp};

use crate::fault::Sql;
use crate::tx::Tx;

pub(crate) fn pause(tx: &mut Tx<'_>, address: &QueueAddress, now: Timestamp) -> Sql<()> {
    let queue = tx.queue(address, now)?;
    queue.row.counts.paused = true;
    queue.emit(now, &Event::queue(EventKind::Paused))?;
    Ok(())
}

pub(crate) fn resume(tx: &mut Tx<'_>, address: &QueueAddress, now: Timestamp) -> Sql<()> {
    let queue = tx.queue(address, now)?;
    queue.row.counts.paused = false;
    queue.emit(now, &Event::queue(EventKind::Resumed))?;
    queue.ring_work();
    Ok(())
}
