//! `publish`: an event of the users' own.

use oxmq_core::{Event, EventId, QueueAddress, Timestamp};

use super::look;
use crate::fault::Sql;
use crate::tx::Tx;

pub(crate) fn publish(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    event: &Event,
    now: Timestamp,
) -> Sql<EventId> {
    let queue = tx.queue(address, now)?;
    let number = queue.emit(now, event)?;
    Ok(look::event_id(queue.row.no, number.cast_signed()))
}
