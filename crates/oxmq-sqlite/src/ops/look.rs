//! Everything that only reads.

use std::ops::RangeInclusive;

use oxmq_core::store::{
    Cancellation, CancellationsRequest, EventsPage, GROUP_JOBS_MAX, JobCounts, JobsPage, JobsRequest,
    LogsPage, LogsRequest, QueueInfo, Tally,
};
use oxmq_core::{
    EventCursor, EventId, JobId, JobState, JobView, Lease, Order, PRIORITY_MAX, QueueAddress, StoredEvent,
    Timestamp, Token, WorkerInfo,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{note, place};
use crate::event_body;
use crate::fault::Sql;
use crate::row::{JobRow, job_columns, ords_of, stored};
use crate::tx::QueueRow;

pub(crate) fn queue_no(conn: &Connection, address: &QueueAddress) -> Sql<Option<i64>> {
    let found = conn
        .prepare_cached("SELECT no FROM oxmq_queues WHERE prefix = ?1 AND name = ?2")?
        .query_row([address.prefix(), address.name()], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The stored state and the ranks that a state is.
pub(crate) fn range_of(state: JobState) -> (i64, RangeInclusive<i64>) {
    match state {
        JobState::Waiting => (stored::WAITING, 0..=0),
        JobState::Prioritized => (stored::WAITING, 1..=i64::from(PRIORITY_MAX)),
        JobState::Delayed => (stored::DELAYED, 0..=0),
        JobState::Active => (stored::ACTIVE, i64::MIN..=i64::MAX),
        JobState::Completed => (stored::COMPLETED, 0..=0),
        JobState::Failed => (stored::FAILED, 0..=0),
        _ => (stored::WAITING_CHILDREN, 0..=0),
    }
}

pub(crate) fn job(conn: &Connection, address: &QueueAddress, id: &JobId) -> Sql<Option<JobView>> {
    let Some(queue) = queue_no(conn, address)? else { return Ok(None) };
    match JobRow::find(conn, queue, id)? {
        Some(row) => row.view(conn).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn jobs(conn: &Connection, address: &QueueAddress, request: &JobsRequest) -> Sql<JobsPage> {
    let Some(queue) = QueueRow::find(conn, address)? else { return Ok(JobsPage::default()) };
    let mut page = JobsPage::default();
    let mut skip = request.offset;
    let limit = request.limit.min(GROUP_JOBS_MAX);
    for state in &request.states {
        let open = limit - page.jobs.len();
        if open == 0 {
            break;
        }
        // The counts say which states the page lies behind.
        let there = queue.counts.of(*state);
        if skip >= there {
            skip -= there;
            continue;
        }
        let (code, ranks) = range_of(*state);
        // Active jobs have the number of their take as rank, the others a place in line, a priority, or 0.
        let query = match request.order {
            Order::Ascending => place::select_jobs!(
                "WHERE queue = ?1 AND state = ?2 AND rank BETWEEN ?3 AND ?4 ORDER BY rank, ord LIMIT ?5 OFFSET ?6"
            ),
            Order::Descending => place::select_jobs!(
                "WHERE queue = ?1 AND state = ?2 AND rank BETWEEN ?3 AND ?4 ORDER BY rank DESC, ord DESC \
                 LIMIT ?5 OFFSET ?6"
            ),
        };
        let rows = place::select(
            conn,
            query,
            params![
                queue.no,
                code,
                ranks.start(),
                ranks.end(),
                i64::try_from(open).unwrap_or(i64::MAX),
                i64::try_from(skip).unwrap_or(i64::MAX)
            ],
        )?;
        skip = 0;
        for row in rows {
            page.jobs.push(row.view(conn)?);
        }
    }
    Ok(page)
}

pub(crate) fn counts(conn: &Connection, address: &QueueAddress, now: Timestamp) -> Sql<JobCounts> {
    let Some(row) = QueueRow::find(conn, address)? else { return Ok(JobCounts::default()) };
    let mut counts = row.counts;
    counts.limited_until = row.limited_until((row.rate_max > 0).then_some(row.rate_max), now);
    Ok(counts)
}

pub(crate) fn tally(conn: &Connection, address: &QueueAddress, tally: &Tally) -> Sql<Vec<u64>> {
    // A number that no queue has, so that an unknown one counts nothing.
    let queue = queue_no(conn, address)?.unwrap_or(0);
    let mut counting = conn.prepare_cached(
        "SELECT count(*) FROM oxmq_jobs WHERE queue = ?1 AND state = ?2 AND rank = ?3 AND ord < ?4",
    )?;
    let mut count = |state: i64, rank: u32, before: i64| -> Sql<u64> {
        let count: i64 = counting.query_row(params![queue, state, rank, before], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    };
    match tally {
        Tally::Priorities(priorities) => {
            priorities.iter().map(|priority| count(stored::WAITING, *priority, i64::MAX)).collect()
        }
        Tally::DueBefore(time) => Ok(vec![count(stored::DELAYED, 0, ords_of(*time).0)?]),
        _ => Err(super::unknown_request()),
    }
}

pub(crate) fn logs(conn: &Connection, address: &QueueAddress, request: &LogsRequest) -> Sql<LogsPage> {
    let Some(queue) = queue_no(conn, address)? else { return Ok(LogsPage::default()) };
    let Some(job) = JobRow::find(conn, queue, &request.job)? else { return Ok(LogsPage::default()) };
    let total = note::line_count(conn, job.seq)?;
    let query = match request.order {
        Order::Ascending => "SELECT line FROM oxmq_logs WHERE seq = ?1 ORDER BY no LIMIT ?2 OFFSET ?3",
        Order::Descending => "SELECT line FROM oxmq_logs WHERE seq = ?1 ORDER BY no DESC LIMIT ?2 OFFSET ?3",
    };
    let limit = request.limit.min(GROUP_JOBS_MAX);
    let lines = conn
        .prepare_cached(query)?
        .query_map(
            params![
                job.seq,
                i64::try_from(limit).unwrap_or(i64::MAX),
                i64::try_from(request.offset).unwrap_or(i64::MAX)
            ],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    Ok(LogsPage { lines, total })
}

pub(crate) fn workers(conn: &Connection, address: &QueueAddress, now: Timestamp) -> Sql<Vec<WorkerInfo>> {
    let Some(queue) = queue_no(conn, address)? else { return Ok(Vec::new()) };
    let texts: Vec<String> = conn
        .prepare_cached("SELECT info FROM oxmq_workers WHERE queue = ?1 AND expires_at > ?2 ORDER BY id")?
        .query_map(params![queue, now.as_millis()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // One that another version wrote in a way we cannot read is left out.
    Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

pub(crate) fn queues(conn: &Connection, prefix: Option<&str>) -> Sql<Vec<QueueInfo>> {
    let rows: Vec<(String, String, bool)> = conn
        .prepare_cached(
            "SELECT prefix, name, paused FROM oxmq_queues WHERE ?1 IS NULL OR prefix = ?1 ORDER BY prefix, name",
        )?
        .query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows
        .into_iter()
        .filter_map(|(prefix, name, paused)| {
            QueueAddress::with_prefix(prefix, name).ok().map(|queue| QueueInfo { queue, paused })
        })
        .collect())
}

/// The requests to cancel jobs of this worker which it does not know yet.
pub(crate) fn cancellations(
    conn: &Connection,
    address: &QueueAddress,
    request: &CancellationsRequest,
) -> Sql<Vec<Cancellation>> {
    let Some(queue) = queue_no(conn, address)? else { return Ok(Vec::new()) };
    let found: Vec<(JobRow, String, String)> = conn
        .prepare_cached(concat!(
            "SELECT ",
            job_columns!(),
            ", c_token, c_reason FROM oxmq_jobs JOIN (SELECT seq AS c_seq, token AS c_token, reason AS c_reason \
             FROM oxmq_cancels) ON seq = c_seq WHERE queue = ?1"
        ))?
        .query_map([queue], |row| Ok((JobRow::read(row)?, row.get(16)?, row.get(17)?)))?
        .collect::<Result<_, _>>()?;
    Ok(found
        .into_iter()
        .filter(|(_, token, _)| token.rsplit_once(':').is_some_and(|(worker, _)| worker == request.worker_id))
        .map(|(job, token, reason)| Cancellation {
            lease: Lease { job: job.id(), token: Token::new(token) },
            reason,
        })
        .filter(|found| !request.known.contains(&found.lease))
        .collect())
}

/// The id of an event: which queue it was (one that was obliterated and made again is another), and its number.
pub(crate) fn event_id(queue: i64, number: i64) -> EventId {
    EventId::stored(format!("{queue}-{number}"))
}

fn parse_event_id(id: &EventId) -> Option<(i64, i64)> {
    let (queue, number) = id.as_str().split_once('-')?;
    Some((queue.parse().ok()?, number.parse().ok()?))
}

/// The most events that one call reads.
const EVENTS_PER_CALL_MAX: usize = 10_000;

/// Up to `limit` events after a cursor.
pub(crate) fn events(
    conn: &Connection,
    address: &QueueAddress,
    after: &EventCursor,
    limit: usize,
) -> Sql<EventsPage> {
    let (queue, last) =
        QueueRow::find(conn, address)?.map_or((0, 0), |row| (row.no, row.event_no.cast_signed()));
    let limit = limit.clamp(1, EVENTS_PER_CALL_MAX);
    let here = |number| EventCursor::After(event_id(queue, number));
    let mut page = EventsPage { events: Vec::new(), cursor: after.clone(), trimmed: false };
    let from = match after {
        EventCursor::Now => {
            page.cursor = here(last);
            return Ok(page);
        }
        EventCursor::Oldest => 0,
        EventCursor::After(id) => match parse_event_id(id) {
            Some((no, number)) if no == queue => number,
            // The queue was not there yet; all of its events came after.
            Some((0, 0)) => 0,
            // Not of this queue: it was obliterated since, or the id was never ours.
            _ => {
                page.trimmed = queue != 0;
                0
            }
        },
    };
    let mut statement = conn.prepare_cached(
        "SELECT first_no, at_ms, body FROM oxmq_events WHERE queue = ?1 AND last_no > ?2 ORDER BY last_no",
    )?;
    let mut rows = statement.query([queue, from])?;
    let mut next = from + 1;
    while page.events.len() < limit
        && let Some(row) = rows.next()?
    {
        let first: i64 = row.get(0)?;
        // Those before the oldest are not missed by who asks for the oldest.
        page.trimmed |= first > next && *after != EventCursor::Oldest;
        let body: String = row.get(2)?;
        for (number, (at, event)) in (first..).zip(event_body::read(&body, row.get(1)?)?) {
            next = number + 1;
            if number > from && page.events.len() < limit {
                let id = event_id(queue, number);
                page.cursor = EventCursor::After(id.clone());
                page.events.push(StoredEvent { id, at, event });
            }
        }
    }
    Ok(page)
}
