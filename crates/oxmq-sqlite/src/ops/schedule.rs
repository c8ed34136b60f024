//! `put_schedule`, `advance_schedule`, `remove_schedule`, `schedule`, `schedules`.

use oxmq_core::schedule::step::{
    Current, first_slot, free_slot, job_options, next_slot, slot_id, slot_of, template_options,
};
use oxmq_core::schedule::{Repeat, Rule};
use oxmq_core::store::{
    Advance, AdvanceFate, AdvanceScheduleRequest, Advanced, GROUP_JOBS_MAX, NextRun, PutScheduleRequest,
    RemoveScheduleRequest, ScheduleInfo, Scheduled, SchedulesPage, SchedulesRequest,
};
use oxmq_core::{
    Error, ErrorKind, Event, EventKind, JobId, JobOptions, JobState, JsonText, NewJob, Order, QueueAddress,
    Result, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::family::Parents;
use super::{add, family, look, place, refused};
use crate::fault::{Sql, SqlFault};
use crate::row::{JobRow, flag};
use crate::tx::{QueueTx, Tx};

/// A row of `oxmq_schedules`.
struct Schedule {
    id: String,
    slot: Timestamp,
    job: i64,
    made: u64,
    offset: i64,
    rule: String,
    name: String,
    data: String,
    opts: String,
}

/// The columns of [`Schedule`] and the rest of a query.
macro_rules! select_schedules {
    ($rest:literal) => {
        concat!("SELECT id, slot, job, made, offset, rule, name, data, opts FROM oxmq_schedules ", $rest)
    };
}

impl Schedule {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            slot: Timestamp::from_millis(row.get(1)?),
            job: row.get(2)?,
            made: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
            offset: row.get(4)?,
            rule: row.get(5)?,
            name: row.get(6)?,
            data: row.get(7)?,
            opts: row.get(8)?,
        })
    }

    fn find(db: &Connection, queue: i64, id: &str) -> Sql<Option<Self>> {
        Ok(db
            .prepare_cached(select_schedules!("WHERE queue = ?1 AND id = ?2"))?
            .query_row(params![queue, id], Self::read)
            .optional()?)
    }

    fn repeat(&self) -> Option<Repeat> {
        Repeat::parse(&self.rule).ok()
    }

    fn write(&self, db: &Connection, queue: i64) -> Sql<()> {
        db.prepare_cached(
            "INSERT OR REPLACE INTO oxmq_schedules (queue, id, slot, job, made, offset, rule, name, data, opts) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            queue,
            self.id,
            self.slot.as_millis(),
            self.job,
            self.made.cast_signed(),
            self.offset,
            self.rule,
            self.name,
            self.data,
            self.opts,
        ])?;
        Ok(())
    }

    fn info(self, db: &Connection) -> Sql<ScheduleInfo> {
        let repeat = self.repeat().map(|mut repeat| {
            if matches!(repeat.rule, Rule::Every(_)) {
                repeat.offset = Some(self.offset);
            }
            repeat
        });
        let mut info = ScheduleInfo::new(self.id, self.slot);
        info.ended = place::by_seq(db, self.job)?.is_none_or(|job| job.state().is_final());
        info.made = self.made;
        info.repeat = repeat;
        info.name = self.name;
        info.data = JsonText::stored(self.data);
        info.options = JsonText::stored(self.opts);
        Ok(info)
    }
}

pub(crate) fn put(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &PutScheduleRequest,
) -> Sql<Result<Scheduled>> {
    let PutScheduleRequest { id, at, template, now, .. } = request;
    let now = *now;
    let mut repeat = request.repeat.clone();
    (repeat.count, repeat.immediately) = (None, false);
    let options = template_options(&template.options);
    let queue = tx.queue(address, now)?;
    let no = queue.row.no;
    let was = Schedule::find(queue.db, no, id)?;
    let was_rule = was.as_ref().and_then(Schedule::repeat);
    let replaced = match &was {
        Some(was) => place::by_seq(queue.db, was.job)?.filter(waits),
        None => None,
    };
    let current = was.as_ref().map(|was| Current {
        slot: was.slot,
        repeat: was_rule.as_ref(),
        offset: was.offset,
        replaceable: replaced.is_some(),
    });
    let Some(first) = first_slot(&repeat, *at, current.as_ref(), now) else {
        let error = Error::invalid("put_schedule", "at", "none", "say when the pattern is due next");
        return Ok(Err(error));
    };
    let made = was.as_ref().map_or(0, |was| was.made);
    let number = if replaced.is_some() { made } else { made + 1 };
    let is_over = repeat.limit.is_some_and(|limit| number > limit);
    let but = replaced.as_ref().map(JobRow::id);
    let is_there = |job: &JobId| {
        Ok::<_, SqlFault>(Some(job) != but.as_ref() && JobRow::find(queue.db, no, job)?.is_some())
    };
    let slot = match free_slot(id, &repeat.rule, first.at, is_there)? {
        Ok(slot) => slot,
        Err(_) if is_over => first.at,
        Err(job) => {
            let message = "the job of this slot is there already: remove it, or begin at another time";
            return Ok(Err(
                refused(ErrorKind::Refused, "put_schedule", message, address, &job).with("schedule", id)
            ));
        }
    };

    if let Some(job) = &replaced {
        let mut orphans = Vec::new();
        place::delete_by_hand(queue, job, &mut orphans, now)?;
        family::removed(tx, address, orphans, Parents::Released, now)?;
    }
    let queue = tx.known(address)?;
    let mut schedule = Schedule {
        id: id.clone(),
        slot,
        job: 0,
        made: number,
        offset: first.offset,
        rule: repeat.to_json().as_str().to_owned(),
        name: template.name.clone(),
        data: template.data.as_str().to_owned(),
        opts: options.to_json().as_str().to_owned(),
    };
    if is_over {
        schedule.made = made;
        if let Some(was) = &was {
            (schedule.slot, schedule.job) = (was.slot, was.job);
        }
        schedule.write(queue.db, no)?;
        return Ok(Ok(Scheduled { next: None }));
    }
    let template = NewJob { name: template.name.clone(), data: template.data.clone(), options };
    let next = make(queue, &mut schedule, &repeat, &template, number, now)?;
    schedule.write(queue.db, no)?;
    Ok(Ok(Scheduled { next: Some(next) }))
}

pub(crate) fn advance(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &AdvanceScheduleRequest,
) -> Sql<Advanced> {
    let gone = Advanced { fate: AdvanceFate::Gone, overlaps: None };
    let Some(queue) = tx.find_queue(address)? else { return Ok(gone) };
    let overlaps = if request.alone { earlier_run(queue, request)? } else { None };
    Ok(Advanced { fate: advance_one(queue, request)?, overlaps })
}

fn advance_one(queue: &mut QueueTx<'_>, request: &AdvanceScheduleRequest) -> Sql<AdvanceFate> {
    let AdvanceScheduleRequest { id, job, next, now, .. } = request;
    let no = queue.row.no;
    let Some(mut schedule) = Schedule::find(queue.db, no, id)? else { return Ok(AdvanceFate::Gone) };
    if slot_id(id, schedule.slot) != *job {
        return Ok(AdvanceFate::Passed);
    }
    let Some(Advance { at, left_out_before, repeat, options }) = next else { return Ok(AdvanceFate::Ended) };
    let Some(kept) = schedule.repeat() else {
        return Err(SqlFault::Corrupt(format!("the rule of the schedule {id} cannot be read")));
    };
    let slot = match &kept.rule {
        Rule::Every(every) => {
            Some(next_slot(schedule.slot, *every, *left_out_before, schedule.offset, kept.start_date))
        }
        _ => *at,
    };
    let Some(slot) = slot else { return Ok(AdvanceFate::Ended) };
    let is_there = |job: &JobId| Ok::<_, SqlFault>(JobRow::find(queue.db, no, job)?.is_some());
    let slot = match free_slot(id, &kept.rule, slot, is_there)? {
        Ok(slot) => slot,
        Err(taken) => {
            queue.emit(*now, &Event::of(&taken, EventKind::Duplicated))?;
            return Ok(AdvanceFate::Taken(taken));
        }
    };
    if repeat.end_date.is_some_and(|end| slot > end) {
        return Ok(AdvanceFate::Ended);
    }
    schedule.slot = slot;
    schedule.made += 1;
    let template = NewJob {
        name: schedule.name.clone(),
        data: JsonText::stored(schedule.data.as_str()),
        options: options.clone(),
    };
    let next = make(queue, &mut schedule, repeat, &template, repeat.count.unwrap_or(1), *now)?;
    queue
        .db
        .prepare_cached(
            "UPDATE oxmq_schedules SET slot = ?3, job = ?4, made = ?5 WHERE queue = ?1 AND id = ?2",
        )?
        .execute(params![no, id, slot.as_millis(), schedule.job, schedule.made.cast_signed()])?;
    Ok(AdvanceFate::Made(next))
}

/// An active job of the schedule with an earlier slot. There are never many active ones.
fn earlier_run(queue: &QueueTx<'_>, request: &AdvanceScheduleRequest) -> Sql<Option<JobId>> {
    let slot_of = |id: &str| slot_of(id).filter(|(other, _)| *other == request.id).map(|(_, slot)| slot);
    let Some(own) = slot_of(request.job.as_str()) else { return Ok(None) };
    let active: Vec<String> = queue
        .db
        .prepare_cached(
            "SELECT custom_id FROM oxmq_jobs WHERE queue = ?1 AND state = 3 AND flags & 128 != 0",
        )?
        .query_map([queue.row.no], |row| row.get(0))?
        .collect::<std::result::Result<_, _>>()?;
    Ok(active.into_iter().find(|id| slot_of(id).is_some_and(|slot| slot < own)).map(JobId::from))
}

pub(crate) fn remove(tx: &mut Tx<'_>, address: &QueueAddress, request: &RemoveScheduleRequest) -> Sql<bool> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(false) };
    let no = queue.row.no;
    let Some(schedule) = Schedule::find(queue.db, no, &request.id)? else { return Ok(false) };
    queue
        .db
        .prepare_cached("DELETE FROM oxmq_schedules WHERE queue = ?1 AND id = ?2")?
        .execute(params![no, request.id])?;
    if let Some(job) = place::by_seq(queue.db, schedule.job)?.filter(|job| job.state() == JobState::Delayed) {
        let mut orphans = Vec::new();
        place::delete_by_hand(queue, &job, &mut orphans, request.now)?;
        family::removed(tx, address, orphans, Parents::Released, request.now)?;
        let queue = tx.known(address)?;
        queue.emit(request.now, &Event::of(&job.id(), EventKind::Removed { prev: "delayed".into() }))?;
    }
    Ok(true)
}

pub(crate) fn one(db: &Connection, address: &QueueAddress, id: &str) -> Sql<Option<ScheduleInfo>> {
    let Some(queue) = look::queue_no(db, address)? else { return Ok(None) };
    Schedule::find(db, queue, id)?.map(|schedule| schedule.info(db)).transpose()
}

pub(crate) fn page(
    db: &Connection,
    address: &QueueAddress,
    request: &SchedulesRequest,
) -> Sql<SchedulesPage> {
    let Some(queue) = look::queue_no(db, address)? else { return Ok(SchedulesPage::default()) };
    let total: i64 = db
        .prepare_cached("SELECT count(*) FROM oxmq_schedules WHERE queue = ?1")?
        .query_row([queue], |row| row.get(0))?;
    let query = match request.order {
        Order::Ascending => select_schedules!("WHERE queue = ?1 ORDER BY slot, id LIMIT ?2 OFFSET ?3"),
        Order::Descending => {
            select_schedules!("WHERE queue = ?1 ORDER BY slot DESC, id DESC LIMIT ?2 OFFSET ?3")
        }
    };
    let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let found: Vec<Schedule> = db
        .prepare_cached(query)?
        .query_map(
            params![queue, bound(request.limit.min(GROUP_JOBS_MAX) as u64), bound(request.offset)],
            Schedule::read,
        )?
        .collect::<std::result::Result<_, _>>()?;
    let schedules = found.into_iter().map(|schedule| schedule.info(db)).collect::<Sql<_>>()?;
    Ok(SchedulesPage { schedules, total: u64::try_from(total).unwrap_or(0) })
}

/// Whether a job waits for its slot, or in it.
fn waits(job: &JobRow) -> bool {
    matches!(job.state(), JobState::Delayed | JobState::Waiting | JobState::Prioritized)
}

/// Whether a job is the current one of its schedule, and has not ended: it is not taken away from it.
pub(super) fn is_current(db: &Connection, job: &JobRow) -> Sql<bool> {
    if !job.has(flag::SCHEDULED) || job.state().is_final() {
        return Ok(false);
    }
    Ok(db.prepare_cached("SELECT 1 FROM oxmq_schedules WHERE job = ?1")?.exists([job.seq])?)
}

/// Whether a job was made by a schedule that is still there.
pub(super) fn is_of_a_schedule(db: &Connection, queue: i64, job: &JobRow) -> Sql<bool> {
    if !job.has(flag::SCHEDULED) {
        return Ok(false);
    }
    let Some(schedule) = job.schedule() else { return Ok(false) };
    Ok(db
        .prepare_cached("SELECT 1 FROM oxmq_schedules WHERE queue = ?1 AND id = ?2")?
        .exists(params![queue, schedule])?)
}

/// The refusal that goes with [`is_current`].
pub(super) fn needed_by_its_schedule(operation: &'static str, queue: &QueueAddress, job: &JobId) -> Error {
    let message =
        "the job is the current one of its schedule, which would end with it: remove the schedule instead";
    refused(ErrorKind::Refused, operation, message, queue, job)
}

/// Makes the job of the schedule's slot.
fn make(
    queue: &mut QueueTx<'_>,
    schedule: &mut Schedule,
    repeat: &Repeat,
    template: &NewJob,
    number: u64,
    now: Timestamp,
) -> Sql<NextRun> {
    let options: JobOptions =
        job_options(&template.options, &schedule.id, repeat, number, schedule.slot, now);
    let job = slot_id(&schedule.id, schedule.slot);
    let counter = queue.next_id();
    schedule.job = crate::row::seq_of(queue.row.no, counter);
    let new = add::New {
        number: counter,
        own_id: Some(&job),
        job: template,
        options: &options,
        parent: None,
        has_children: false,
        timestamp: options.created_at(now),
        flags: flag::SCHEDULED,
    };
    add::create(queue, &new, now)?;
    Ok(NextRun { job, due: schedule.slot })
}
