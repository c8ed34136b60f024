//! `publish`: an event of the users' own; `trim_events`: letting go of old ones.

use oxmq_core::store::TrimEventsRequest;
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

pub(crate) fn trim_events(tx: &mut Tx<'_>, address: &QueueAddress, request: &TrimEventsRequest) -> Sql<u64> {
    let queue = tx.queue(address, request.now)?;
    if request.from_now_on {
        queue.keep_events(request.keep)?;
    }
    queue.trim_events_to(request.keep)
}
