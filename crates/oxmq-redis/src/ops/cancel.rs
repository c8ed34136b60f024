//! `Store::cancel` and `Store::cancellations`: `lua/cancel.lua`, `lua/cancellations.lua`.

use std::time::{Duration, Instant};

use oxmq_core::store::{CancelAnswer, CancelRequest, Cancellation, CancellationsRequest};
use oxmq_core::{Error, ErrorKind, JobState, Lease, QueueAddress, Result, Token};

use super::not_found;
use crate::scripts::{CANCEL, CANCELLATIONS};
use crate::store::RedisStore;
use crate::wire::job::state_of;
use crate::wire::reply::{self, Read};

pub(crate) async fn cancel(
    store: &RedisStore,
    queue: &QueueAddress,
    request: CancelRequest,
) -> Result<CancelAnswer> {
    let mut call = store.script("cancel", queue, &CANCEL);
    call.arg(request.now.as_millis()).arg(request.job.as_str()).arg(request.reason);
    let answer = call.once().await?;
    let read = || -> Read<(String, Option<String>)> {
        let mut values = reply::list(answer)?.into_iter();
        let first = values.next().map_or(Ok(None), reply::maybe_text)?.unwrap_or_default();
        Ok((first, values.next().map_or(Ok(None), reply::maybe_text)?))
    };
    let (what, worker) = read().map_err(|bad| bad.into_error("cancel"))?;
    match what.as_str() {
        "cancelled" => Ok(CancelAnswer::Cancelled),
        "requested" => Ok(CancelAnswer::Requested { worker: worker.unwrap_or_default() }),
        "unreachable" => Ok(CancelAnswer::Unreachable { worker }),
        "finished" => {
            Ok(CancelAnswer::Finished(worker.as_deref().and_then(state_of).unwrap_or(JobState::Failed)))
        }
        "scheduled" => Err(Error::new(
            ErrorKind::Refused,
            "cancel",
            "the job is the next run of a job scheduler, which would end with it: remove the scheduler instead",
        )
        .with("queue", queue)
        .with("job", &request.job)),
        "nowhere" => Err(Error::new(
            ErrorKind::Corrupt,
            "cancel",
            "the job is in no list of the queue, so nobody will run it: remove it instead",
        )
        .with("queue", queue)
        .with("job", &request.job)),
        _ => Err(not_found("cancel", queue, &request.job)),
    }
}

#[allow(clippy::disallowed_methods, reason = "a wait in real time has a deadline in real time")]
pub(crate) async fn cancellations(
    store: &RedisStore,
    queue: &QueueAddress,
    request: CancellationsRequest,
) -> Result<Vec<Cancellation>> {
    let end = Instant::now() + request.timeout;
    let channel = store.keys(queue).own("cancels");
    let mut seen = 0;
    loop {
        let mut call = store.script("cancellations", queue, &CANCELLATIONS);
        call.arg(request.worker_id.as_str());
        let answer = call.repeatable().await?;
        let read = || -> Read<Vec<Cancellation>> {
            let texts = reply::list(answer)?.into_iter().map(reply::text).collect::<Read<Vec<_>>>()?;
            let found = texts.chunks_exact(3).map(|found| Cancellation {
                lease: Lease { job: found[0].as_str().into(), token: Token::new(found[1].as_str()) },
                reason: found[2].clone(),
            });
            Ok(found.filter(|found| !request.known.contains(&found.lease)).collect())
        };
        let found = read().map_err(|bad| bad.into_error("cancellations"))?;
        let left = end.saturating_duration_since(Instant::now());
        if !found.is_empty() || left < Duration::from_millis(1) {
            return Ok(found);
        }
        seen = store.hub().wait_news(&channel, seen, left).await?;
    }
}
