//! `limit` and `limits`: what bounds a whole queue.

use std::time::Duration;

use oxmq_core::store::{Limit, LimitRequest, QueueLimits, RateLimit, RateWindow};
use oxmq_core::{QueueAddress, Timestamp, millis};
use rusqlite::Connection;

use super::unknown_request;
use crate::fault::Sql;
use crate::tx::{QueueRow, Tx};

pub(crate) fn limit(tx: &mut Tx<'_>, address: &QueueAddress, request: &LimitRequest) -> Sql<()> {
    let queue = tx.queue(address, request.now)?;
    let row = &mut queue.row;
    match request.limit {
        Limit::Until(until) => {
            row.limited_until = until.map_or(0, Timestamp::as_millis);
            // As on Redis, where both are one key.
            row.rate_count = 0;
            row.rate_until = 0;
        }
        Limit::Concurrency(most) => row.concurrency = most.unwrap_or(0),
        Limit::Rate(rate) => {
            row.rate_max = rate.map_or(0, |rate| rate.max);
            row.rate_ms = rate.map_or(0, |rate| millis(rate.window).max(1));
        }
        _ => return Err(unknown_request()),
    }
    // Also when one is set: a limit that was there may have ended later, or been narrower.
    queue.ring_work();
    Ok(())
}

pub(crate) fn limits(db: &Connection, address: &QueueAddress, now: Timestamp) -> Sql<QueueLimits> {
    let mut limits = QueueLimits::default();
    let Some(row) = QueueRow::find(db, address)? else { return Ok(limits) };
    let max = (row.rate_max > 0).then_some(row.rate_max);
    limits.until = row.limited_until(max, now);
    limits.concurrency = (row.concurrency > 0).then_some(row.concurrency);
    let window = Duration::from_millis(row.rate_ms.unsigned_abs());
    limits.rate = max.filter(|_| row.rate_ms > 0).map(|max| RateLimit { max, window });
    let ends = |end: i64| (end > now.as_millis()).then(|| Timestamp::from_millis(end));
    limits.by_hand = ends(row.limited_until);
    limits.window = ends(row.rate_until).map(|until| RateWindow::new(u64::from(row.rate_count), until));
    limits.is_full = row.is_full();
    Ok(limits)
}
