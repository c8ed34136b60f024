//! Metrics: how many jobs ended in each minute. Points of 0 have no row.

use oxmq_core::store::{METRICS_POINTS_MAX, MetricsPage, MetricsRequest};
use oxmq_core::{JobState, QueueAddress, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::look;
use crate::fault::Sql;
use crate::row::stored;
use crate::tx::QueueTx;

/// The row of a state.
struct Ended {
    total: i64,
    prev_at: i64,
    prev_total: i64,
    points: i64,
}

impl Ended {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { total: row.get(0)?, prev_at: row.get(1)?, prev_total: row.get(2)?, points: row.get(3)? })
    }

    fn find(db: &Connection, queue: i64, state: i64) -> Sql<Option<Self>> {
        Ok(db
            .prepare_cached(
                "SELECT total, prev_at, prev_total, points FROM oxmq_metrics WHERE queue = ?1 AND state = ?2",
            )?
            .query_row([queue, state], Self::read)
            .optional()?)
    }
}

fn minute(ms: i64) -> i64 {
    ms.div_euclid(60_000)
}

fn stored_state(state: JobState) -> Option<i64> {
    match state {
        JobState::Completed => Some(stored::COMPLETED),
        JobState::Failed => Some(stored::FAILED),
        _ => None,
    }
}

/// Counts jobs that ended in a state at `now`, and keeps so many points.
pub(super) fn count(queue: &QueueTx<'_>, state: JobState, ended: i64, keep: u32, now: Timestamp) -> Sql<()> {
    let (Some(state), Some(keep)) = (stored_state(state), (keep > 0).then_some(i64::from(keep))) else {
        return Ok(());
    };
    let (db, no, now) = (queue.db, queue.row.no, now.as_millis());
    let found = Ended::find(db, no, state)?;
    let mut row = found.unwrap_or(Ended { total: 0, prev_at: now, prev_total: 0, points: 0 });
    let passed = (minute(now) - minute(row.prev_at)).min(keep);
    if passed > 0 {
        let newest = minute(now);
        let running = row.total - row.prev_total;
        if running > 0 {
            db.prepare_cached(
                "INSERT OR REPLACE INTO oxmq_metric_points (queue, state, minute, ended) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![no, state, newest - passed, running])?;
        }
        db.prepare_cached("DELETE FROM oxmq_metric_points WHERE queue = ?1 AND state = ?2 AND minute < ?3")?
            .execute(params![no, state, newest - keep])?;
        row.points = (row.points + passed).min(keep);
        row.prev_at = now;
        row.prev_total = row.total;
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO oxmq_metrics (queue, state, total, prev_at, prev_total, points) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![no, state, row.total + ended, row.prev_at, row.prev_total, row.points])?;
    Ok(())
}

pub(crate) fn metrics(db: &Connection, address: &QueueAddress, request: &MetricsRequest) -> Sql<MetricsPage> {
    let none = || Ok(MetricsPage::default());
    let Some(queue) = look::queue_no(db, address)? else { return none() };
    let Some(state) = stored_state(request.state) else { return none() };
    let Some(row) = Ended::find(db, queue, state)? else { return none() };
    let length = usize::try_from(row.points).unwrap_or(0);
    let from = usize::try_from(request.offset).unwrap_or(usize::MAX).min(length);
    let count = request.limit.min(METRICS_POINTS_MAX as usize).min(length - from);
    let mut points = vec![0; count];
    // The newest point is the minute before that of `prev_at`.
    let newest = minute(row.prev_at) - 1 - i64::try_from(from).unwrap_or(i64::MAX);
    let oldest = newest.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX)) + 1;
    let mut statement = db.prepare_cached(
        "SELECT minute, ended FROM oxmq_metric_points WHERE queue = ?1 AND state = ?2 AND minute BETWEEN ?3 AND ?4",
    )?;
    let mut rows = statement.query(params![queue, state, oldest, newest])?;
    while let Some(row) = rows.next()? {
        let (minute, ended): (i64, i64) = (row.get(0)?, row.get(1)?);
        let place = usize::try_from(newest - minute).ok().and_then(|place| points.get_mut(place));
        if let Some(point) = place {
            *point = u64::try_from(ended).unwrap_or(0);
        }
    }
    Ok(MetricsPage {
        total: u64::try_from(row.total).unwrap_or(0),
        prev_at: Some(Timestamp::from_millis(row.prev_at)),
        prev_total: u64::try_from(row.prev_total).unwrap_or(0),
        points,
        length: length as u64,
    })
}
