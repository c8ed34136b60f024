//! `announce`: a worker is there, or gone.

use oxmq_core::QueueAddress;
use oxmq_core::store::AnnounceRequest;
use rusqlite::params;

use crate::fault::{Sql, SqlFault};
use crate::tx::Tx;

pub(crate) fn announce(tx: &mut Tx<'_>, address: &QueueAddress, request: &AnnounceRequest) -> Sql<()> {
    if request.ttl.is_zero() {
        if let Some(queue) = tx.find_queue(address)? {
            queue
                .db
                .prepare_cached("DELETE FROM oxmq_workers WHERE queue = ?1 AND id = ?2")?
                .execute(params![queue.row.no, request.worker.id])?;
        }
        return Ok(());
    }
    let queue = tx.queue(address, request.now)?;
    let info = serde_json::to_string(&request.worker).map_err(|error| SqlFault::Other(error.to_string()))?;
    queue
        .db
        .prepare_cached(
            "INSERT INTO oxmq_workers (queue, id, info, expires_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (queue, id) DO UPDATE SET info = excluded.info, expires_at = excluded.expires_at",
        )?
        .execute(params![queue.row.no, request.worker.id, info, (request.now + request.ttl).as_millis()])?;
    // Those who died without a word.
    queue
        .db
        .prepare_cached("DELETE FROM oxmq_workers WHERE queue = ?1 AND expires_at <= ?2")?
        .execute(params![queue.row.no, request.now.as_millis()])?;
    Ok(())
}
