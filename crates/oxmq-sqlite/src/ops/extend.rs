//! `extend`: keep leases, and say who is to stop.

use oxmq_core::store::{ExtendRequest, Extended};
use oxmq_core::{QueueAddress, millis};
use rusqlite::params;

use crate::fault::Sql;
use crate::row::{JobRow, flag};
use crate::tx::Tx;

pub(crate) fn extend(tx: &mut Tx<'_>, address: &QueueAddress, request: &ExtendRequest) -> Sql<Vec<Extended>> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(vec![Extended::Lost; request.leases.len()]) };
    let until = request.now.as_millis().saturating_add(millis(request.lease_for));
    let mut answers = Vec::with_capacity(request.leases.len());
    for lease in &request.leases {
        // Only an active job has a token.
        let job = JobRow::find(queue.db, queue.row.no, &lease.job)?
            .filter(|job| job.token.as_deref() == Some(lease.token.as_str()));
        let Some(job) = job else {
            answers.push(Extended::Lost);
            continue;
        };
        queue
            .db
            .prepare_cached("UPDATE oxmq_jobs SET ord = ?2 WHERE seq = ?1")?
            .execute(params![job.seq, until])?;
        answers.push(if job.has(flag::CANCEL) {
            let reason = queue
                .db
                .prepare_cached("SELECT reason FROM oxmq_cancels WHERE seq = ?1")?
                .query_row([job.seq], |row| row.get(0))?;
            Extended::CancelRequested { reason }
        } else {
            Extended::Kept
        });
    }
    Ok(answers)
}
