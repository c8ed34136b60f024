//! Steering: jobs that are moved, changed and removed by hand, and whole queues.

use oxmq::store::{
    Change, CleanRequest, DetachRequest, DrainRequest, GROUP_JOBS_MAX, ObliterateRequest, PromoteRequest,
    RemoveAnswer, RemoveRequest, RemoveScope, RescheduleRequest, RetryRequest, Step, too_many_below,
};
use oxmq::{Error, ErrorKind, Event, EventKind, JobId, JobState, PRIORITY_MAX, Timestamp};
use serde::Deserialize;

use super::call::{Call, Outcome, answer, count, done, whole};
use super::ctx::ms;
use super::errors::{About, Failure};
use super::look::state_named;

/// The most steps of one bulk request, each of up to [`GROUP_JOBS_MAX`] jobs. Only a queue that is filled as fast as it is emptied has
/// more, and the caller is told.
const STEPS_MAX: usize = 100_000;

/// How many jobs BullMQ's bulk calls move at a time, unless they are told.
const COUNT_DEFAULT: f64 = 1_000.0;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneJob {
    job_id: String,
}

fn store_failed(error: &Error) -> Failure {
    Failure::of(error)
}

fn step_limit(asked: Option<f64>) -> usize {
    usize::try_from(count(asked.unwrap_or(COUNT_DEFAULT))).unwrap_or(GROUP_JOBS_MAX).clamp(1, GROUP_JOBS_MAX)
}

/// BullMQ's cursor: 0 is the end.
fn cursor(step: &Step) -> Outcome {
    answer(&u8::from(step.more))
}

fn too_many_steps() -> Failure {
    Failure::plain(format!(
        "gave up after {STEPS_MAX} steps: jobs come as fast as they go; pause the queue first"
    ))
}

pub(super) async fn promote(call: Call) -> Outcome {
    let OneJob { job_id } = call.read()?;
    let request = PromoteRequest::One { job: JobId::from(job_id.as_str()), now: call.now };
    let about = About { command: "promote", job: &job_id, state: "delayed" };
    call.store().promote(&call.address()?, request).await.map_err(|error| {
        // BullMQ does not look whether there is such a job.
        let error = match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::WrongState, "promote", error.message()),
            _ => error,
        };
        Failure::of_job(&error, about)
    })?;
    done()
}

pub(super) async fn promote_jobs(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        count: Option<f64>,
    }
    let Params { count } = call.read()?;
    let request = PromoteRequest::All { limit: step_limit(count), now: call.now };
    cursor(&call.store().promote(&call.address()?, request).await.map_err(|error| store_failed(&error))?)
}

pub(super) async fn retry_finished_job(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Stub {
        id: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Opts {
        reset_attempts_made: bool,
        reset_attempts_started: bool,
    }
    #[derive(Deserialize)]
    struct Params {
        job: Stub,
        state: String,
        #[serde(default, deserialize_with = "super::call::or_default")]
        opts: Opts,
    }
    let Params { job, state, opts } = call.read()?;
    let request = RetryRequest::One {
        job: JobId::from(job.id.as_str()),
        state: finished_state(&call, &state)?,
        reset_attempts_made: opts.reset_attempts_made,
        reset_attempts_started: opts.reset_attempts_started,
        now: call.now,
    };
    let about = About { command: "reprocessJob", job: &job.id, state: &state };
    let retried = call.store().retry(&call.address()?, request).await;
    retried.map_err(|error| Failure::of_job(&error, about))?;
    done()
}

pub(super) async fn retry_finished_jobs(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        state: Option<String>,
        count: Option<f64>,
        timestamp: Option<f64>,
    }
    let Params { state, count, timestamp } = call.read()?;
    let request = RetryRequest::Many {
        state: finished_state(&call, state.as_deref().unwrap_or("failed"))?,
        finished_until: timestamp.map_or(call.now, |ms| Timestamp::from_millis(whole(ms))),
        limit: step_limit(count),
        now: call.now,
    };
    cursor(&call.store().retry(&call.address()?, request).await.map_err(|error| store_failed(&error))?)
}

fn finished_state(call: &Call, state: &str) -> Result<JobState, Failure> {
    match state {
        "completed" => Ok(JobState::Completed),
        "failed" => Ok(JobState::Failed),
        other => Err(Failure::params(&call.method, format!("`state` is {other}: use completed or failed"))),
    }
}

pub(super) async fn pause(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        pause: bool,
    }
    let Params { pause } = call.read()?;
    let queue = call.address()?;
    let store = call.store();
    let held = if pause { store.pause(&queue, call.now).await } else { store.resume(&queue, call.now).await };
    held.map_err(|error| store_failed(&error))?;
    done()
}

pub(super) async fn drain(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, deserialize_with = "super::call::or_default")]
        delayed: bool,
    }
    let Params { delayed } = call.read()?;
    let queue = call.address()?;
    for _ in 0..STEPS_MAX {
        let request = DrainRequest { delayed, limit: GROUP_JOBS_MAX, now: call.now };
        let step = call.store().drain(&queue, request).await.map_err(|error| store_failed(&error))?;
        if !step.more {
            return done();
        }
    }
    Err(too_many_steps())
}

pub(super) async fn clean(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        state: String,
        timestamp: f64,
        limit: Option<f64>,
    }
    let Params { state, timestamp, limit } = call.read()?;
    let queue = call.address()?;
    let mut ids: Vec<String> = Vec::new();
    let Some(state) = state_named(&state).filter(|state| *state != JobState::WaitingChildren) else {
        // There is no such job, but the event is told.
        let none = Event::queue(EventKind::Cleaned { count: 0 });
        call.store().publish(&queue, none, call.now).await.map_err(|error| store_failed(&error))?;
        return answer(&ids);
    };
    let wanted = limit.map(count).filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
    for _ in 0..STEPS_MAX {
        let left = wanted.map_or(GROUP_JOBS_MAX, |wanted| wanted - ids.len());
        let request = CleanRequest {
            state,
            older_than: Timestamp::from_millis(whole(timestamp)),
            limit: left.min(GROUP_JOBS_MAX),
            now: call.now,
        };
        let step = call.store().clean(&queue, request).await.map_err(|error| store_failed(&error))?;
        ids.extend(step.ids.iter().map(|id| id.as_str().to_owned()));
        if !step.more || wanted.is_some_and(|wanted| ids.len() >= wanted) {
            return answer(&ids);
        }
    }
    Err(too_many_steps())
}

pub(super) async fn obliterate(call: Call) -> Outcome {
    #[derive(Default, Deserialize)]
    struct Opts {
        #[serde(default, deserialize_with = "super::call::or_default")]
        force: bool,
        count: Option<f64>,
    }
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, deserialize_with = "super::call::or_default")]
        opts: Opts,
    }
    let Params { opts } = call.read()?;
    let queue = call.address()?;
    // Ours pauses the queue by itself, BullMQ's refuses.
    let counts = call.store().counts(&queue, call.now).await.map_err(|error| store_failed(&error))?;
    if !counts.paused {
        return Err(Failure::plain("Cannot obliterate non-paused queue"));
    }
    let request = ObliterateRequest { force: opts.force, limit: step_limit(opts.count), now: call.now };
    let step = call.store().obliterate(&queue, request).await.map_err(|error| match error.kind() {
        ErrorKind::Refused => Failure::plain("Cannot obliterate queue with active jobs"),
        _ => store_failed(&error),
    })?;
    cursor(&step)
}

/// A job is one row, or moves in one script: none is ever without a state.
#[allow(clippy::unused_async, reason = "as all operations are")]
pub(super) async fn remove_orphans(_call: Call) -> Outcome {
    answer(&0)
}

pub(super) async fn change_delay(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        delay: f64,
    }
    let Params { job_id, delay } = call.read()?;
    reschedule(&call, "changeDelay", &job_id, Change::Delay(ms(delay))).await
}

pub(super) async fn change_priority(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        priority: Option<f64>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        lifo: bool,
    }
    let Params { job_id, priority, lifo } = call.read()?;
    let priority = u32::try_from(count(priority.unwrap_or(0.0))).unwrap_or(PRIORITY_MAX).min(PRIORITY_MAX);
    reschedule(&call, "changePriority", &job_id, Change::Priority { priority, lifo }).await
}

async fn reschedule(call: &Call, command: &'static str, job: &str, change: Change) -> Outcome {
    let request = RescheduleRequest { job: JobId::from(job), change, now: call.now };
    let about = About { command, job, state: "delayed" };
    let changed = call.store().reschedule(&call.address()?, request).await;
    changed.map_err(|error| Failure::of_job(&error, about))?;
    done()
}

pub(super) async fn remove(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        #[serde(default, deserialize_with = "super::call::or_default")]
        remove_children: bool,
    }
    let Params { job_id, remove_children } = call.read()?;
    let scope = if remove_children { RemoveScope::WithChildren } else { RemoveScope::JobOnly };
    let request = RemoveRequest { job: JobId::from(job_id.as_str()), scope, now: call.now };
    match call.store().remove(&call.address()?, request).await {
        Ok(removed) => answer(&u8::from(removed != RemoveAnswer::Locked)),
        Err(error) if error.kind() == ErrorKind::Refused && belongs_to_schedule(&error) => {
            Err(Failure::coded(
                -8,
                format!("Job {job_id} belongs to a job scheduler and cannot be removed directly. removeJob"),
            ))
        }
        Err(error) => Err(store_failed(&error)),
    }
}

/// Whether it was refused for its schedule, and not for how many jobs are below it.
fn belongs_to_schedule(error: &Error) -> bool {
    error.message() != too_many_below()
}

pub(super) async fn remove_unprocessed(call: Call) -> Outcome {
    let OneJob { job_id } = call.read()?;
    let request =
        RemoveRequest { job: JobId::from(job_id), scope: RemoveScope::PendingChildren, now: call.now };
    call.store().remove(&call.address()?, request).await.map_err(|error| store_failed(&error))?;
    done()
}

pub(super) async fn detach(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        parent_key: Option<String>,
    }
    let Params { job_id, parent_key } = call.read()?;
    let queue = call.address()?;
    let command = "removeChildDependency";
    let id = JobId::from(job_id.as_str());
    // The child is looked for first, then its parent.
    if call.store().job(&queue, &id).await.map_err(|error| store_failed(&error))?.is_none() {
        let gone = Error::new(ErrorKind::NotFound, "detach", "there is no such job");
        return Err(Failure::of_job(&gone, About { command, job: &job_id, state: "" }));
    }
    let missing =
        |parent: &str| Failure::coded(-5, format!("Missing key for parent job {parent}. {command}"));
    // JavaScript's word for it is in the text.
    let Some(parent_key) = parent_key else { return Err(missing("undefined")) };
    let request = DetachRequest { child: id, now: call.now };
    match call.store().detach(&queue, request).await {
        Ok(was_pending) => answer(&was_pending),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(&parent_key)),
        Err(error) => Err(store_failed(&error)),
    }
}
