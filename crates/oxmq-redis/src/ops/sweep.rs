//! `Store::sweep`: `lua/sweep.lua`, unless no age is over.

use oxmq_core::store::{Step, SweepRequest};
use oxmq_core::{QueueAddress, Result};
use redis::{Value, cmd};

use super::{read_step, step_limit};
use crate::scripts::SWEEP;
use crate::store::RedisStore;

pub(crate) async fn sweep(store: &RedisStore, queue: &QueueAddress, request: SweepRequest) -> Result<Step> {
    let mut over = cmd("ZCOUNT");
    over.arg(store.keys(queue).own("expiry")).arg("-inf").arg(format!("({}", request.now.as_millis()));
    if store.read("sweep", queue, over).await? == Value::Int(0) {
        return Ok(Step::default());
    }
    let mut call = store.script("sweep", queue, &SWEEP);
    call.arg(request.now.as_millis()).arg(step_limit(request.limit));
    let answer = call.once().await?;
    read_step("sweep", queue, None, answer)
}
