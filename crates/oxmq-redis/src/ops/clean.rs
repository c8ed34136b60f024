//! `Store::clean`: `lua/clean.lua`.

use oxmq_core::store::{CleanRequest, Step};
use oxmq_core::{JobId, QueueAddress, Result};

use super::step_limit;
use crate::scripts::CLEAN;
use crate::store::RedisStore;
use crate::wire::job::state_key;
use crate::wire::reply::{self, Read};

/// The most jobs that one call removes: of a million that were kept, a thousand at a time made other clients wait for 10.9 ms (p99).
const JOBS_PER_CALL: usize = 500;

pub(crate) async fn clean(store: &RedisStore, queue: &QueueAddress, request: CleanRequest) -> Result<Step> {
    let mut call = store.script("clean", queue, &CLEAN);
    call.arg(request.now.as_millis())
        .arg(state_key(request.state))
        .arg(request.older_than.as_millis())
        .arg(step_limit(request.limit).min(JOBS_PER_CALL))
        .arg(1);
    let answer = call.once().await?;
    let read = || -> Read<Step> {
        let mut values = reply::list(answer)?.into_iter();
        let more = values.next().map_or(Ok(0), reply::int)? == 1;
        let ids = values.map(|id| Ok(reply::text(id)?.into())).collect::<Read<Vec<JobId>>>()?;
        Ok(Step { count: ids.len() as u64, ids, more })
    };
    read().map_err(|bad| bad.into_error("clean"))
}
