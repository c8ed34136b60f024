//! Looking: jobs, counts, pages, logs, limits, metrics.

use oxmq::store::{GROUP_JOBS_MAX, JobsRequest, LogsRequest, METRICS_POINTS_MAX, MetricsRequest, Tally};
use oxmq::{JobId, JobState, JobView, Order, Timestamp};
use serde::Deserialize;

use super::call::{Call, Outcome, answer, count, whole};
use super::errors::Failure;
use super::job::JobOut;
use super::schedule;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneJob {
    job_id: String,
}

fn failed(error: &oxmq::Error) -> Failure {
    Failure::of(error)
}

async fn find(call: &Call, id: &str) -> Result<Option<JobView>, Failure> {
    call.store().job(&call.address()?, &JobId::from(id)).await.map_err(|error| failed(&error))
}

/// A part of a list from `start` up to, and without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    /// As Redis reads it: both ends belong to it, and a negative one counts from the end of the list. `None` if nothing is in it.
    pub(super) fn of(start: Option<f64>, end: Option<f64>, total: u64) -> Option<Self> {
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        let place = |index: i64| if index < 0 { total.saturating_add(index) } else { index };
        let start = place(whole(start.unwrap_or(0.0))).max(0);
        let end = place(whole(end.unwrap_or(-1.0))).saturating_add(1).min(total);
        (start < end).then(|| Self { start: start.unsigned_abs(), end: end.unsigned_abs() })
    }
}

pub(super) async fn job(call: Call) -> Outcome {
    let OneJob { job_id } = call.read()?;
    answer(&find(&call, &job_id).await?.map(|view| JobOut::from(view.job)))
}

pub(super) async fn state(call: Call) -> Outcome {
    let OneJob { job_id } = call.read()?;
    answer(find(&call, &job_id).await?.map_or("unknown", |view| view.state.as_str()))
}

pub(super) async fn is_in_state(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        state: String,
        job_id: String,
    }
    let Params { state, job_id } = call.read()?;
    let found = find(&call, &job_id).await?;
    if state_named(&state).is_none() && state != "paused" {
        return Err(Failure::plain(format!("Unknown job state: {state}")));
    }
    answer(&state_named(&state).zip(found).is_some_and(|(state, view)| view.state == state))
}

/// 0: it has not ended; 1 completed; 2 failed; -1: there is none.
pub(super) async fn is_finished(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        #[serde(default, deserialize_with = "super::call::or_default")]
        return_value: bool,
    }
    let Params { job_id, return_value } = call.read()?;
    let (status, text) = match find(&call, &job_id).await? {
        None => (-1, Some(format!("Missing key for job {}:{job_id}. isFinished", call.address()?))),
        Some(JobView { state: JobState::Completed, job, .. }) => {
            (1, Some(job.return_value.map(|value| value.as_str().to_owned()).unwrap_or_default()))
        }
        Some(JobView { state: JobState::Failed, job, .. }) => {
            (2, Some(job.failed_reason.unwrap_or_default()))
        }
        Some(_) => (0, None),
    };
    match (return_value, text) {
        (false, _) => answer(&status),
        (true, Some(text)) => answer(&(status, text)),
        (true, None) => answer(&[status]),
    }
}

/// What BullMQ calls its schedulers where it counts jobs.
const REPEAT: &str = "repeat";

/// The state that BullMQ calls so. In all others is no job: in `paused` since its version 6.
pub(super) fn state_named(name: &str) -> Option<JobState> {
    name.parse().ok()
}

pub(super) async fn counts(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        types: Vec<String>,
        delayed_timestamp: Option<f64>,
    }
    let Params { types, delayed_timestamp } = call.read()?;
    let queue = call.address()?;
    let counts = call.store().counts(&queue, call.now).await.map_err(|error| failed(&error))?;
    let mut numbers = Vec::with_capacity(types.len());
    for name in types {
        numbers.push(match (state_named(&name), delayed_timestamp) {
            (None, _) if name == REPEAT => schedule::count_of(&call).await?,
            (None, _) => 0,
            (Some(JobState::Delayed), Some(before)) => {
                let tally = Tally::DueBefore(Timestamp::from_millis(whole(before)));
                let due = call.store().tally(&queue, tally).await.map_err(|error| failed(&error))?;
                due.first().copied().unwrap_or(0)
            }
            (Some(state), _) => counts.of(state),
        });
    }
    answer(&numbers)
}

pub(super) async fn counts_per_priority(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        priorities: Vec<f64>,
    }
    let Params { priorities } = call.read()?;
    let priorities =
        priorities.into_iter().map(|priority| u32::try_from(count(priority)).unwrap_or(u32::MAX)).collect();
    let tally = call.store().tally(&call.address()?, Tally::Priorities(priorities)).await;
    answer(&tally.map_err(|error| failed(&error))?)
}

/// The ids of the jobs in some states, state by state.
pub(super) async fn ranges(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        types: Vec<String>,
        start: Option<f64>,
        end: Option<f64>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        asc: bool,
    }
    let Params { types, start, end, asc } = call.read()?;
    let queue = call.address()?;
    // As BullMQ's signature has it.
    let (start, end) = (start.or(Some(0.0)), end.or(Some(1.0)));
    let counts = call.store().counts(&queue, call.now).await.map_err(|error| failed(&error))?;
    let mut all = Vec::with_capacity(types.len());
    for name in types {
        let mut ids: Vec<String> = Vec::new();
        if name == REPEAT {
            ids = schedule::slots(&call, start, end, asc).await?.into_iter().map(|(id, _)| id).collect();
        } else if let Some(state) = state_named(&name)
            && let Some(span) = Span::of(start, end, counts.of(state))
        {
            let order = if asc { Order::Ascending } else { Order::Descending };
            // Each page moves on by as many as it gives, so this ends with the jobs that were counted.
            let mut offset = span.start;
            while offset < span.end {
                let limit = usize::try_from(span.end - offset).unwrap_or(GROUP_JOBS_MAX).min(GROUP_JOBS_MAX);
                let request = JobsRequest { states: vec![state], offset, limit, order };
                let page = call.store().jobs(&queue, request).await.map_err(|error| failed(&error))?;
                if page.jobs.is_empty() {
                    break;
                }
                offset += page.jobs.len() as u64;
                ids.extend(page.jobs.iter().map(|view| view.job.id.as_str().to_owned()));
            }
            // BullMQ's lists begin with the newest job, whichever part of them is asked for; its classes turn them round.
            if asc && matches!(state, JobState::Waiting | JobState::Active) {
                ids.reverse();
            }
        }
        all.push(ids);
    }
    answer(&all)
}

pub(super) async fn logs(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        start: Option<f64>,
        end: Option<f64>,
        asc: Option<bool>,
    }
    let Params { job_id, start, end, asc } = call.read()?;
    let queue = call.address()?;
    let order = if asc.unwrap_or(true) { Order::Ascending } else { Order::Descending };
    let job = JobId::from(job_id);
    let page = |offset, limit| {
        let request = LogsRequest { job: job.clone(), offset, limit, order };
        call.store().logs(&queue, request)
    };
    let total = page(0, 0).await.map_err(|error| failed(&error))?.total;
    let mut lines = Vec::new();
    if let Some(span) = Span::of(start, end, total) {
        // Each page moves on by as many as it gives, so this ends with the lines that were counted.
        let mut offset = span.start;
        while offset < span.end {
            let limit = usize::try_from(span.end - offset).unwrap_or(GROUP_JOBS_MAX).min(GROUP_JOBS_MAX);
            let found = page(offset, limit).await.map_err(|error| failed(&error))?.lines;
            if found.is_empty() {
                break;
            }
            offset += found.len() as u64;
            lines.extend(found);
        }
    }
    answer(&serde_json::json!({ "logs": lines, "count": total }))
}

pub(super) async fn is_maxed(call: Call) -> Outcome {
    let limits = call.store().limits(&call.address()?, call.now).await.map_err(|error| failed(&error))?;
    answer(&limits.is_full)
}

pub(super) async fn metrics(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "type")]
        kind: String,
        start: Option<f64>,
        end: Option<f64>,
    }
    let Params { kind, start, end } = call.read()?;
    let state = match &*kind {
        "completed" => JobState::Completed,
        "failed" => JobState::Failed,
        // Of others nothing is counted.
        _ => return answer(&([(); 3], [(); 0], 0)),
    };
    let queue = call.address()?;
    let points_max = usize::try_from(METRICS_POINTS_MAX).unwrap_or(usize::MAX);
    let request = MetricsRequest { state, offset: 0, limit: points_max };
    let page = call.store().metrics(&queue, request).await.map_err(|error| failed(&error))?;
    let meta = match page.prev_at {
        Some(at) => [Some(page.total), u64::try_from(at.as_millis()).ok(), Some(page.prev_total)],
        None => [(page.total > 0).then_some(page.total), None, None],
    };
    let meta = meta.map(|number| number.map(|number| number.to_string()));
    let span = Span::of(start, end, page.points.len() as u64);
    let points = span
        .and_then(|span| page.points.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?));
    let points: Vec<String> = points.unwrap_or_default().iter().map(ToString::to_string).collect();
    answer(&(meta, points, page.length))
}
