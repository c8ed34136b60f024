//! `Store::recover`: `lua/recover.lua`.

use oxmq_core::store::{GROUP_JOBS_MAX, RecoverRequest};
use oxmq_core::{JobId, QueueAddress, Result, millis};

use crate::scripts::RECOVER;
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

pub(crate) async fn recover(
    store: &RedisStore,
    queue: &QueueAddress,
    request: RecoverRequest,
) -> Result<Vec<JobId>> {
    let mut call = store.script("recover", queue, &RECOVER);
    call.arg(request.now.as_millis())
        .arg(millis(request.interval).max(1))
        .arg(request.max_stalled)
        .arg(GROUP_JOBS_MAX);
    let answer = call.once().await?;
    let read = || -> Read<Vec<JobId>> {
        reply::list(answer)?.into_iter().map(|id| Ok(reply::text(id)?.into())).collect()
    };
    read().map_err(|bad| bad.into_error("recover"))
}
