//! `limit`: nothing is given before a time.

use oxmq_core::store::LimitRequest;
use oxmq_core::{QueueAddress, Timestamp};

use crate::fault::Sql;
use crate::tx::Tx;

pub(crate) fn limit(tx: &mut Tx<'_>, address: &QueueAddress, request: &LimitRequest) -> Sql<()> {
    let queue = tx.queue(address, request.now)?;
    queue.row.limited_until = request.until.map_or(0, Timestamp::as_millis);
    if request.until.is_none() {
        // Lifting a limit ends the window of the workers' own limit too.
        queue.row.rate_count = 0;
        queue.row.rate_until = 0;
    }
    // Also when one is set: a limit that was there may end earlier now.
    queue.ring_work();
    Ok(())
}
