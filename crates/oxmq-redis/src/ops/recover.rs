//! `Store::recover`: `lua/recover.lua`, unless one look at the keys shows that there is nothing.

use oxmq_core::store::{GROUP_JOBS_MAX, RecoverRequest, Recovered};
use oxmq_core::{JobId, QueueAddress, Result, millis};
use redis::{Value, cmd};

use crate::scripts::RECOVER;
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

/// The keys of which each is there only if something is to be done: for workers (`paused` is where BullMQ 5 leaves jobs), or for
/// the script, which clears away what is left of jobs that are gone.
const TO_BE_DONE: [&str; 6] = ["wait", "active", "prioritized", "delayed", "paused", "stalled"];

pub(crate) async fn recover(
    store: &RedisStore,
    queue: &QueueAddress,
    request: RecoverRequest,
) -> Result<Recovered> {
    let keys = store.keys(queue);
    let mut look = cmd("EXISTS");
    for key in TO_BE_DONE {
        look.arg(keys.key(key));
    }
    look.arg(keys.own("leases"));
    if store.read("recover", queue, look).await? == Value::Int(0) {
        return Ok(Recovered { stalled: Vec::new(), empty: true });
    }
    let mut call = store.script("recover", queue, &RECOVER);
    call.arg(request.now.as_millis())
        .arg(millis(request.interval).max(1))
        .arg(request.max_stalled)
        .arg(GROUP_JOBS_MAX);
    let answer = call.once().await?;
    let read = || -> Read<Vec<JobId>> {
        reply::list(answer)?.into_iter().map(|id| Ok(reply::text(id)?.into())).collect()
    };
    let stalled = read().map_err(|bad| bad.into_error("recover"))?;
    Ok(Recovered { stalled, empty: false })
}
