//! `note`: progress, log lines, new data.

use oxmq_core::store::{Note, NoteRequest};
use oxmq_core::{Event, EventKind, QueueAddress, Result};
use rusqlite::{Connection, params};

use super::{not_found, unknown_request};
use crate::fault::Sql;
use crate::row::{JobRow, flag};
use crate::tx::Tx;

pub(crate) fn note(tx: &mut Tx<'_>, address: &QueueAddress, request: &NoteRequest) -> Sql<Result<u64>> {
    let missing = || Ok(Err(not_found("note", address, &request.job)));
    let Some(queue) = tx.find_queue(address)? else { return missing() };
    let db = queue.db;
    let Some(job) = JobRow::find(db, queue.row.no, &request.job)? else { return missing() };
    match &request.note {
        Note::Progress(progress) => {
            db.prepare_cached(
                "INSERT INTO oxmq_results (seq, progress) VALUES (?1, ?2) \
                 ON CONFLICT (seq) DO UPDATE SET progress = excluded.progress",
            )?
            .execute(params![job.seq, progress.as_str()])?;
            set_flag(db, &job, flag::RESULT)?;
            let kind = EventKind::Progress { data: progress.clone() };
            queue.emit(request.now, &Event::of(&request.job, kind))?;
            Ok(Ok(0))
        }
        Note::Log { line, keep } => {
            db.prepare_cached("INSERT INTO oxmq_logs (seq, no, line) VALUES (?1, ?2, ?3)")?
                .execute(params![job.seq, last_line(db, job.seq)? + 1, line])?;
            set_flag(db, &job, flag::LOGS)?;
            keep_lines(db, job.seq, *keep)?;
            line_count(db, job.seq).map(Ok)
        }
        Note::ClearLogs { keep } => {
            keep_lines(db, job.seq, Some(keep.unwrap_or(0)))?;
            line_count(db, job.seq).map(Ok)
        }
        Note::Data(data) => {
            db.prepare_cached("UPDATE oxmq_payloads SET data = ?2 WHERE seq = ?1")?
                .execute(params![job.seq, data.as_str()])?;
            Ok(Ok(0))
        }
        _ => Err(unknown_request()),
    }
}

fn set_flag(db: &Connection, job: &JobRow, bit: i64) -> Sql<()> {
    if !job.has(bit) {
        db.prepare_cached("UPDATE oxmq_jobs SET flags = flags | ?2 WHERE seq = ?1")?
            .execute(params![job.seq, bit])?;
    }
    Ok(())
}

/// Removes all lines but the newest `keep`.
fn keep_lines(db: &Connection, seq: i64, keep: Option<u32>) -> Sql<()> {
    if let Some(keep) = keep {
        let last = last_line(db, seq)?;
        db.prepare_cached("DELETE FROM oxmq_logs WHERE seq = ?1 AND no <= ?2")?
            .execute(params![seq, last - i64::from(keep)])?;
    }
    Ok(())
}

fn last_line(db: &Connection, seq: i64) -> Sql<i64> {
    let mut statement = db.prepare_cached("SELECT coalesce(max(no), 0) FROM oxmq_logs WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| row.get(0))?)
}

/// Lines are only removed from the old end, so their numbers have no gaps.
pub(super) fn line_count(db: &Connection, seq: i64) -> Sql<u64> {
    let mut statement = db.prepare_cached("SELECT min(no) FROM oxmq_logs WHERE seq = ?1")?;
    let first: Option<i64> = statement.query_row([seq], |row| row.get(0))?;
    let Some(first) = first else { return Ok(0) };
    Ok(u64::try_from(last_line(db, seq)? - first + 1).unwrap_or(0))
}
