//! `Store::limit`: `lua/limit.lua`.

use oxmq_core::store::LimitRequest;
use oxmq_core::{QueueAddress, Result};

use crate::scripts::LIMIT;
use crate::store::RedisStore;

pub(crate) async fn limit(store: &RedisStore, queue: &QueueAddress, request: LimitRequest) -> Result<()> {
    let mut call = store.script("limit", queue, &LIMIT);
    call.arg(request.now.as_millis());
    match request.until {
        Some(until) => call.arg(until.as_millis()),
        None => call.arg(""),
    };
    call.repeatable().await.map(drop)
}
