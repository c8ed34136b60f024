//! One call of the exchange, and what to make of it when the connection broke before the answer came.

use std::fmt;
use std::sync::Arc;

use super::exchange::Pending;
use super::run::catch_panics;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::job::{Job, JobView, Lease, LeasedJob};
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{
    Answer, Exchanged, Finish, FinishRequest, Finished, JobsRequest, Order, TakeRequest, Taken,
};
use crate::telemetry::Trace;

/// The most pages of active jobs that are looked through for jobs of a take without an answer.
const PAGES_MAX: u64 = 1_000;
/// How many jobs are in one: they come with their data, and those of a take are on the first or the second.
const JOBS_PER_PAGE: usize = 100;

/// What is sent in one call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) endings: Vec<Pending>,
    pub(super) take: Option<TakeRequest>,
    /// Slots that it may fill.
    pub(super) reserve: usize,
    /// The exchange's count of looks when it was sent.
    pub(super) looks: u64,
}

/// An answer for each ending, and what was taken.
type Answers = (Vec<Result<Option<JobState>>>, Option<Taken>);

/// What came of it.
#[derive(Debug)]
pub(super) struct CallDone {
    pub(super) endings: Vec<Pending>,
    pub(super) took: bool,
    pub(super) reserve: usize,
    pub(super) looks: u64,
    pub(super) result: Result<Answers>,
    /// Jobs that were taken although the answer got lost.
    pub(super) adopted: Vec<LeasedJob>,
    /// Endings whose answers do not hold yet.
    pub(super) keeping: Option<Box<Keeping>>,
}

/// Endings that are written, and will hold when the store says so.
pub(super) struct Keeping {
    endings: Vec<Pending>,
    traces: Vec<Trace>,
    answers: Vec<Result<Option<JobState>>>,
    kept: Answer<'static, ()>,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("endings", &self.endings).finish_non_exhaustive()
    }
}

/// Makes the call. Ends only when it is known what it took.
pub(super) async fn call(shared: Arc<Shared>, call: Call) -> CallDone {
    let Call { endings, take, reserve, looks } = call;
    let token = take.as_ref().map(|take| take.token.clone());
    // A store that panics may have applied the call; the endings must not be lost with it.
    let traces: Vec<Trace> =
        endings.iter().map(|pending| pending.running.trace.ending(&shared, pending)).collect();
    let written = caught(catch_panics(exchange(&shared, &endings, take)).await);
    let done = CallDone {
        endings: Vec::new(),
        took: token.is_some(),
        reserve,
        looks,
        result: Ok((Vec::new(), None)),
        adopted: Vec::new(),
        keeping: None,
    };
    let result = match written {
        // Whoever must not begin a job twice does not begin one whose take may be undone.
        Ok((answers, Some(kept))) if shared.settings.max_stalled == 0 => {
            caught(catch_panics(kept).await).map(|()| answers)
        }
        Ok(((answers, jobs), Some(kept))) => {
            // Without endings nobody has to wait.
            let keeping = (!endings.is_empty()).then(|| Box::new(Keeping { endings, traces, answers, kept }));
            return CallDone { result: Ok((Vec::new(), jobs)), keeping, ..done };
        }
        Ok((answers, None)) => Ok(answers),
        Err(error) => Err(error),
    };
    let mut adopted = Vec::new();
    if let Err(error) = &result
        && error.kind() == ErrorKind::Ambiguous
        && let Some(token) = &token
    {
        adopted = find_taken(&shared, token).await;
        if adopted.is_empty() {
            shared.doubt(token.clone());
        }
    }
    let result = conclude(&shared, &endings, &traces, result).await;
    CallDone { endings, result, adopted, ..done }
}

/// Waits until it is certain that endings are written.
pub(super) async fn keep(shared: Arc<Shared>, keeping: Box<Keeping>) -> CallDone {
    let Keeping { endings, traces, answers, kept } = *keeping;
    let result = caught(catch_panics(kept).await).map(|()| (answers, None));
    let result = conclude(&shared, &endings, &traces, result).await;
    CallDone { endings, took: false, reserve: 0, looks: 0, result, adopted: Vec::new(), keeping: None }
}

/// Settles what is in doubt, and ends the traces of the endings.
async fn conclude(
    shared: &Shared,
    endings: &[Pending],
    traces: &[Trace],
    mut result: Result<Answers>,
) -> Result<Answers> {
    match &mut result {
        Ok((answers, _)) => {
            for (pending, answer) in endings.iter().zip(&mut *answers) {
                settle(shared, pending, answer).await;
            }
            for (trace, answer) in traces.iter().zip(&*answers) {
                if let Err(error) = answer {
                    trace.error(|| error.to_string());
                }
                trace.end();
            }
        }
        Err(error) => {
            for trace in traces {
                trace.error(|| error.to_string());
                trace.end();
            }
        }
    }
    result
}

/// A store that panics may have done what was asked of it.
fn caught<T>(result: Result<Result<T>, String>) -> Result<T> {
    result.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Ambiguous, "finish", format!("the store panicked: {panic}")))
    })
}

async fn exchange(
    shared: &Shared,
    endings: &[Pending],
    take: Option<TakeRequest>,
) -> Result<(Answers, Option<Answer<'static, ()>>)> {
    let finished = endings
        .iter()
        .map(|pending| Finish {
            lease: pending.running.lease.clone(),
            ending: pending.decision.ending.clone(),
            heeds_cancel: pending.decision.heeds_cancel,
            known: pending.running.job.known(),
        })
        .collect();
    let request = FinishRequest { finished, take, metrics: shared.settings.metrics, now: shared.clock.now() };
    let Exchanged { finished, kept } = shared.store.exchange(&shared.queue, request).await?;
    let Finished { answers, taken } = finished;
    Ok(((answers, taken), kept))
}

/// An ending that may have been written before, and is refused now, counts as written if the job looks like it.
async fn settle(shared: &Shared, pending: &Pending, answer: &mut Result<Option<JobState>>) {
    let Err(error) = answer else { return };
    let gone = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotLocked | ErrorKind::LockedByAnother | ErrorKind::WrongState
    );
    if !pending.doubtful || !gone {
        return;
    }
    let job = &pending.running.job;
    match shared.store.job(&shared.queue, &job.id).await {
        Ok(view) if was_written(job, &pending.decision.ending, view.as_ref()) => {
            *answer = Ok(view.map(|view| view.state));
        }
        Ok(_) => {}
        // Not known yet: it is sent again, and comes by here again.
        Err(error) => *answer = Err(Error::new(ErrorKind::Ambiguous, "finish", error.to_string())),
    }
}

/// Whether a job looks as if this ending had been written.
fn was_written(job: &Job, ending: &Ending, view: Option<&JobView>) -> bool {
    match (ending, view) {
        (Ending::Completed { return_value, .. }, Some(view)) => {
            view.state == JobState::Completed && view.job.return_value.as_ref() == Some(return_value)
        }
        (Ending::Failed { failure, .. }, Some(view)) => {
            view.state == JobState::Failed && view.job.failed_reason.as_ref() == Some(&failure.reason)
        }
        (Ending::Retry { failure, .. }, Some(view)) => {
            view.job.attempts_made > job.attempts_made
                && (view.job.failed_reason.as_ref() == Some(&failure.reason)
                    || view.state == JobState::Completed)
        }
        (Ending::Retry { .. }, None) => false,
        // Finished jobs may be removed at once, and by anybody; or it was to be given back, and is not held any more.
        (Ending::Completed { .. } | Ending::Failed { .. }, None)
        | (Ending::Postponed { .. } | Ending::Returned | Ending::AwaitChildren { .. }, _) => true,
    }
}

/// The jobs that are held by a take's token; tries until the store answers. Each take has a token of its own, so
/// none of them can be running here.
async fn find_taken(shared: &Shared, token: &crate::Token) -> Vec<LeasedJob> {
    let mut failures = 0;
    loop {
        match look_for(shared, token).await {
            Ok(found) => return found,
            Err(error) => {
                failures += 1;
                shared.trouble("look", &error);
                shared.clock.sleep(shared.retry_delay(failures)).await;
            }
        }
    }
}

/// Looks once more for the jobs of takes without an answer: the server may have run one after the first look.
pub(super) async fn look_again(shared: &Shared) {
    for token in shared.doubtful() {
        match look_for(shared, &token).await {
            Ok(found) => shared.hand_over(&token, found),
            Err(error) => return shared.trouble("look", &error),
        }
    }
}

async fn look_for(shared: &Shared, token: &crate::Token) -> Result<Vec<LeasedJob>> {
    let mut found = Vec::new();
    for page_index in 0..PAGES_MAX {
        let request = JobsRequest {
            states: vec![JobState::Active],
            offset: page_index * JOBS_PER_PAGE as u64,
            limit: JOBS_PER_PAGE,
            // The take was the last thing that happened, so its jobs come first.
            order: Order::Descending,
        };
        let page = shared.store.jobs(&shared.queue, request).await?;
        let last = page.jobs.len() < JOBS_PER_PAGE;
        for view in page.jobs {
            if view.token.as_ref() == Some(token) {
                let lease = Lease { job: view.job.id.clone(), token: token.clone() };
                if !found.iter().any(|known: &LeasedJob| known.lease == lease) {
                    found.push(LeasedJob { job: view.job, lease });
                }
            }
        }
        if last {
            break;
        }
    }
    shared.answered("look");
    // As they were taken: oldest first.
    found.reverse();
    Ok(found)
}
