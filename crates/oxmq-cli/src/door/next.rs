//! What comes of a demand, as BullMQ's workers read it.

use oxmq::Timestamp;
use oxmq::store::{Idle, Taken};
use serde::Serialize;

use super::job::JobOut;

/// The next job, or why there is none: `[job or null, id, how long the queue is limited, when the next job is due]`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Next {
    Nothing([u8; 0]),
    Job(Box<(JobOut, String, u8, u8)>),
    Idle(((), u8, i64, i64)),
}

impl Next {
    pub(super) fn of(taken: Taken, now: Timestamp) -> Self {
        if let Some(leased) = taken.jobs.into_iter().next() {
            let id = leased.job.id.as_str().to_owned();
            return Self::Job(Box::new((leased.job.into(), id, 0, 0)));
        }
        let (limited, due) = match taken.idle {
            Some(Idle::Empty { next_due: Some(due) }) => (0, due.as_millis()),
            Some(Idle::RateLimited { until }) => {
                (until.as_millis().saturating_sub(now.as_millis()).max(1), 0)
            }
            _ => (0, 0),
        };
        Self::Idle(((), 0, limited, due))
    }

    /// After an ending there is no answer at all if there is nothing, now or later.
    pub(super) fn after_ending(taken: Option<Taken>, now: Timestamp) -> Self {
        match taken {
            None | Some(Taken { idle: Some(Idle::Empty { next_due: None }), .. }) => Self::Nothing([]),
            Some(taken) => Self::of(taken, now),
        }
    }

    /// After a job was delayed only a job is an answer.
    pub(super) fn only_job(taken: Option<Taken>, now: Timestamp) -> Self {
        match taken {
            Some(taken) if !taken.jobs.is_empty() => Self::of(taken, now),
            _ => Self::Nothing([]),
        }
    }
}
