//! `Store::remove`: `lua/remove.lua`.

use oxmq_core::store::{REMOVE_JOBS_MAX, RemoveAnswer, RemoveRequest, RemoveScope, too_many_below};
use oxmq_core::{Error, ErrorKind, QueueAddress, Result};

use crate::scripts::REMOVE;
use crate::store::RedisStore;
use crate::wire::reply;

pub(crate) async fn remove(
    store: &RedisStore,
    queue: &QueueAddress,
    request: RemoveRequest,
) -> Result<RemoveAnswer> {
    let mut call = store.script("remove", queue, &REMOVE);
    let scope = match request.scope {
        RemoveScope::WithChildren => "children",
        RemoveScope::PendingChildren => "pending",
        // The job only; there are no others.
        _ => "job",
    };
    call.arg(request.now.as_millis()).arg(request.job.as_str()).arg(scope).arg(REMOVE_JOBS_MAX);
    let answer = call.once().await?;
    Ok(match reply::int(answer).map_err(|bad| bad.into_error("remove"))? {
        1 => RemoveAnswer::Removed,
        0 => RemoveAnswer::Locked,
        -8 => {
            let remedy = "the job is the next run of a job scheduler, which would end with it: remove the scheduler instead";
            let error = Error::new(ErrorKind::Refused, "remove", remedy);
            return Err(error.with("queue", queue).with("job", request.job));
        }
        -9 => {
            let message = too_many_below();
            let error = Error::new(ErrorKind::Refused, "remove", message);
            return Err(error.with("queue", queue).with("job", request.job));
        }
        _ => RemoveAnswer::NotFound,
    })
}
