//! One transaction: many callers' operations, the rows of their queues, and the events that they cause.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use oxmq_core::{Event, JobCounts, JobState, QueueAddress, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};

use crate::event_body;
use crate::fault::{Sql, SqlFault};
use crate::wake::Rung;

/// An event row is closed when its body reaches this, so that readers of a few events do not parse thousands.
const EVENT_ROW_BYTES: usize = 16 * 1024;
/// Old events are looked for each time this many were written.
const TRIM_EVERY: u64 = 512;
/// The most events of a queue in a short transaction: whatever moves many jobs has an event for each. (Retention has none, and may remove
/// up to 1,000 jobs when less is to be kept than before; otherwise one for one that comes.)
const SHORT_EVENTS_MAX: u64 = 48;
/// The most event rows that one transaction trims for a queue.
const TRIM_ROWS_MAX: u32 = 2_000;

/// A transaction that runs. Operations get at their queue by [`Tx::queue`] or [`Tx::find_queue`].
pub(crate) struct Tx<'c> {
    connection: &'c Connection,
    /// The most events of a queue.
    events_max: u64,
    queues: HashMap<QueueAddress, QueueTx<'c>>,
    /// The queue that was asked for last, which is not in `queues`: nearly always the next is the same.
    last: Option<(QueueAddress, QueueTx<'c>)>,
    held: Rc<Held<'c>>,
    numbers: &'c mut Numbers,
    rungs: Vec<Rung>,
}

/// A queue in a transaction: its row, read once and written back once, and its events.
pub(crate) struct QueueTx<'c> {
    /// For the statements of the operations.
    pub(crate) db: &'c Connection,
    /// For those of every job.
    pub(crate) held: Rc<Held<'c>>,
    /// The row as it will be.
    pub(crate) row: QueueRow,
    /// The row as it was when the transaction began, and as it was last written.
    loaded: QueueRow,
    written: QueueRow,
    events: EventRow,
    events_max: u64,
    answered: bool,
    idle_at: Option<u64>,
}

/// The statements that every job passes through, held until the end of the transaction: without looking them up in the connection's cache
/// for each job, nor the queue by its name, adding a thousand took 0.86 of the time. Their SQL is to be used in no other way, or it is
/// prepared twice.
#[derive(Default)]
pub(crate) struct Held<'c> {
    pub(crate) insert_job: HeldStatement<'c>,
    pub(crate) insert_payload: HeldStatement<'c>,
    pub(crate) insert_jobs: HeldStatement<'c>,
    pub(crate) insert_payloads: HeldStatement<'c>,
    pub(crate) give: HeldStatement<'c>,
    pub(crate) complete: HeldStatement<'c>,
    pub(crate) insert_result: HeldStatement<'c>,
}

/// One of them.
#[derive(Default)]
pub(crate) struct HeldStatement<'c>(RefCell<Option<CachedStatement<'c>>>);

impl<'c> HeldStatement<'c> {
    /// Runs it; how many rows it changed.
    pub(crate) fn execute(&self, db: &'c Connection, sql: &str, parameters: impl Params) -> Sql<usize> {
        let mut held = self.0.borrow_mut();
        let statement = match &mut *held {
            Some(statement) => statement,
            none => none.insert(db.prepare_cached(sql)?),
        };
        Ok(statement.execute(parameters)?)
    }
}

/// The row of a queue in `oxmq_queues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueRow {
    pub(crate) no: i64,
    pub(crate) last_id: i64,
    pub(crate) last_ord: i64,
    pub(crate) event_no: u64,
    pub(crate) event_cap: u64,
    /// `counts.paused` is the pause; `counts.limited_until` is not used, see `limited_until`.
    pub(crate) counts: JobCounts,
    pub(crate) limited_until: i64,
    pub(crate) rate_until: i64,
    pub(crate) rate_count: u32,
    pub(crate) wake_no: u64,
    pub(crate) cancel_no: u64,
    /// The most active jobs, the most takes in a window, and the window in ms; 0 is no limit.
    pub(crate) concurrency: u32,
    pub(crate) rate_max: u32,
    pub(crate) rate_ms: i64,
}

/// The event row that is being filled.
#[derive(Default)]
struct EventRow {
    body: Vec<u8>,
    first_no: u64,
    at: i64,
}

macro_rules! select_queue {
    ($condition:literal) => {
        concat!(
            "SELECT no, last_id, last_ord, event_no, event_cap, paused, limited_until, rate_until, rate_count, wake_no, \
             cancel_no, waiting, prioritized, delayed, active, completed, failed, waiting_children, concurrency, \
             rate_max, rate_ms FROM oxmq_queues WHERE ",
            $condition
        )
    };
}

/// The numbers of queues that were seen. A queue that was removed and made again has another one.
#[derive(Debug, Default)]
pub(crate) struct Numbers(HashMap<QueueAddress, i64>);

/// The most numbers that are remembered.
const NUMBERS_MAX: usize = 1_024;

impl Numbers {
    fn remember(&mut self, queue: &QueueAddress, no: i64) {
        if self.0.len() >= NUMBERS_MAX {
            self.0.clear();
        }
        self.0.insert(queue.clone(), no);
    }
}

impl QueueRow {
    const COUNTED: [JobState; 7] = [
        JobState::Waiting,
        JobState::Prioritized,
        JobState::Delayed,
        JobState::Active,
        JobState::Completed,
        JobState::Failed,
        JobState::WaitingChildren,
    ];

    /// Reads a row of the columns that `find` asks for.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let unsigned = |index: usize| row.get(index).map(i64::cast_unsigned);
        let mut counts = JobCounts::default();
        counts.paused = row.get(5)?;
        for (index, state) in Self::COUNTED.into_iter().enumerate() {
            *counts.of_mut(state) = u64::try_from(row.get::<_, i64>(11 + index)?).unwrap_or(0);
        }
        Ok(Self {
            no: row.get(0)?,
            last_id: row.get(1)?,
            last_ord: row.get(2)?,
            event_no: unsigned(3)?,
            event_cap: unsigned(4)?,
            counts,
            limited_until: row.get(6)?,
            rate_until: row.get(7)?,
            rate_count: row.get(8)?,
            wake_no: unsigned(9)?,
            cancel_no: unsigned(10)?,
            concurrency: row.get(18)?,
            rate_max: row.get(19)?,
            rate_ms: row.get(20)?,
        })
    }

    /// Whether as many jobs are active as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.concurrency > 0 && self.counts.active >= u64::from(self.concurrency)
    }

    /// Until when nothing is given, by hand or because the window is full by a rate of so many takes.
    pub(crate) fn limited_until(&self, max: Option<u32>, now: Timestamp) -> Option<Timestamp> {
        let now = now.as_millis();
        if self.limited_until > now {
            return Some(Timestamp::from_millis(self.limited_until));
        }
        let full = max.is_some_and(|max| self.rate_until > now && self.rate_count >= max);
        full.then(|| Timestamp::from_millis(self.rate_until))
    }

    /// Looks for a queue.
    pub(crate) fn find(db: &Connection, queue: &QueueAddress) -> Sql<Option<Self>> {
        const SQL: &str = select_queue!("prefix = ?1 AND name = ?2");
        Ok(db.prepare_cached(SQL)?.query_row([queue.prefix(), queue.name()], Self::read).optional()?)
    }

    /// Looks for a queue by the number that it had when it was last seen, for which no index has to be read.
    fn find_by_number(db: &Connection, no: i64, queue: &QueueAddress) -> Sql<Option<Self>> {
        const SQL: &str = select_queue!("no = ?1 AND prefix = ?2 AND name = ?3");
        let found = db.prepare_cached(SQL)?.query_row(params![no, queue.prefix(), queue.name()], Self::read);
        Ok(found.optional()?)
    }

    fn create(db: &Connection, queue: &QueueAddress, now: Timestamp) -> Sql<Self> {
        let no: i64 = db
            .prepare_cached(
                "INSERT INTO oxmq_meta (key, value) VALUES ('last_queue', 1)
                 ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value",
            )?
            .query_row([], |row| row.get(0))?;
        db.prepare_cached("INSERT INTO oxmq_queues (no, prefix, name, created_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![no, queue.prefix(), queue.name(), now.as_millis()])?;
        Self::find(db, queue)?
            .ok_or_else(|| SqlFault::Other(format!("queue {queue} vanished as it was made")))
    }

    fn write(&self, db: &Connection) -> Sql<()> {
        const SQL: &str = "UPDATE oxmq_queues SET last_id = ?2, last_ord = ?3, event_no = ?4, paused = ?5, \
             limited_until = ?6, rate_until = ?7, rate_count = ?8, wake_no = ?9, cancel_no = ?10, waiting = ?11, \
             prioritized = ?12, delayed = ?13, active = ?14, completed = ?15, failed = ?16, waiting_children = ?17, \
             concurrency = ?18, rate_max = ?19, rate_ms = ?20 WHERE no = ?1";
        let count = |state| self.counts.of(state).cast_signed();
        db.prepare_cached(SQL)?.execute(params![
            self.no,
            self.last_id,
            self.last_ord,
            self.event_no.cast_signed(),
            self.counts.paused,
            self.limited_until,
            self.rate_until,
            self.rate_count,
            self.wake_no.cast_signed(),
            self.cancel_no.cast_signed(),
            count(JobState::Waiting),
            count(JobState::Prioritized),
            count(JobState::Delayed),
            count(JobState::Active),
            count(JobState::Completed),
            count(JobState::Failed),
            count(JobState::WaitingChildren),
            self.concurrency,
            self.rate_max,
            self.rate_ms,
        ])?;
        Ok(())
    }
}

impl<'c> Tx<'c> {
    /// A transaction that was just begun on this connection.
    pub(crate) fn new(connection: &'c Connection, numbers: &'c mut Numbers) -> Self {
        let held = Rc::default();
        let (queues, rungs) = (HashMap::new(), Vec::new());
        Self { connection, events_max: u64::MAX, queues, last: None, held, numbers, rungs }
    }

    /// The same for one that has to be short: an operation that turns out to be long fails with [`SqlFault::Long`].
    pub(crate) fn short(connection: &'c Connection, numbers: &'c mut Numbers) -> Self {
        Self { events_max: SHORT_EVENTS_MAX, ..Self::new(connection, numbers) }
    }

    /// The queue of this address; made if it is not there.
    pub(crate) fn queue(&mut self, queue: &QueueAddress, now: Timestamp) -> Sql<&mut QueueTx<'c>> {
        if !self.load(queue)? {
            let row = QueueRow::create(self.connection, queue, now)?;
            self.keep(queue, row);
        }
        self.loaded().ok_or_else(|| SqlFault::Other(format!("queue {queue} was not kept")))
    }

    /// The queue of this address, if there is one.
    pub(crate) fn find_queue(&mut self, queue: &QueueAddress) -> Sql<Option<&mut QueueTx<'c>>> {
        Ok(if self.load(queue)? { self.loaded() } else { None })
    }

    /// A queue that this operation has found already.
    pub(crate) fn known(&mut self, queue: &QueueAddress) -> Sql<&mut QueueTx<'c>> {
        self.find_queue(queue)?.ok_or_else(|| SqlFault::Other(format!("queue {queue} vanished")))
    }

    /// Makes a queue the last; false if it is not there.
    fn load(&mut self, queue: &QueueAddress) -> Sql<bool> {
        if self.last.as_ref().is_some_and(|(address, _)| address == queue) {
            return Ok(true);
        }
        if let Some(there) = self.queues.remove_entry(queue) {
            self.queues.extend(self.last.replace(there));
            return Ok(true);
        }
        let known = self.numbers.0.get(queue).copied();
        let by_number = known.map(|no| QueueRow::find_by_number(self.connection, no, queue)).transpose()?;
        let row = if let Some(row) = by_number.flatten() {
            row
        } else {
            let Some(row) = QueueRow::find(self.connection, queue)? else { return Ok(false) };
            self.numbers.remember(queue, row.no);
            row
        };
        self.keep(queue, row);
        Ok(true)
    }

    fn loaded(&mut self) -> Option<&mut QueueTx<'c>> {
        self.last.as_mut().map(|(_, queue)| queue)
    }

    fn keep(&mut self, queue: &QueueAddress, row: QueueRow) {
        let queue_tx = QueueTx {
            db: self.connection,
            held: Rc::clone(&self.held),
            row,
            loaded: row,
            written: row,
            events: EventRow::default(),
            events_max: self.events_max,
            answered: false,
            idle_at: None,
        };
        self.queues.extend(self.last.replace((queue.clone(), queue_tx)));
    }

    /// As [`QueueTx::note_idle`], for a queue that is not there.
    pub(crate) fn note_missing(&mut self, queue: &QueueAddress) {
        self.rungs.push(Rung::missing(queue.clone()));
    }

    /// Removes the row of a queue of which nothing else is left.
    pub(crate) fn remove_queue(&mut self, queue: &QueueAddress) -> Sql<()> {
        if self.load(queue)?
            && let Some((_, gone)) = self.last.take()
        {
            self.connection
                .prepare_cached("DELETE FROM oxmq_queues WHERE no = ?1")?
                .execute([gone.row.no])?;
        }
        Ok(())
    }

    /// The connection, for reading: after everything that operations before this one left to be written.
    pub(crate) fn settled(&mut self) -> Sql<&Connection> {
        for queue in self.queues.values_mut().chain(self.last.as_mut().map(|(_, queue)| queue)) {
            queue.settle()?;
        }
        Ok(self.connection)
    }

    /// Writes the rows of the queues and their events; to be followed by COMMIT, and then by ringing.
    pub(crate) fn finish(mut self) -> Sql<Vec<Rung>> {
        for (address, mut queue) in std::mem::take(&mut self.queues).into_iter().chain(self.last.take()) {
            queue.settle()?;
            if queue.row.event_no / TRIM_EVERY != queue.loaded.event_no / TRIM_EVERY {
                queue.trim_events()?;
            }
            self.rungs.push(Rung::of(address, &queue.row, &queue.loaded, queue.answered, queue.idle_at));
        }
        Ok(self.rungs)
    }
}

impl QueueTx<'_> {
    /// Writes an event; returns its number.
    pub(crate) fn emit(&mut self, at: Timestamp, event: &Event) -> Sql<u64> {
        self.row.event_no += 1;
        if self.row.event_no.saturating_sub(self.loaded.event_no) > self.events_max {
            return Err(SqlFault::Long);
        }
        let at = at.as_millis();
        if self.events.body.is_empty() {
            self.events.first_no = self.row.event_no;
            self.events.at = at;
        }
        event_body::push(&mut self.events.body, at.saturating_sub(self.events.at), event);
        if self.events.body.len() >= EVENT_ROW_BYTES {
            self.flush_events()?;
        }
        Ok(self.row.event_no)
    }

    /// Tells waiting workers, after the commit, that there may be something to take; but not as long as the queue is full:
    /// they hear of the end of that.
    pub(crate) fn ring_work(&mut self) {
        if !self.row.is_full() {
            self.row.wake_no += 1;
        }
    }

    /// Tells waiting workers that a place is free now, if the queue was full and is so no more.
    pub(crate) fn ring_place(&mut self, was_full: bool) {
        if was_full {
            self.ring_work();
        }
    }

    /// Tells the workers' listeners, after the commit, that somebody asked to cancel a running job.
    pub(crate) fn ring_cancel(&mut self) {
        self.row.cancel_no += 1;
    }

    /// Remembers, after the commit, that a take found nothing more: waits of this process need to end only for
    /// what comes later.
    pub(crate) fn note_idle(&mut self) {
        self.idle_at = Some(self.row.wake_no);
    }

    /// Remembers that something is answered that rests on what was found here: with durability `Power` not before that is safe,
    /// even if nothing is written.
    pub(crate) fn note_answer(&mut self) {
        self.answered = true;
    }

    /// The next number for an automatic id.
    pub(crate) fn next_id(&mut self) -> i64 {
        self.row.last_id += 1;
        self.row.last_id
    }

    /// The next place at the back; its negative is the next at the front.
    pub(crate) fn next_ord(&mut self) -> i64 {
        self.row.last_ord += 1;
        self.row.last_ord
    }

    /// Counts a job that comes into a state (`to`), leaves one (`from`), or both.
    pub(crate) fn count(&mut self, from: Option<JobState>, to: Option<JobState>) {
        if let Some(from) = from {
            let count = self.row.counts.of_mut(from);
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *self.row.counts.of_mut(to) += 1;
        }
    }

    fn settle(&mut self) -> Sql<()> {
        self.flush_events()?;
        if self.row != self.written {
            self.row.write(self.db)?;
            self.written = self.row;
        }
        Ok(())
    }

    fn flush_events(&mut self) -> Sql<()> {
        if self.events.body.is_empty() {
            return Ok(());
        }
        let body = event_body::close(std::mem::take(&mut self.events.body))?;
        self.db
            .prepare_cached(
                "INSERT INTO oxmq_events (queue, last_no, first_no, at_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.row.no,
                self.row.event_no.cast_signed(),
                self.events.first_no.cast_signed(),
                self.events.at,
                body
            ])?;
        Ok(())
    }

    fn trim_events(&mut self) -> Sql<()> {
        let oldest_kept = self.row.event_no.saturating_sub(self.row.event_cap).cast_signed();
        self.db
            .prepare_cached(
                "DELETE FROM oxmq_events WHERE queue = ?1 AND last_no IN
                 (SELECT last_no FROM oxmq_events WHERE queue = ?1 AND last_no <= ?2 ORDER BY last_no LIMIT ?3)",
            )?
            .execute(params![self.row.no, oldest_kept, TRIM_ROWS_MAX])?;
        Ok(())
    }

    /// Keeps about so many events from now on.
    pub(crate) fn keep_events(&mut self, keep: u64) -> Sql<()> {
        self.row.event_cap = keep.min(i64::MAX.cast_unsigned());
        // By itself: with every other write of the row it would be a value more for something that nearly never changes.
        self.db
            .prepare_cached("UPDATE oxmq_queues SET event_cap = ?2 WHERE no = ?1")?
            .execute(params![self.row.no, self.row.event_cap.cast_signed()])?;
        Ok(())
    }

    /// Lets go of all events but the newest `keep`, and those of their rows; returns how many went.
    pub(crate) fn trim_events_to(&mut self, keep: u64) -> Sql<u64> {
        self.flush_events()?;
        let oldest_kept = self.row.event_no.saturating_sub(keep).cast_signed();
        let gone: i64 = self
            .db
            .prepare_cached(
                "SELECT coalesce(sum(last_no - first_no + 1), 0) FROM oxmq_events WHERE queue = ?1 AND last_no <= ?2",
            )?
            .query_row(params![self.row.no, oldest_kept], |row| row.get(0))?;
        self.db
            .prepare_cached("DELETE FROM oxmq_events WHERE queue = ?1 AND last_no <= ?2")?
            .execute(params![self.row.no, oldest_kept])?;
        Ok(gone.cast_unsigned())
    }
}
