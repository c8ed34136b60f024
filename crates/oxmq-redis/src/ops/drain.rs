//! `Store::drain`: `lua/drain.lua`.

use oxmq_core::store::{DrainRequest, Step};
use oxmq_core::{QueueAddress, Result};

use super::{read_step, step_limit};
use crate::scripts::DRAIN;
use crate::store::RedisStore;

pub(crate) async fn drain(store: &RedisStore, queue: &QueueAddress, request: DrainRequest) -> Result<Step> {
    let mut call = store.script("drain", queue, &DRAIN);
    call.arg(u8::from(request.delayed)).arg(step_limit(request.limit)).arg(request.now.as_millis());
    let answer = call.once().await?;
    read_step("drain", queue, None, answer)
}
