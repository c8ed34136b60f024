//! `recover`: bring back the jobs of dead workers.

use oxmq_core::store::{GROUP_JOBS_MAX, JobCounts, RecoverRequest, Recovered};
use oxmq_core::{Event, EventKind, QueueAddress};
use rusqlite::{Connection, params};

use super::{place, schedule};
use crate::fault::Sql;
use crate::row::flag;
use crate::tx::{QueueRow, Tx};

/// What a job that stalled too often fails with.
const STALLED_TOO_OFTEN: &str = "job stalled more than allowable limit";

/// The answer if no job is active, which is seen without writing.
pub(crate) fn nothing(db: &Connection, address: &QueueAddress) -> Sql<Option<Recovered>> {
    let counts = QueueRow::find(db, address)?.map(|row| row.counts).unwrap_or_default();
    Ok((counts.active == 0).then(|| Recovered { stalled: Vec::new(), empty: is_empty(&counts) }))
}

pub(crate) fn recover(tx: &mut Tx<'_>, address: &QueueAddress, request: &RecoverRequest) -> Sql<Recovered> {
    let Some(queue) = tx.find_queue(address)? else {
        return Ok(Recovered { stalled: Vec::new(), empty: true });
    };
    let now = request.now;
    // There are never many active jobs, so this looks at each of them, in the order in which they were taken.
    let stalled = place::select(
        queue.db,
        place::select_jobs!(
            "WHERE queue = ?1 AND state = 3 AND CASE WHEN token IS NULL THEN processed_on < ?3 ELSE ord <= ?2 END \
             ORDER BY rank LIMIT ?4"
        ),
        params![
            queue.row.no,
            now.as_millis(),
            now.minus(request.interval).as_millis(),
            i64::try_from(GROUP_JOBS_MAX).unwrap_or(i64::MAX)
        ],
    )?;
    let mut ids = Vec::with_capacity(stalled.len());
    for mut job in stalled {
        let stalled_count = job.stc + 1;
        // A schedule would end with its job.
        if stalled_count > request.max_stalled && !schedule::is_of_a_schedule(queue.db, queue.row.no, &job)? {
            queue
                .db
                .prepare_cached(
                    "INSERT INTO oxmq_results (seq, deferred_failure) VALUES (?1, ?2) \
                     ON CONFLICT (seq) DO UPDATE SET deferred_failure = excluded.deferred_failure",
                )?
                .execute(params![job.seq, STALLED_TOO_OFTEN])?;
            job.flags |= flag::RESULT;
        }
        queue
            .db
            .prepare_cached("UPDATE oxmq_jobs SET stc = ?2 WHERE seq = ?1")?
            .execute(params![job.seq, stalled_count])?;
        // In front of everybody, also if it has a priority.
        place::into_line(queue, &job, 0, true, "active", now)?;
        let id = job.id();
        queue.emit(now, &Event::of(&id, EventKind::Stalled))?;
        ids.push(id);
    }
    Ok(Recovered { stalled: ids, empty: is_empty(&queue.row.counts) })
}

/// Whether no job is active or comes to be so by itself.
fn is_empty(counts: &JobCounts) -> bool {
    counts.waiting + counts.prioritized + counts.delayed + counts.active == 0
}
