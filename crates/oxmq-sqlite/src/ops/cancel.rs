//! `cancel`: end what has not started, ask for what runs.

use oxmq_core::store::{CancelAnswer, CancelRequest};
use oxmq_core::{Event, EventKind, JobKey, JobState, QueueAddress, Result, WorkerInfo};
use rusqlite::{OptionalExtension, params};

use super::{dedup, family, not_found, place, schedule};
use crate::fault::Sql;
use crate::row::{JobRow, flag, stored};
use crate::tx::{QueueTx, Tx};

pub(crate) fn cancel(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &CancelRequest,
) -> Sql<Result<CancelAnswer>> {
    let missing = || Ok(Err(not_found("cancel", address, &request.job)));
    let Some(queue) = tx.find_queue(address)? else { return missing() };
    let Some(mut job) = JobRow::find(queue.db, queue.row.no, &request.job)? else { return missing() };
    let state = job.state();
    if state.is_final() {
        return Ok(Ok(CancelAnswer::Finished(state)));
    }
    if state == JobState::Active {
        return ask(queue, &job, request).map(Ok);
    }
    if schedule::is_current(queue.db, &job)? {
        return Ok(Err(schedule::needed_by_its_schedule("cancel", address, &request.job)));
    }
    let reason = format!("cancelled: {}", request.reason);
    dedup::finished(queue, &job, request.now)?;
    if let Some(parent) = family::tie(queue.db, &job)? {
        let child = JobKey::new(address.clone(), &request.job);
        family::child_failed(tx, &child, &parent, &reason, request.now)?;
    }
    let queue = tx.known(address)?;
    place::store_failure(queue.db, &mut job, &reason, None)?;
    place::clear_deferred_failure(queue.db, &job)?;
    let ord = place::timed_ord(queue, stored::FAILED, request.now)?;
    place::into_finished(queue, &job, JobState::Failed, ord, job.atm, None, request.now)?;
    let kind = EventKind::Failed { reason, prev: state.as_str().into() };
    queue.emit(request.now, &Event::of(&request.job, kind))?;
    Ok(Ok(CancelAnswer::Cancelled))
}

fn ask(queue: &mut QueueTx<'_>, job: &JobRow, request: &CancelRequest) -> Sql<CancelAnswer> {
    let unreachable = || Ok(CancelAnswer::Unreachable { worker: job.worker.clone() });
    let holder =
        job.token.as_deref().and_then(|token| token.rsplit_once(':').map(|(worker, _)| (token, worker)));
    let Some((token, worker_id)) = holder else { return unreachable() };
    let info: Option<String> = queue
        .db
        .prepare_cached("SELECT info FROM oxmq_workers WHERE queue = ?1 AND id = ?2 AND expires_at > ?3")?
        .query_row(params![queue.row.no, worker_id, request.now.as_millis()], |row| row.get(0))
        .optional()?;
    let Some(info) = info else { return unreachable() };
    // The first request stands: its reason may be known to the worker already.
    queue
        .db
        .prepare_cached(
            "INSERT OR IGNORE INTO oxmq_cancels (seq, token, reason, at_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![job.seq, token, request.reason, request.now.as_millis()])?;
    queue
        .db
        .prepare_cached("UPDATE oxmq_jobs SET flags = flags | ?2 WHERE seq = ?1")?
        .execute(params![job.seq, flag::CANCEL])?;
    queue.ring_cancel();
    let name = serde_json::from_str::<WorkerInfo>(&info).ok().and_then(|info| info.name);
    Ok(CancelAnswer::Requested { worker: name.unwrap_or_else(|| worker_id.to_owned()) })
}
