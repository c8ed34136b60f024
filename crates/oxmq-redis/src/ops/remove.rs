//! `Store::remove`: `lua/remove.lua`.

use oxmq_core::store::{RemoveAnswer, RemoveRequest};
use oxmq_core::{QueueAddress, Result};

use crate::scripts::REMOVE;
use crate::store::RedisStore;
use crate::wire::reply;

pub(crate) async fn remove(
    store: &RedisStore,
    queue: &QueueAddress,
    request: RemoveRequest,
) -> Result<RemoveAnswer> {
    let mut call = store.script("remove", queue, &REMOVE);
    call.arg(request.now.as_millis()).arg(request.job.as_str());
    let answer = call.once().await?;
    Ok(match reply::int(answer).map_err(|bad| bad.into_error("remove"))? {
        1 => RemoveAnswer::Removed,
        0 => RemoveAnswer::Locked,
        _ => RemoveAnswer::NotFound,
    })
}
