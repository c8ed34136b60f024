//! `Store::deduplication_owner`: a key; `Store::release_deduplication`: `lua/release.lua`.

use oxmq_core::store::{OwnerRequest, ReleaseRequest};
use oxmq_core::{JobId, QueueAddress, Result};
use redis::cmd;

use crate::scripts::RELEASE;
use crate::store::RedisStore;
use crate::wire::reply;

pub(crate) async fn owner(
    store: &RedisStore,
    queue: &QueueAddress,
    request: OwnerRequest,
) -> Result<Option<JobId>> {
    const VERB: &str = "deduplication_owner";
    let mut get = cmd("GET");
    get.arg(store.keys(queue).key("de:") + &request.id);
    let answer = store.read(VERB, queue, get).await?;
    let owner = reply::maybe_text(answer).map_err(|bad| bad.into_error(VERB))?;
    Ok(owner.map(JobId::from))
}

pub(crate) async fn release(
    store: &RedisStore,
    queue: &QueueAddress,
    request: ReleaseRequest,
) -> Result<bool> {
    const VERB: &str = "release_deduplication";
    let mut call = store.script(VERB, queue, &RELEASE);
    call.arg(request.id.as_str()).arg(request.only_if_owner.as_ref().map_or("", JobId::as_str));
    let answer = call.once().await?;
    Ok(reply::int(answer).map_err(|bad| bad.into_error(VERB))? == 1)
}
