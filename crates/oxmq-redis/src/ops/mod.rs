//! One file per verb: what is sent to its script, and how the answer is read.

pub(crate) mod add;
pub(crate) mod announce;
pub(crate) mod cancel;
pub(crate) mod children;
pub(crate) mod clean;
pub(crate) mod dedup;
pub(crate) mod detach;
pub(crate) mod drain;
pub(crate) mod extend;
pub(crate) mod finish;
pub(crate) mod flow;
pub(crate) mod limit;
pub(crate) mod listen;
pub(crate) mod look;
pub(crate) mod meta;
pub(crate) mod note;
pub(crate) mod obliterate;
pub(crate) mod pause;
pub(crate) mod promote;
pub(crate) mod recover;
pub(crate) mod remove;
pub(crate) mod reschedule;
pub(crate) mod retry;
pub(crate) mod schedule;
pub(crate) mod sweep;
pub(crate) mod take;
pub(crate) mod wait;
pub(crate) mod workers;

use oxmq_core::store::{GROUP_JOBS_MAX, Step};
use oxmq_core::{Error, ErrorKind, JobId, QueueAddress, Result};
use redis::Value;

use crate::wire::job::state_of;
use crate::wire::reply::{self, Read};

/// A bound of a step as scripts want it: at most [`GROUP_JOBS_MAX`].
fn step_limit(limit: usize) -> usize {
    limit.clamp(1, GROUP_JOBS_MAX)
}

fn not_found(verb: &'static str, queue: &QueueAddress, id: &JobId) -> Error {
    Error::new(ErrorKind::NotFound, verb, "there is no such job").with("queue", queue).with("job", id)
}

fn wrong_state(verb: &'static str, queue: &QueueAddress, id: &JobId, state: &str) -> Error {
    let state = state_of(state).map_or("none", |state| state.as_str());
    Error::new(ErrorKind::WrongState, verb, "the job is in another state")
        .with("queue", queue)
        .with("job", id)
        .with("state", state)
}

/// Reads `{count, more}`, or `{-1}` (no such job), or `{-3, state}`.
fn read_step(verb: &'static str, queue: &QueueAddress, id: Option<&JobId>, value: Value) -> Result<Step> {
    let read = || -> Read<(i64, Option<Value>)> {
        let mut values = reply::list(value)?.into_iter();
        let first = values.next().map_or(Ok(0), reply::int)?;
        Ok((first, values.next()))
    };
    let (first, second) = read().map_err(|malformed| malformed.into_error(verb))?;
    let unknown = JobId::from("");
    let id = id.unwrap_or(&unknown);
    match first {
        -1 => Err(not_found(verb, queue, id)),
        -3 => {
            let state = second.map_or(Ok(None), reply::maybe_text).map_err(|bad| bad.into_error(verb))?;
            Err(wrong_state(verb, queue, id, &state.unwrap_or_default()))
        }
        count => {
            let more = second.map_or(Ok(0), reply::int).map_err(|bad| bad.into_error(verb))?;
            Ok(Step { count: u64::try_from(count).unwrap_or(0), ids: Vec::new(), more: more == 1 })
        }
    }
}
