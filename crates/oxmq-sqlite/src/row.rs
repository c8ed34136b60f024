//! Rows of the job table, and how they become jobs.

use oxmq_core::schedule::step::slot_of;
use oxmq_core::{
    ChildFailure, Job, JobId, JobKey, JobState, JobView, JsonText, Parent, QueueAddress, Timestamp, Token,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::fault::{Sql, SqlFault};

/// How many bits of a row number are the value of the queue's id counter; the rest is the queue's number.
const COUNTER_BITS: u32 = 40;

/// Bits of the column `flags`.
pub(crate) mod flag {
    /// Last in, first out.
    pub(crate) const LIFO: i64 = 1;
    /// Somebody asked to cancel the running attempt: there is a row in `oxmq_cancels`.
    pub(crate) const CANCEL: i64 = 2;
    /// There is a row in `oxmq_results`.
    pub(crate) const RESULT: i64 = 4;
    /// There are rows in `oxmq_logs`.
    pub(crate) const LOGS: i64 = 8;
    /// It is a child: there is a row in `oxmq_parents`.
    pub(crate) const PARENT: i64 = 16;
    /// It is a parent, or was: there may be rows in `oxmq_children`.
    pub(crate) const CHILDREN: i64 = 32;
    /// It has a deduplication id, in its options.
    pub(crate) const DEDUPLICATION: i64 = 64;
    /// A schedule made it; its own id names which one.
    pub(crate) const SCHEDULED: i64 = 128;
}

/// The stored states. Waiting with a rank above 0 is what users see as prioritized.
pub(crate) mod stored {
    pub(crate) const WAITING: i64 = 1;
    pub(crate) const DELAYED: i64 = 2;
    pub(crate) const ACTIVE: i64 = 3;
    pub(crate) const COMPLETED: i64 = 4;
    pub(crate) const FAILED: i64 = 5;
    pub(crate) const WAITING_CHILDREN: i64 = 6;
}

/// The row number of the job that got `counter` in this queue.
pub(crate) fn seq_of(queue: i64, counter: i64) -> i64 {
    (queue << COUNTER_BITS) | counter
}

/// The small, often written part of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobRow {
    pub(crate) seq: i64,
    pub(crate) custom_id: Option<String>,
    pub(crate) state: i64,
    pub(crate) rank: i64,
    pub(crate) ord: i64,
    pub(crate) priority: u32,
    pub(crate) flags: i64,
    pub(crate) delay: i64,
    pub(crate) timestamp: i64,
    pub(crate) processed_on: Option<i64>,
    pub(crate) finished_on: Option<i64>,
    pub(crate) ats: u32,
    pub(crate) atm: u32,
    pub(crate) stc: u32,
    pub(crate) token: Option<String>,
    pub(crate) worker: Option<String>,
}

/// The large, hardly ever written part of a job.
#[derive(Debug)]
pub(crate) struct Payload {
    name: String,
    data: String,
    opts: String,
}

impl Payload {
    /// Reads it from three columns, `name, data, opts`, of which the first is this one.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self { name: row.get(first)?, data: row.get(first + 1)?, opts: row.get(first + 2)? })
    }
}

/// How many columns a [`JobRow`] has.
pub(crate) const JOB_COLUMNS: usize = 16;

/// The columns of [`JobRow`], in the order in which it reads them.
macro_rules! job_columns {
    () => {
        "seq, custom_id, state, rank, ord, priority, flags, delay, timestamp, processed_on, finished_on, ats, atm, \
         stc, token, worker"
    };
}
pub(crate) use job_columns;

impl JobRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            custom_id: row.get(1)?,
            state: row.get(2)?,
            rank: row.get(3)?,
            ord: row.get(4)?,
            priority: row.get(5)?,
            flags: row.get(6)?,
            delay: row.get(7)?,
            timestamp: row.get(8)?,
            processed_on: row.get(9)?,
            finished_on: row.get(10)?,
            ats: row.get(11)?,
            atm: row.get(12)?,
            stc: row.get(13)?,
            token: row.get(14)?,
            worker: row.get(15)?,
        })
    }

    /// The row number of the job of this id, if it has no id of its producer's.
    pub(crate) fn seq_of_automatic(queue: i64, id: &JobId) -> Option<i64> {
        counter_of(id).map(|counter| seq_of(queue, counter))
    }

    /// The job of this id.
    pub(crate) fn find(conn: &Connection, queue: i64, id: &JobId) -> Sql<Option<Self>> {
        let found = match counter_of(id) {
            Some(counter) => conn
                .prepare_cached(concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM oxmq_jobs WHERE seq = ?1 AND custom_id IS NULL"
                ))?
                .query_row([seq_of(queue, counter)], Self::read)
                .optional(),
            None => conn
                .prepare_cached(concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM oxmq_jobs WHERE queue = ?1 AND custom_id = ?2"
                ))?
                .query_row(params![queue, id.as_str()], Self::read)
                .optional(),
        }?;
        Ok(found)
    }

    pub(crate) fn id(&self) -> JobId {
        match &self.custom_id {
            Some(id) => JobId::stored(id.as_str()),
            None => JobId::stored((self.seq & ((1 << COUNTER_BITS) - 1)).to_string()),
        }
    }

    pub(crate) fn has(&self, flag: i64) -> bool {
        self.flags & flag != 0
    }

    /// The schedule that made it.
    pub(crate) fn schedule(&self) -> Option<&str> {
        let id = self.custom_id.as_deref().filter(|_| self.has(flag::SCHEDULED))?;
        slot_of(id).map(|(schedule, _)| schedule)
    }

    /// The state as users see it.
    pub(crate) fn state(&self) -> JobState {
        match self.state {
            stored::WAITING if self.rank > 0 => JobState::Prioritized,
            stored::DELAYED => JobState::Delayed,
            stored::ACTIVE => JobState::Active,
            stored::COMPLETED => JobState::Completed,
            stored::FAILED => JobState::Failed,
            stored::WAITING_CHILDREN => JobState::WaitingChildren,
            // The CHECK of the table allows nothing else.
            _ => JobState::Waiting,
        }
    }

    /// Whether somebody works on it. A lease that ran out protects no more.
    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        self.token.is_some() && self.ord > now.as_millis()
    }

    /// The whole job.
    pub(crate) fn job(&self, conn: &Connection) -> Sql<Job> {
        let payload = conn
            .prepare_cached("SELECT name, data, opts FROM oxmq_payloads WHERE seq = ?1")?
            .query_row([self.seq], |row| Payload::read(row, 0))?;
        self.job_of(payload, conn)
    }

    /// The whole job, of which this payload was read already.
    pub(crate) fn job_of(&self, payload: Payload, conn: &Connection) -> Sql<Job> {
        let Payload { name, data, opts } = payload;
        let mut job = Job::new(self.id(), name, JsonText::stored(data), JsonText::stored(opts));
        job.timestamp = Timestamp::from_millis(self.timestamp);
        job.delay_ms = self.delay;
        job.priority = self.priority;
        job.attempts_started = self.ats;
        job.attempts_made = self.atm;
        job.stalled_count = self.stc;
        job.processed_on = self.processed_on.map(Timestamp::from_millis);
        job.finished_on = self.finished_on.map(Timestamp::from_millis);
        job.processed_by.clone_from(&self.worker);
        if self.has(flag::DEDUPLICATION) {
            job.deduplication_id = job.options().deduplication.map(|deduplication| deduplication.id);
        }
        job.scheduler_id = self.schedule().map(ToOwned::to_owned);
        if self.has(flag::RESULT) {
            conn.prepare_cached(
                "SELECT returnvalue, failed_reason, stacktrace, progress, deferred_failure FROM oxmq_results \
                 WHERE seq = ?1",
            )?
            .query_row([self.seq], |row| {
                job.return_value = row.get::<_, Option<String>>(0)?.map(JsonText::stored);
                job.failed_reason = row.get(1)?;
                job.stacktrace = row.get::<_, Option<String>>(2)?.map(JsonText::stored);
                job.progress = row.get::<_, Option<String>>(3)?.map(JsonText::stored);
                job.deferred_failure = row.get(4)?;
                Ok(())
            })
            .optional()?;
        }
        if self.has(flag::PARENT) {
            job.parent = parent_of(conn, self.seq)?;
        }
        Ok(job)
    }

    pub(crate) fn view(&self, conn: &Connection) -> Sql<JobView> {
        let mut view = JobView::new(self.job(conn)?, self.state());
        view.due = (self.state == stored::DELAYED).then(|| Timestamp::from_millis(time_of(self.ord)));
        view.token = self.token.as_deref().map(Token::new);
        Ok(view)
    }
}

/// The parent of the job in this row.
pub(crate) fn parent_of(conn: &Connection, seq: i64) -> Sql<Option<Parent>> {
    let found: Option<(String, String, String, u8)> = conn
        .prepare_cached("SELECT prefix, name, id, on_failure FROM oxmq_parents WHERE seq = ?1")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((prefix, name, id, on_failure)) = found else { return Ok(None) };
    let queue = QueueAddress::with_prefix(prefix, name)
        .map_err(|error| SqlFault::Corrupt(format!("a parent's queue: {error}")))?;
    let on_failure =
        on_failure.checked_sub(1).and_then(|place| ChildFailure::ALL.get(usize::from(place))).copied();
    Ok(Some(Parent { key: JobKey::new(queue, JobId::stored(id)), on_failure }))
}

/// The low bits of the `ord` of delayed and finished jobs are their order within a millisecond; above is the time.
const ORDER_BITS: u32 = 20;

/// The first and the last `ord` of a millisecond.
pub(crate) fn ords_of(time: Timestamp) -> (i64, i64) {
    let longest = i64::MAX >> ORDER_BITS;
    let first = time.as_millis().clamp(-longest, longest) << ORDER_BITS;
    (first, first | ((1 << ORDER_BITS) - 1))
}

/// The time in the `ord` of a delayed or finished job, in ms.
pub(crate) fn time_of(ord: i64) -> i64 {
    ord >> ORDER_BITS
}

/// The value of the counter that an automatic id names; `None` for an id that can only be a producer's own.
fn counter_of(id: &JobId) -> Option<i64> {
    let text = id.as_str();
    let decimal =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|counter| decimal && *counter < (1 << COUNTER_BITS))
}
