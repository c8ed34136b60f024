//! `add`: many jobs, group by group.

use std::sync::LazyLock;
use std::time::Duration;

use oxmq_core::store::{AddRequest, Added, Fate, OnRefusal};
use oxmq_core::{
    Event, EventKind, JobId, JobOptions, JobState, JsonText, NewJob, Parent, QueueAddress, Result, Timestamp,
    millis,
};
use rusqlite::{ToSql, params, params_from_iter};

use super::dedup::{self, Decision};
use super::{family, flow, place};
use crate::fault::Sql;
use crate::row::{JobRow, flag, seq_of, stored};
use crate::tx::{QueueTx, Tx};

pub(crate) fn add(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &AddRequest,
) -> Sql<Vec<Result<Vec<Added>>>> {
    let is_tied = |job: &NewJob| job.options.parent.is_some();
    if request.groups.iter().any(|group| group.jobs.iter().any(is_tied)) {
        let nodes = request.plan(address);
        return flow::insert(tx, "add", request.groups.len(), &nodes, OnRefusal::UndoFlow, request.now);
    }
    tx.queue(address, request.now)?;
    let mut answers = Vec::with_capacity(request.groups.len());
    let mut rows = Rows::default();
    for group in &request.groups {
        // Nothing here refuses a job without a parent: what could be refused was, before. So a group is whole, or SQLite failed and
        // the transaction is undone.
        let added: Sql<Vec<Added>> =
            group.jobs.iter().map(|job| add_one(tx, address, job, &mut rows, request.now)).collect();
        answers.push(Ok(added?));
    }
    rows.write(tx.known(address)?)?;
    Ok(answers)
}

fn add_one<'a>(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    job: &'a NewJob,
    rows: &mut Rows<'a>,
    now: Timestamp,
) -> Sql<Added> {
    let queue = tx.known(address)?;
    // Spent also by a job that brings its own id, or is there already.
    let number = queue.next_id();
    let options = &job.options;
    let timestamp = options.created_at(now);
    let own_id = options.job_id.as_ref();
    let new = New { number, own_id, job, options, parent: None, has_children: false, timestamp, flags: 0 };
    if own_id.is_none()
        && options.deduplication.is_none()
        && options.delay.is_none_or(|delay| delay.is_zero())
    {
        let (id, state) = rows.create(queue, &new, now)?;
        return Ok(Added::new(id, state, Fate::Created));
    }
    // What follows looks at the tables.
    rows.write(queue)?;
    if let Some(id) = &options.job_id
        && let Some(there) = JobRow::find(queue.db, queue.row.no, id)?
    {
        queue.emit(now, &Event::of(id, EventKind::Duplicated))?;
        return Ok(Added::existing(id.clone(), there.state()));
    }
    let id = id_of(number, job);
    let fate = match &options.deduplication {
        None => Fate::Created,
        Some(_) => match dedup::decide(tx, address, number, &id, job, now)? {
            Decision::Create(fate) => fate,
            Decision::Not(added) => return Ok(added),
        },
    };
    let state = create(tx.known(address)?, &new, now)?;
    Ok(Added::new(id, state, fate))
}

/// So many rows are written by one statement: its beginning and end cost as much as two rows.
const ROWS: usize = 16;

/// New jobs that wait, have the ids that the queue gives, and are not written yet.
#[derive(Default)]
struct Rows<'a>(Vec<Row<'a>>);

impl<'a> Rows<'a> {
    /// Creates a job; it is written now or with the next ones. Its id, and where it is.
    fn create(&mut self, queue: &mut QueueTx<'_>, new: &New<'a>, now: Timestamp) -> Sql<(JobId, JobState)> {
        let (row, state, kind) = give_place(queue, new)?;
        self.0.push(row);
        if self.0.len() == ROWS {
            self.write_whole(queue)?;
        }
        Ok((tell(queue, new, state, kind, now)?, state))
    }

    /// Writes as many as one statement does.
    fn write_whole(&mut self, queue: &QueueTx<'_>) -> Sql<()> {
        static JOBS: LazyLock<String> = LazyLock::new(|| {
            let row = |row: usize| {
                let [seq, priority, ord, flags, timestamp] = std::array::from_fn(|at| 2 + row * 5 + at);
                format!("(?{seq}, ?1, 1, ?{priority}, ?{ord}, ?{priority}, ?{flags}, ?{timestamp})")
            };
            let columns = "seq, queue, state, rank, ord, priority, flags, timestamp";
            let rows = (0..ROWS).map(row).collect::<Vec<_>>();
            format!("INSERT INTO oxmq_jobs ({columns}) VALUES {}", rows.join(", "))
        });
        static PAYLOADS: LazyLock<String> = LazyLock::new(|| {
            let rows = ["(?, ?, ?, ?)"; ROWS];
            format!("INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES {}", rows.join(", "))
        });
        let no: &dyn ToSql = &queue.row.no;
        let jobs = self.0.iter().flat_map(|row| -> [&dyn ToSql; 5] {
            [&row.seq, &row.priority, &row.ord, &row.flags, &row.timestamp]
        });
        queue.held.insert_jobs.execute(queue.db, &JOBS, params_from_iter(std::iter::once(no).chain(jobs)))?;
        let texts: Vec<_> = self.0.iter().map(|row| (row.job.data.as_str(), row.options.as_str())).collect();
        let payloads = self.0.iter().zip(&texts).flat_map(|(row, (data, options))| -> [&dyn ToSql; 4] {
            [&row.seq, &row.job.name, data, options]
        });
        queue.held.insert_payloads.execute(queue.db, &PAYLOADS, params_from_iter(payloads))?;
        self.0.clear();
        Ok(())
    }

    /// Writes all that there are.
    fn write(&mut self, queue: &QueueTx<'_>) -> Sql<()> {
        self.0.drain(..).try_for_each(|row| row.write(queue))
    }
}

/// The rows of a new job.
struct Row<'a> {
    seq: i64,
    own_id: Option<&'a JobId>,
    state: i64,
    rank: u32,
    ord: i64,
    priority: u32,
    flags: i64,
    delay: i64,
    timestamp: i64,
    job: &'a NewJob,
    options: JsonText,
}

impl Row<'_> {
    fn write(&self, queue: &QueueTx<'_>) -> Sql<()> {
        let Self { seq, own_id, state, rank, ord, priority, flags, delay, timestamp, job, options } = self;
        queue.held.insert_job.execute(
            queue.db,
            "INSERT INTO oxmq_jobs (seq, queue, custom_id, state, rank, ord, priority, flags, delay, timestamp) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                seq,
                queue.row.no,
                own_id.map(JobId::as_str),
                state,
                rank,
                ord,
                priority,
                flags,
                delay,
                timestamp,
            ],
        )?;
        queue.held.insert_payload.execute(
            queue.db,
            "INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, ?2, ?3, ?4)",
            params![seq, job.name, job.data.as_str(), options.as_str()],
        )?;
        Ok(())
    }
}

/// The id of a new job that got this number.
pub(super) fn id_of(number: i64, job: &NewJob) -> JobId {
    job.options.job_id.clone().unwrap_or_else(|| JobId::stored(number.to_string()))
}

/// A job that is not there yet.
pub(super) struct New<'a> {
    /// What the queue's counter gave for it.
    pub(super) number: i64,
    /// The id that is not that number.
    pub(super) own_id: Option<&'a JobId>,
    pub(super) job: &'a NewJob,
    pub(super) options: &'a JobOptions,
    pub(super) parent: Option<&'a Parent>,
    /// It waits for children that are added with it.
    pub(super) has_children: bool,
    pub(super) timestamp: Timestamp,
    /// Those that it has besides what its options say.
    pub(super) flags: i64,
}

/// Creates a job; where it is.
pub(super) fn create(queue: &mut QueueTx<'_>, new: &New<'_>, now: Timestamp) -> Sql<JobState> {
    let (row, state, kind) = give_place(queue, new)?;
    row.write(queue)?;
    if let Some(parent) = new.parent {
        family::put_parent(queue.db, row.seq, parent)?;
    }
    tell(queue, new, state, kind, now)?;
    Ok(state)
}

/// Where a new job goes, and what is told of that.
fn give_place<'a>(queue: &mut QueueTx<'_>, new: &New<'a>) -> Sql<(Row<'a>, JobState, EventKind)> {
    let New { number, own_id, job, options, parent, has_children, timestamp, flags } = *new;
    let delay = options.delay.unwrap_or(Duration::ZERO);
    let priority = options.priority.unwrap_or(0);
    let lifo = options.lifo.unwrap_or(false);
    let due = timestamp + delay;
    let (state, rank, ord, place, kind) = if has_children {
        let ord = place::timed_ord(queue, stored::WAITING_CHILDREN, timestamp)?;
        let kind = EventKind::WaitingChildren { prev: None };
        (stored::WAITING_CHILDREN, 0, ord, JobState::WaitingChildren, kind)
    } else if delay.is_zero() {
        let ord = place::line_ord(queue, lifo && priority == 0);
        (stored::WAITING, priority, ord, place::line_state(priority), EventKind::Waiting { prev: None })
    } else {
        let ord = place::timed_ord(queue, stored::DELAYED, due)?;
        (stored::DELAYED, 0, ord, JobState::Delayed, EventKind::Delayed { at: due })
    };
    let flags = flags
        | if lifo { flag::LIFO } else { 0 }
        | if parent.is_some() { flag::PARENT } else { 0 }
        | if options.deduplication.is_some() { flag::DEDUPLICATION } else { 0 };
    let row = Row {
        seq: seq_of(queue.row.no, number),
        own_id,
        state,
        rank,
        ord,
        priority,
        flags,
        delay: millis(delay),
        timestamp: timestamp.as_millis(),
        job,
        options: options.to_json(),
    };
    Ok((row, place, kind))
}

/// Tells of a new job; its id.
fn tell(
    queue: &mut QueueTx<'_>,
    new: &New<'_>,
    state: JobState,
    kind: EventKind,
    now: Timestamp,
) -> Sql<JobId> {
    let id = new.own_id.cloned().unwrap_or_else(|| JobId::stored(new.number.to_string()));
    queue.emit(now, &Event::of(&id, EventKind::Added { name: new.job.name.clone() }))?;
    queue.emit(now, &Event::of(&id, kind))?;
    queue.count(None, Some(state));
    queue.ring_work();
    Ok(id)
}
