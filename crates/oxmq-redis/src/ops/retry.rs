//! `Store::retry`: `lua/retry.lua`.

use oxmq_core::store::{RetryRequest, Step};
use oxmq_core::{Error, ErrorKind, JobState, QueueAddress, Result};

use super::{read_step, step_limit};
use crate::scripts::RETRY;
use crate::store::RedisStore;

pub(crate) async fn retry(store: &RedisStore, queue: &QueueAddress, request: RetryRequest) -> Result<Step> {
    let (state, id, made, started, until, limit, now) = match &request {
        RetryRequest::One { job, state, reset_attempts_made, reset_attempts_started, now } => {
            (*state, Some(job), *reset_attempts_made, *reset_attempts_started, 0, 1, *now)
        }
        RetryRequest::Many { state, finished_until, limit, now } => {
            (*state, None, false, false, finished_until.as_millis(), step_limit(*limit), *now)
        }
        _ => {
            return Err(Error::new(ErrorKind::Unsupported, "retry", "this store does not know that request"));
        }
    };
    if !matches!(state, JobState::Completed | JobState::Failed) {
        return Err(Error::invalid(
            "retry",
            "state",
            state,
            "use completed or failed: only finished jobs run again",
        ));
    }
    let mut call = store.script("retry", queue, &RETRY);
    call.arg(state.as_str())
        .arg(id.map_or("", |id| id.as_str()))
        .arg(u8::from(made))
        .arg(u8::from(started))
        .arg(until)
        .arg(limit)
        .arg(now.as_millis());
    let answer = call.once().await?;
    read_step("retry", queue, id, answer)
}
