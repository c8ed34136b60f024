//! `Store::finish`: `lua/finish.lua`.

use oxmq_core::store::{Finish, FinishRequest, Finished, Known};
use oxmq_core::{Ending, Error, ErrorKind, JobState, QueueAddress, Result, Retention, Timestamp, millis};
use redis::{Cmd, Value};

use super::{not_found, take, wrong_state};
use crate::scripts::FINISH;
use crate::store::RedisStore;
use crate::wire::job::state_of;
use crate::wire::reply::{self, Read};

/// What became of an ending.
type Fate = Result<Option<JobState>>;

/// How many jobs one finish removes for their age, unless its policy says otherwise.
const EVICT_MAX: u32 = 1_000;

pub(crate) async fn finish(
    store: &RedisStore,
    queue: &QueueAddress,
    request: FinishRequest,
) -> Result<Finished> {
    let FinishRequest { finished, take, metrics, now } = request;
    if finished.is_empty() && take.is_none() {
        return Ok(Finished::default());
    }
    let mut call = store.script("finish", queue, &FINISH);
    call.arg(now.as_millis()).arg(finished.len()).arg(u8::from(take.is_some()));
    call.arg(metrics.map(|points| points.to_string()).unwrap_or_default());
    write(store, &mut call.command, &finished);
    if let Some(demand) = &take {
        take::write(&mut call.command, demand);
    }
    let answer = call.once().await?;
    let read = || -> Read<(Vec<Fate>, Option<Value>)> {
        let [answers, taken] = reply::tuple::<2>(answer)?;
        let answers = match answers {
            // In few words, as most are.
            Value::Int(_) => finished.iter().map(|_| Ok(Some(JobState::Completed))).collect(),
            answers => {
                let answers = reply::list(answers)?.into_iter().zip(&finished);
                answers
                    .map(|(answer, ending)| read_answer(queue, ending, answer))
                    .collect::<Read<Vec<_>>>()?
            }
        };
        Ok((answers, (!matches!(taken, Value::Nil)).then_some(taken)))
    };
    let (answers, taken) = read().map_err(|bad| bad.into_error("finish"))?;
    let taken = match (taken, &take) {
        (Some(taken), Some(demand)) => {
            Some(take::read(store, taken, demand).map_err(|bad| bad.into_error("finish"))?)
        }
        _ => None,
    };
    Ok(Finished { answers, taken })
}

/// What a run of endings is called.
#[derive(PartialEq, Eq)]
enum Kind {
    /// A plain completion of a known job, taken at that time.
    Known(Timestamp),
    Other(&'static str),
}

/// Whether the script is told no more than the result: the job has completed, is kept without a bound and heeds no request to cancel.
fn is_plain(finish: &Finish) -> bool {
    matches!(finish.ending, Ending::Completed { keep: Retention::ALL, .. }) && !finish.heeds_cancel
}

fn kind(finish: &Finish) -> Kind {
    Kind::Other(match &finish.ending {
        Ending::Completed { .. } if is_plain(finish) => match finish.known {
            Some(Known { attempts_made: 0, taken_at }) => return Kind::Known(taken_at),
            _ => "done",
        },
        Ending::Completed { .. } => "completed",
        Ending::Failed { .. } => "failed",
        Ending::Retry { at: None, .. } => "retry",
        Ending::Retry { .. } => "delayed",
        Ending::Postponed { .. } => "postponed",
        Ending::AwaitChildren { .. } => "await",
        // `Returned`, the only other one.
        _ => "returned",
    })
}

/// Writes endings, as `lua/finish.lua` reads them.
fn write(store: &RedisStore, command: &mut Cmd, finished: &[Finish]) {
    let is_alike =
        |one: &Finish, next: &Finish| one.lease.token == next.lease.token && kind(one) == kind(next);
    command.arg(finished.chunk_by(is_alike).count());
    for run in finished.chunk_by(is_alike) {
        command.arg(run[0].lease.token.as_str());
        match kind(&run[0]) {
            Kind::Known(taken_at) => command.arg(format!("+{}", taken_at.as_millis())),
            Kind::Other(name) => command.arg(name),
        };
        command.arg(run.len());
    }
    for ending in finished {
        command.arg(ending.lease.job.as_str());
    }
    for ending in finished {
        write_text(store, command, &ending.ending);
    }
    for ending in finished.iter().filter(|ending| !is_plain(ending)) {
        write_more(command, ending);
    }
}

/// The result, the reason, or the key of the child to wait for.
fn write_text(store: &RedisStore, command: &mut Cmd, ending: &Ending) {
    match ending {
        Ending::Completed { return_value, .. } => command.arg(return_value.as_str()),
        Ending::Failed { failure, .. } | Ending::Retry { failure, .. } => {
            command.arg(failure.reason.as_str())
        }
        Ending::AwaitChildren { child: Some(child) } => command.arg(store.job_key(child)),
        // Also `Postponed` and `Returned`.
        _ => command.arg(""),
    };
}

/// The seven more of an ending that is not plain.
fn write_more(command: &mut Cmd, finish: &Finish) {
    let (stacks, attempts, due, keep) = match &finish.ending {
        Ending::Completed { keep, .. } => (None, 0, None, *keep),
        Ending::Failed { failure, attempts, keep } => (failure.stacktrace.as_ref(), *attempts, None, *keep),
        Ending::Retry { failure, at } => (failure.stacktrace.as_ref(), 0, *at, Retention::ALL),
        Ending::Postponed { at } => (None, 0, Some(*at), Retention::ALL),
        // `AwaitChildren` and `Returned`.
        _ => (None, 0, None, Retention::ALL),
    };
    command.arg(u8::from(finish.heeds_cancel));
    command.arg(stacks.map_or("", |stacks| stacks.as_str())).arg(attempts);
    match due {
        Some(due) => command.arg(due.as_millis()),
        None => command.arg(""),
    };
    match keep.count {
        Some(count) => command.arg(count),
        None => command.arg(""),
    };
    match keep.age {
        Some(age) => command.arg(millis(age)),
        None => command.arg(""),
    };
    command.arg(keep.limit.unwrap_or(EVICT_MAX));
}

fn read_answer(queue: &QueueAddress, ending: &Finish, value: Value) -> Read<Result<Option<JobState>>> {
    let Value::Array(refusal) = value else { return Ok(Ok(state_of(&reply::text(value)?))) };
    let mut refusal = refusal.into_iter();
    let mut next = || refusal.next().map_or(Ok(None), reply::maybe_text);
    let (why, text) = (next()?.unwrap_or_default(), next()?.unwrap_or_default());
    let id = &ending.lease.job;
    let refuse =
        |kind, message: &str| Error::new(kind, "finish", message).with("queue", queue).with("job", id);
    Ok(Err(match why.as_str() {
        "missing" => not_found("finish", queue, id),
        "unlocked" => refuse(ErrorKind::NotLocked, "nobody holds the job"),
        "locked" => refuse(ErrorKind::LockedByAnother, "somebody else holds the job"),
        "cancel" => {
            Error::new(ErrorKind::CancelRequested, "finish", text).with("queue", queue).with("job", id)
        }
        "children" => {
            let message = format!("Job {id} has pending dependencies. moveToFinished");
            refuse(ErrorKind::PendingChildren, &message)
        }
        "failed-children" => {
            let awaits = matches!(ending.ending, Ending::AwaitChildren { .. });
            let verb = if awaits { "moveToWaitingChildren" } else { "moveToFinished" };
            let message =
                format!("Cannot complete job {id} because it has at least one failed child. {verb}");
            refuse(ErrorKind::FailedChildren, &message)
        }
        _ => wrong_state("finish", queue, id, &text),
    }))
}
