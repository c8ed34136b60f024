//! `clean`: remove what is old. The search runs on a reader's connection, because it may have to pass over many
//! jobs; only the removal holds up the writer.

use oxmq_core::store::{CleanRequest, Step};
use oxmq_core::{Event, EventKind, JobState, QueueAddress};
use rusqlite::{Connection, params};

use super::family::Parents;
use super::{family, look, place, schedule};
use crate::fault::Sql;
use crate::row::JobRow;
use crate::tx::Tx;

/// What the search asks of a job; the removal asks the same again.
fn is_old(job: &JobRow, request: &CleanRequest) -> bool {
    let then = match request.state {
        JobState::Waiting | JobState::Prioritized => job.timestamp,
        _ => job.finished_on.or(job.processed_on).unwrap_or(job.timestamp),
    };
    job.state() == request.state && then <= request.older_than.as_millis() && !job.is_leased(request.now)
}

/// The jobs that are old, in the order in which they go. One more than the limit, to know whether there is more.
pub(crate) fn find(db: &Connection, address: &QueueAddress, request: &CleanRequest) -> Sql<Vec<i64>> {
    let Some(queue) = look::queue_no(db, address)? else { return Ok(Vec::new()) };
    let limit = usize::try_from(place::step_limit(request.limit)).unwrap_or(1);
    let (state, ranks) = look::range_of(request.state);
    let mut statement = db.prepare_cached(place::select_jobs!(
        "WHERE queue = ?1 AND state = ?2 AND rank BETWEEN ?3 AND ?4 ORDER BY rank, ord"
    ))?;
    let mut rows = statement.query(params![queue, state, ranks.start(), ranks.end()])?;
    let mut found = Vec::new();
    while found.len() <= limit
        && let Some(row) = rows.next()?
    {
        let job = JobRow::read(row)?;
        if is_old(&job, request) {
            if schedule::is_current(db, &job)? {
                continue;
            }
            found.push(job.seq);
        } else if request.state.is_final() {
            // They are in the order in which they finished: the rest is younger.
            break;
        }
    }
    Ok(found)
}

/// Removes those of `found` that are still as they were found.
pub(crate) fn clean(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &CleanRequest,
    found: &[i64],
) -> Sql<Step> {
    let queue = tx.queue(address, request.now)?;
    let limit = usize::try_from(place::step_limit(request.limit)).unwrap_or(1);
    let was_full = queue.row.is_full();
    let mut step = Step { more: found.len() > limit, ..Step::default() };
    let mut orphans = Vec::new();
    for seq in found.iter().take(limit) {
        if let Some(job) = place::by_seq(queue.db, *seq)?.filter(|job| is_old(job, request))
            && !schedule::is_current(queue.db, &job)?
        {
            place::delete_by_hand(queue, &job, &mut orphans, request.now)?;
            step.ids.push(job.id());
        }
    }
    step.count = step.ids.len() as u64;
    family::removed(tx, address, orphans, Parents::GoAlong, request.now)?;
    let queue = tx.known(address)?;
    queue.ring_place(was_full);
    queue.emit(request.now, &Event::queue(EventKind::Cleaned { count: step.count }))?;
    Ok(step)
}
