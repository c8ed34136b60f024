//! Put, advance, remove, look at schedules.

use super::family::Removal;
use super::look::{cut, in_order};
use super::produce::Fresh;
use super::{Model, Queue};
use crate::address::{JobId, QueueAddress};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::events::EventKind;
use crate::job::NewJob;
use crate::options::JobOptions;
use crate::schedule::step::{
    Current, first_slot, free_slot, job_options, next_slot, slot_id, template_options,
};
use crate::schedule::{Repeat, Rule};
use crate::state::JobState;
use crate::store::{
    Advance, AdvanceFate, AdvanceScheduleRequest, Advanced, NextRun, PutScheduleRequest,
    RemoveScheduleRequest, ScheduleInfo, Scheduled, SchedulesPage, SchedulesRequest,
};

/// A schedule.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    slot: Timestamp,
    offset: i64,
    made: u64,
    repeat: Repeat,
    template: NewJob,
}

impl Model {
    /// [`Store::put_schedule`](crate::Store::put_schedule).
    pub fn put_schedule(&mut self, address: &QueueAddress, request: PutScheduleRequest) -> Result<Scheduled> {
        let queue = self.queue_mut(address);
        let PutScheduleRequest { id, mut repeat, at, mut template, now } = request;
        (repeat.count, repeat.immediately) = (None, false);
        template.options = template_options(&template.options);

        let was = queue.schedules.get(&id);
        let waits = [JobState::Delayed, JobState::Prioritized, JobState::Waiting];
        let replaced = was
            .map(|was| slot_id(&id, was.slot))
            .filter(|job| queue.jobs.get(job).is_some_and(|entry| waits.contains(&entry.state)));
        let current = was.map(|was| Current {
            slot: was.slot,
            repeat: Some(&was.repeat),
            offset: was.offset,
            replaceable: replaced.is_some(),
        });
        let Some(first) = first_slot(&repeat, at, current.as_ref(), now) else {
            return Err(Error::invalid("put_schedule", "at", "none", "say when the pattern is due next"));
        };
        let made = was.map_or(0, |was| was.made);
        let number = if replaced.is_some() { made } else { made + 1 };
        let old_slot = was.map(|was| was.slot);
        let is_there =
            |job: &JobId| Ok::<_, Error>(queue.jobs.contains_key(job) && Some(job) != replaced.as_ref());
        let is_over = repeat.limit.is_some_and(|limit| number > limit);
        let slot = match free_slot(&id, &repeat.rule, first.at, is_there)? {
            Ok(slot) => slot,
            Err(_) if is_over => first.at,
            Err(job) => return Err(slot_is_taken(&job)),
        };

        if let Some(job) = &replaced {
            self.delete(address, std::slice::from_ref(job), Removal::ByHand, now);
        }
        let queue = self.queue_mut(address);
        let schedule = Schedule {
            slot: if is_over { old_slot.unwrap_or(slot) } else { slot },
            offset: first.offset,
            made: if is_over { made } else { number },
            repeat: repeat.clone(),
            template: template.clone(),
        };
        queue.schedules.insert(id.clone(), schedule);
        if is_over {
            return Ok(Scheduled { next: None });
        }
        Ok(Scheduled { next: Some(queue.make(&id, &repeat, &template, number, slot, now)) })
    }

    /// [`Store::advance_schedule`](crate::Store::advance_schedule).
    pub fn advance_schedule(&mut self, queue: &QueueAddress, request: AdvanceScheduleRequest) -> Advanced {
        let queue = self.queue_mut(queue);
        let AdvanceScheduleRequest { id, job, next, alone, now } = request;
        let overlaps = if alone { queue.earlier_run(&id, &job) } else { None };
        let fate = queue.advance(&id, &job, next, now);
        Advanced { fate, overlaps }
    }

    /// [`Store::remove_schedule`](crate::Store::remove_schedule).
    pub fn remove_schedule(&mut self, address: &QueueAddress, request: &RemoveScheduleRequest) -> bool {
        let queue = self.queue_mut(address);
        let Some(schedule) = queue.schedules.remove(&request.id) else { return false };
        let job = slot_id(&request.id, schedule.slot);
        if queue.jobs.get(&job).is_some_and(|entry| entry.state == JobState::Delayed) {
            self.delete(address, std::slice::from_ref(&job), Removal::ByHand, request.now);
            self.queue_mut(address).emit_of(&job, EventKind::Removed { prev: "delayed".into() }, request.now);
        }
        true
    }

    /// [`Store::schedule`](crate::Store::schedule).
    pub fn schedule(&self, queue: &QueueAddress, id: &str) -> Option<ScheduleInfo> {
        let queue = self.queue(queue)?;
        Some(queue.info(id, queue.schedules.get(id)?))
    }

    /// [`Store::schedules`](crate::Store::schedules).
    pub fn schedules(&self, queue: &QueueAddress, request: SchedulesRequest) -> SchedulesPage {
        let Some(queue) = self.queue(queue) else { return SchedulesPage::default() };
        let mut all: Vec<_> = queue.schedules.iter().map(|(id, schedule)| queue.info(id, schedule)).collect();
        // They were in the order of their ids.
        all.sort_by_key(|info| info.next);
        let page = cut(in_order(all.iter(), request.order), request.offset, request.limit);
        SchedulesPage { schedules: page.cloned().collect(), total: all.len() as u64 }
    }
}

impl Queue {
    /// Whether a job is the current one of its schedule and has not ended.
    pub(super) fn is_current(&self, id: &JobId) -> bool {
        let Some(entry) = self.jobs.get(id).filter(|entry| !entry.state.is_final()) else { return false };
        let Some(schedule) = entry.job.scheduler_id.as_ref() else { return false };
        self.schedules.get(schedule).is_some_and(|found| slot_id(schedule, found.slot) == *id)
    }

    /// Whether a job was made by a schedule that is still there.
    pub(super) fn is_of_a_schedule(&self, id: &JobId) -> bool {
        let schedule = self.jobs[id].job.scheduler_id.as_ref();
        schedule.is_some_and(|schedule| self.schedules.contains_key(schedule))
    }

    fn info(&self, id: &str, schedule: &Schedule) -> ScheduleInfo {
        let current = self.jobs.get(&slot_id(id, schedule.slot));
        let mut info = ScheduleInfo::new(id.to_owned(), schedule.slot);
        info.ended = current.is_none_or(|entry| entry.state.is_final());
        info.made = schedule.made;
        let mut repeat = schedule.repeat.clone();
        if matches!(repeat.rule, Rule::Every(_)) {
            repeat.offset = Some(schedule.offset);
        }
        info.repeat = Some(repeat);
        info.name.clone_from(&schedule.template.name);
        info.data = schedule.template.data.clone();
        info.options = schedule.template.options.to_json();
        info
    }

    /// An active job of the schedule with an earlier slot than `job`.
    fn earlier_run(&self, id: &str, job: &JobId) -> Option<JobId> {
        let slot_of = |job: &JobId| {
            crate::schedule::step::slot_of(job.as_str())
                .filter(|(other, _)| *other == id)
                .map(|(_, slot)| slot)
        };
        let own = slot_of(job)?;
        self.list(JobState::Active).find(|other| slot_of(other).is_some_and(|slot| slot < own)).cloned()
    }

    fn advance(&mut self, id: &str, job: &JobId, next: Option<Advance>, now: Timestamp) -> AdvanceFate {
        let Some(schedule) = self.schedules.get(id) else { return AdvanceFate::Gone };
        if slot_id(id, schedule.slot) != *job {
            return AdvanceFate::Passed;
        }
        let Some(Advance { at, left_out_before, repeat, options }) = next else { return AdvanceFate::Ended };
        let slot = match &schedule.repeat.rule {
            Rule::Every(every) => Some(next_slot(
                schedule.slot,
                *every,
                left_out_before,
                schedule.offset,
                schedule.repeat.start_date,
            )),
            Rule::Pattern(_) => at,
        };
        let Some(slot) = slot else { return AdvanceFate::Ended };
        let is_there = |job: &JobId| Ok::<_, ()>(self.jobs.contains_key(job));
        let slot = match free_slot(id, &schedule.repeat.rule, slot, is_there) {
            Ok(Ok(slot)) => slot,
            Ok(Err(taken)) => {
                self.emit_of(&taken, EventKind::Duplicated, now);
                return AdvanceFate::Taken(taken);
            }
            Err(()) => unreachable!("looking cannot fail"),
        };
        if repeat.end_date.is_some_and(|end| slot > end) {
            return AdvanceFate::Ended;
        }
        let mut template = schedule.template.clone();
        template.options = options;
        let schedule = self.schedules.get_mut(id).expect("the schedule is there");
        schedule.slot = slot;
        schedule.made += 1;
        let number = repeat.count.unwrap_or(1);
        AdvanceFate::Made(self.make(id, &repeat, &template, number, slot, now))
    }

    fn make(
        &mut self,
        id: &str,
        repeat: &Repeat,
        template: &NewJob,
        number: u64,
        slot: Timestamp,
        now: Timestamp,
    ) -> NextRun {
        self.last_number += 1;
        let options: JobOptions = job_options(&template.options, id, repeat, number, slot, now);
        let job = slot_id(id, slot);
        let fresh = Fresh {
            job: template,
            options: &options,
            parent: None,
            has_children: false,
            timestamp: options.created_at(now),
            scheduler: Some(id),
        };
        self.create(&job, &fresh, now);
        NextRun { job, due: slot }
    }
}

fn slot_is_taken(job: &JobId) -> Error {
    let message = "the job of this slot is there already: remove it, or begin at another time";
    Error::new(ErrorKind::Refused, "put_schedule", message).with("job", job)
}

/// The current job of a schedule is not taken away from it.
pub(super) fn needed_by_its_schedule(operation: &'static str, job: &JobId) -> Error {
    let message =
        "the job is the current one of its schedule, which would end with it: remove the schedule instead";
    Error::new(ErrorKind::Refused, operation, message).with("job", job)
}
