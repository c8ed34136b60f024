//! `Store::sweep`: `lua/sweep.lua`.

use oxmq_core::store::{Step, SweepRequest};
use oxmq_core::{QueueAddress, Result};

use super::{read_step, step_limit};
use crate::scripts::SWEEP;
use crate::store::RedisStore;

pub(crate) async fn sweep(store: &RedisStore, queue: &QueueAddress, request: SweepRequest) -> Result<Step> {
    let mut call = store.script("sweep", queue, &SWEEP);
    call.arg(request.now.as_millis()).arg(step_limit(request.limit));
    let answer = call.once().await?;
    read_step("sweep", queue, None, answer)
}
