//! Requests and answers of the section "schedule".

use crate::address::JobId;
use crate::clock::Timestamp;
use crate::job::NewJob;
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::schedule::Repeat;

use super::Order;

/// How many slots of "every" are looked at for one whose job is not there already.
pub const SLOTS_TRIED_MAX: u32 = 32;

/// A schedule to be made, or to take the place of the one with its id.
#[derive(Debug, Clone, PartialEq)]
pub struct PutScheduleRequest {
    /// What it is called, unique in its queue; any text but an empty one.
    pub id: String,
    /// The rule, as it is kept; its `count` and `immediately` are not looked at.
    pub repeat: Repeat,
    /// When its next job is due; needed for a pattern, and not looked at for "every", which the store computes.
    pub at: Option<Timestamp>,
    /// What each of its jobs is. Its id, delay and timestamp are not looked at: the schedule sets them.
    pub template: NewJob,
    /// The time of the call.
    pub now: Timestamp,
}

/// What became of a schedule that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Its next job; `None` if its limit is reached.
    pub next: Option<NextRun>,
}

/// The job of a schedule that runs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextRun {
    /// Its id: `repeat:` + the schedule's id + `:` + the slot in milliseconds since 1970.
    pub job: JobId,
    /// Its slot. It waits for it in `delayed`, unless that has passed.
    pub due: Timestamp,
}

/// A job of a schedule has started: the next one is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvanceScheduleRequest {
    /// Which schedule.
    pub id: String,
    /// The job that has started.
    pub job: JobId,
    /// What comes next; `None` makes nothing, because the schedule has ended, and only asks for `alone`.
    pub next: Option<Advance>,
    /// Whether to look for a job of an earlier slot that is still active.
    pub alone: bool,
    /// The time of the call.
    pub now: Timestamp,
}

/// The next job of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// When it is due; needed for a pattern, and not looked at for "every", which the store computes from what it keeps.
    pub at: Option<Timestamp>,
    /// Slots of "every" before this time are left out: `now`, or earlier to catch up with those that were missed.
    pub left_out_before: Timestamp,
    /// The rule as the job carries it; its `count` is the new job's number.
    pub repeat: Repeat,
    /// The options of the job that has started; id, delay and timestamp are set anew. Name and data are the schedule's.
    pub options: JobOptions,
}

/// What became of the next job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advanced {
    /// Whether it was made.
    pub fate: AdvanceFate,
    /// A job of an earlier slot that is active, if that was asked for.
    pub overlaps: Option<JobId>,
}

/// Whether the next job of a schedule was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdvanceFate {
    /// It was.
    Made(NextRun),
    /// The job that has started is not the current one of the schedule: the next one was made before, by an earlier start.
    Passed,
    /// There is no such schedule, or no more.
    Gone,
    /// It would be later than the end of the schedule, or nothing was to be made.
    Ended,
    /// A job with its id is there already: of a pattern this one, of "every" the last of those that were tried.
    Taken(JobId),
}

/// A schedule to be removed.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoveScheduleRequest {
    /// Which.
    pub id: String,
    /// The time of the call.
    pub now: Timestamp,
}

/// Which page of schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulesRequest {
    /// How many to pass over.
    pub offset: u64,
    /// The most to give; at most [`GROUP_JOBS_MAX`](super::GROUP_JOBS_MAX).
    pub limit: usize,
    /// Ascending: the one that is due next comes first.
    pub order: Order,
}

/// A page of schedules.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SchedulesPage {
    /// The schedules.
    pub schedules: Vec<ScheduleInfo>,
    /// How many there are in all.
    pub total: u64,
}

/// A schedule as a store has it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// What it is called.
    pub id: String,
    /// The slot of its current job, the one that makes the next one when it starts.
    pub next: Timestamp,
    /// Whether that job has ended, or is not there: the limit or the end is reached, or somebody removed it. Such a schedule
    /// makes no more jobs until it is put again.
    pub ended: bool,
    /// How many jobs it has made, with the current one.
    pub made: u64,
    /// The rule; `None` if it is of a kind that is not known here, which BullMQ before version 6 made, or damaged: then it makes
    /// no jobs here.
    pub repeat: Option<Repeat>,
    /// The name of its jobs.
    pub name: String,
    /// The payload of its jobs.
    pub data: JsonText,
    /// The options of its jobs.
    pub options: JsonText,
}

impl ScheduleInfo {
    /// A schedule of which no more is known; for stores, which fill in the rest.
    pub fn new(id: String, next: Timestamp) -> Self {
        Self {
            id,
            next,
            ended: false,
            made: 0,
            repeat: None,
            name: String::new(),
            data: JsonText::empty_object(),
            options: JsonText::empty_object(),
        }
    }
}
