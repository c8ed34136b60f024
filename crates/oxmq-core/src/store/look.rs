//! Requests and answers of the section "look".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::{JobId, QueueAddress};
use crate::clock::Timestamp;
use crate::job::JobView;
use crate::state::JobState;
use crate::store::RateLimit;

/// In which direction a page runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// First the one that runs, ran or finished first.
    #[default]
    Ascending,
    /// First the last one.
    Descending,
}

/// Which page of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobsRequest {
    /// These states, one after the other.
    pub states: Vec<JobState>,
    /// How many to pass over.
    pub offset: u64,
    /// The most to give; at most [`GROUP_JOBS_MAX`](super::GROUP_JOBS_MAX).
    pub limit: usize,
    /// The direction, within each state.
    pub order: Order,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobsPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
}

/// How many jobs are in each state, and whether the queue is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JobCounts {
    /// Waiting, also when the queue is paused.
    pub waiting: u64,
    /// Waiting with a priority above 0.
    pub prioritized: u64,
    /// Delayed.
    pub delayed: u64,
    /// Active.
    pub active: u64,
    /// Completed and kept.
    pub completed: u64,
    /// Failed and kept.
    pub failed: u64,
    /// Waiting for children.
    pub waiting_children: u64,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Until when nothing is given, if the queue is limited at the time of the call.
    pub limited_until: Option<Timestamp>,
}

impl JobCounts {
    /// The number of jobs in a state.
    pub fn of(&self, state: JobState) -> u64 {
        match state {
            JobState::Waiting => self.waiting,
            JobState::Prioritized => self.prioritized,
            JobState::Delayed => self.delayed,
            JobState::Active => self.active,
            JobState::Completed => self.completed,
            JobState::Failed => self.failed,
            JobState::WaitingChildren => self.waiting_children,
        }
    }

    /// The place for the number of jobs in a state; for stores.
    pub fn of_mut(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Waiting => &mut self.waiting,
            JobState::Prioritized => &mut self.prioritized,
            JobState::Delayed => &mut self.delayed,
            JobState::Active => &mut self.active,
            JobState::Completed => &mut self.completed,
            JobState::Failed => &mut self.failed,
            JobState::WaitingChildren => &mut self.waiting_children,
        }
    }

    /// All jobs, in whatever state.
    pub fn total(&self) -> u64 {
        JobState::ALL.into_iter().map(|state| self.of(state)).sum()
    }

    /// The jobs that have not ended: all but the completed and the failed ones.
    pub fn unfinished(&self) -> u64 {
        self.total() - self.completed - self.failed
    }
}

/// Which jobs are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tally {
    /// Those that wait with each of these priorities; 0 is all of [`JobState::Waiting`].
    Priorities(Vec<u32>),
    /// The delayed ones that are due before this time: one number.
    DueBefore(Timestamp),
}

/// The limits of a queue, and whether it is at one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Until when nothing is given, if that is so at the time of the call: by hand, or because the window of the rate
    /// below is full.
    pub until: Option<Timestamp>,
    /// How many jobs may be active at a time.
    pub concurrency: Option<u32>,
    /// How many jobs may be taken in a window.
    pub rate: Option<RateLimit>,
    /// Whether as many jobs are active as may be.
    pub is_full: bool,
    /// The window that runs at the time of the call, whoever's rate began it; none while the queue is limited by hand.
    pub window: Option<RateWindow>,
    /// Until when nothing is given because somebody [said so](super::Limit::Until).
    pub by_hand: Option<Timestamp>,
}

/// A window of a rate that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateWindow {
    /// How many jobs were taken in it.
    pub taken: u64,
    /// When it ends.
    pub until: Timestamp,
}

impl RateWindow {
    /// For stores.
    pub const fn new(taken: u64, until: Timestamp) -> Self {
        Self { taken, until }
    }
}

/// The most points that are kept of what ended, one per minute: ten weeks.
pub const METRICS_POINTS_MAX: u32 = 100_800;

/// Which points of what ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsRequest {
    /// Completed or failed; of other states nothing is counted.
    pub state: JobState,
    /// How many points to pass over, from the newest on.
    pub offset: u64,
    /// The most points to give; at most [`METRICS_POINTS_MAX`].
    pub limit: usize,
}

/// What was counted of the jobs that ended in a state, as it is stored. A [queue](crate::Queue::metrics) shows it as of now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsPage {
    /// How many jobs were counted.
    pub total: u64,
    /// The first job that was counted in the minute of the last one; `None` if none ever was.
    pub prev_at: Option<Timestamp>,
    /// How many jobs had been counted before that one: the difference to the total is what ended in that minute.
    pub prev_total: u64,
    /// Jobs per minute, the newest first: the first point is the minute before that of `prev_at`.
    pub points: Vec<u64>,
    /// How many points there are in all.
    pub length: u64,
}

/// Which page of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsRequest {
    /// Which job.
    pub job: JobId,
    /// How many lines to pass over.
    pub offset: u64,
    /// The most lines to give; at most [`GROUP_JOBS_MAX`](super::GROUP_JOBS_MAX).
    pub limit: usize,
    /// Ascending is oldest first.
    pub order: Order,
}

/// A page of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogsPage {
    /// The lines.
    pub lines: Vec<String>,
    /// How many lines there are in all.
    pub total: u64,
}

/// A queue that the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its address.
    pub queue: QueueAddress,
    /// Whether it is paused.
    pub paused: bool,
}

/// What a worker tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Unique for each start of a worker.
    pub id: String,
    /// Its name, if it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The machine it runs on.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// The version of this library.
    pub version: String,
    /// How many jobs it runs at once.
    pub concurrency: u32,
    /// How many it runs now.
    pub active: u32,
    /// When it started, in ms since 1970.
    pub started_at: i64,
    /// When it last got a job, in ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_take_at: Option<i64>,
}

/// How long an announcement of a worker holds unless it is renewed.
pub const ANNOUNCE_FOR: Duration = Duration::from_secs(30);

/// Of so many announcements of a worker one is whole; the others only [renew](super::AnnounceRequest::renews) it.
pub const ANNOUNCE_WHOLE: u32 = 30;
