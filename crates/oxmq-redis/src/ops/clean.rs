//! `Store::clean`: `lua/clean.lua`.

use oxmq_core::store::{CleanRequest, Step};
use oxmq_core::{JobId, QueueAddress, Result};

use super::step_limit;
use crate::scripts::CLEAN;
use crate::store::RedisStore;
use crate::wire::job::state_key;
use crate::wire::reply::{self, Read};

pub(crate) async fn clean(store: &RedisStore, queue: &QueueAddress, request: CleanRequest) -> Result<Step> {
    let mut call = store.script("clean", queue, &CLEAN);
    call.arg(request.now.as_millis())
        .arg(state_key(request.state))
        .arg(request.older_than.as_millis())
        .arg(step_limit(request.limit))
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
