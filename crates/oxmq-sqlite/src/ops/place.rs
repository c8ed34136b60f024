//! Moves that several verbs share: into line, into `delayed`, into finished, into oblivion. Each keeps the counts of
//! the queue's row.

use oxmq_core::{Event, EventKind, JobState, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::family::{self, Orphan};
use crate::fault::Sql;
use crate::row::{JobRow, flag, job_columns, ords_of, stored};
use crate::tx::QueueTx;

/// Where waiting jobs of a priority are.
pub(super) fn line_state(rank: u32) -> JobState {
    if rank > 0 { JobState::Prioritized } else { JobState::Waiting }
}

/// The next place in line: at the back, or in front of everybody.
pub(super) fn line_ord(queue: &mut QueueTx<'_>, front: bool) -> i64 {
    let ord = queue.next_ord();
    if front { -ord } else { ord }
}

/// Puts a job into line: by a rank, at the back or in front of its equals. Writes `waiting`.
pub(super) fn into_line(
    queue: &mut QueueTx<'_>,
    job: &JobRow,
    rank: u32,
    front: bool,
    prev: &str,
    now: Timestamp,
) -> Sql<()> {
    let ord = line_ord(queue, front);
    queue
        .db
        .prepare_cached(
            "UPDATE oxmq_jobs SET state = 1, rank = ?2, ord = ?3, token = NULL, finished_on = NULL, \
             expire_at = NULL, flags = ?4 WHERE seq = ?1",
        )?
        .execute(params![job.seq, rank, ord, job.flags & !flag::CANCEL])?;
    drop_cancel(queue.db, job)?;
    queue.count(Some(job.state()), Some(line_state(rank)));
    queue.emit(now, &Event::of(&job.id(), EventKind::Waiting { prev: Some(prev.into()) }))?;
    queue.ring_work();
    Ok(())
}

/// Makes a job due at `due`. Writes `delayed`.
pub(super) fn into_delayed(
    queue: &mut QueueTx<'_>,
    job: &JobRow,
    delay_ms: i64,
    due: Timestamp,
    now: Timestamp,
) -> Sql<()> {
    let ord = timed_ord(queue, stored::DELAYED, due)?;
    queue
        .db
        .prepare_cached(
            "UPDATE oxmq_jobs SET state = 2, rank = 0, ord = ?2, delay = ?3, token = NULL, flags = ?4 \
             WHERE seq = ?1",
        )?
        .execute(params![job.seq, ord, delay_ms, job.flags & !flag::CANCEL])?;
    drop_cancel(queue.db, job)?;
    queue.count(Some(job.state()), Some(JobState::Delayed));
    queue.emit(now, &Event::of(&job.id(), EventKind::Delayed { at: due }))?;
    // Whoever sleeps until a later job is due has to look again.
    queue.ring_work();
    Ok(())
}

/// The place of a job that is due, or finished, at `time`: behind those of the same millisecond.
pub(super) fn timed_ord(queue: &QueueTx<'_>, state: i64, time: Timestamp) -> Sql<i64> {
    let (first, last) = ords_of(time);
    let highest: Option<i64> = queue
        .db
        .prepare_cached(
            "SELECT ord FROM oxmq_jobs WHERE queue = ?1 AND state = ?2 AND rank = 0 AND ord BETWEEN ?3 AND ?4 \
             ORDER BY ord DESC LIMIT 1",
        )?
        .query_row(params![queue.row.no, state, first, last], |row| row.get(0))
        .optional()?;
    Ok(highest.map_or(first, |highest| (highest + 1).min(last)))
}

/// A request to cancel dies with the attempt.
pub(super) fn drop_cancel(db: &Connection, job: &JobRow) -> Sql<()> {
    if job.has(flag::CANCEL) {
        db.prepare_cached("DELETE FROM oxmq_cancels WHERE seq = ?1")?.execute([job.seq])?;
    }
    Ok(())
}

/// Deletes a job and all that belongs to it. Tells nobody; a job that had a parent is added to `orphans`, which are for
/// [`family::removed`] to be told of.
pub(super) fn delete(queue: &mut QueueTx<'_>, job: &JobRow, orphans: &mut Vec<Orphan>) -> Sql<()> {
    let db = queue.db;
    if let Some(parent) = family::tie(db, job)? {
        orphans.push(Orphan { id: job.id(), parent: parent.key });
        db.prepare_cached("DELETE FROM oxmq_parents WHERE seq = ?1")?.execute([job.seq])?;
    }
    if job.has(flag::CHILDREN) {
        db.prepare_cached("DELETE FROM oxmq_children WHERE parent = ?1")?.execute([job.seq])?;
    }
    db.prepare_cached("DELETE FROM oxmq_jobs WHERE seq = ?1")?.execute([job.seq])?;
    db.prepare_cached("DELETE FROM oxmq_payloads WHERE seq = ?1")?.execute([job.seq])?;
    if job.has(flag::RESULT) {
        db.prepare_cached("DELETE FROM oxmq_results WHERE seq = ?1")?.execute([job.seq])?;
    }
    if job.has(flag::LOGS) {
        db.prepare_cached("DELETE FROM oxmq_logs WHERE seq = ?1")?.execute([job.seq])?;
    }
    drop_cancel(db, job)?;
    queue.count(Some(job.state()), None);
    Ok(())
}

/// The jobs that a query of [`job_columns`] names.
pub(super) fn select(db: &Connection, query: &str, parameters: impl rusqlite::Params) -> Sql<Vec<JobRow>> {
    let mut statement = db.prepare_cached(query)?;
    let rows = statement.query_map(parameters, JobRow::read)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Deletes the jobs that a query of [`job_columns`] names, as [`delete`] does; returns how many.
pub(super) fn delete_all(
    queue: &mut QueueTx<'_>,
    query: &str,
    parameters: impl rusqlite::Params,
    orphans: &mut Vec<Orphan>,
) -> Sql<u64> {
    let jobs = select(queue.db, query, parameters)?;
    for job in &jobs {
        delete(queue, job, orphans)?;
    }
    Ok(jobs.len() as u64)
}

/// Forgets what was to happen to a job at its next start: it has failed.
pub(super) fn clear_deferred_failure(db: &Connection, job: &JobRow) -> Sql<()> {
    db.prepare_cached("UPDATE oxmq_results SET deferred_failure = NULL WHERE seq = ?1")?
        .execute([job.seq])?;
    Ok(())
}

/// Stores why a job failed, and notes in the row (to be written by the caller) that there is a result.
pub(super) fn store_failure(
    db: &Connection,
    job: &mut JobRow,
    reason: &str,
    stacktrace: Option<&str>,
) -> Sql<()> {
    db.prepare_cached(
        "INSERT INTO oxmq_results (seq, failed_reason, stacktrace) VALUES (?1, ?2, ?3) ON CONFLICT (seq) DO \
         UPDATE SET failed_reason = excluded.failed_reason, stacktrace = coalesce(excluded.stacktrace, stacktrace)",
    )?
    .execute(params![job.seq, reason, stacktrace])?;
    job.flags |= flag::RESULT;
    Ok(())
}

/// Moves a job to completed or failed.
pub(super) fn into_finished(
    queue: &mut QueueTx<'_>,
    job: &JobRow,
    state: JobState,
    ord: i64,
    attempts_made: u32,
    expire_at: Option<i64>,
    now: Timestamp,
) -> Sql<()> {
    let stored = if state == JobState::Completed { stored::COMPLETED } else { stored::FAILED };
    queue
        .db
        .prepare_cached(
            "UPDATE oxmq_jobs SET state = ?2, rank = 0, ord = ?3, finished_on = ?4, token = NULL, atm = ?5, \
             expire_at = ?6, flags = ?7 WHERE seq = ?1",
        )?
        .execute(params![
            job.seq,
            stored,
            ord,
            now.as_millis(),
            attempts_made,
            expire_at,
            job.flags & !flag::CANCEL
        ])?;
    drop_cancel(queue.db, job)?;
    queue.count(Some(job.state()), Some(state));
    Ok(())
}

/// Bounds a caller's limit to one step.
#[allow(clippy::cast_possible_wrap, reason = "at most 1,000")]
pub(super) fn step_limit(limit: usize) -> i64 {
    limit.clamp(1, oxmq_core::store::GROUP_JOBS_MAX) as i64
}

/// The query for jobs of `oxmq_jobs` with the rest of a statement behind.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!("SELECT ", crate::row::job_columns!(), " FROM oxmq_jobs ", $rest)
    };
}
pub(super) use select_jobs;

/// The job with this row number, if it is still there.
pub(super) fn by_seq(db: &Connection, seq: i64) -> Sql<Option<JobRow>> {
    let query = concat!("SELECT ", job_columns!(), " FROM oxmq_jobs WHERE seq = ?1");
    Ok(db.prepare_cached(query)?.query_row([seq], JobRow::read).optional()?)
}
