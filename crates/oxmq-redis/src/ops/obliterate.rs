//! `Store::obliterate`: `lua/obliterate.lua`.

use oxmq_core::store::{ObliterateRequest, Step};
use oxmq_core::{Error, ErrorKind, QueueAddress, Result};

use super::{read_step, step_limit};
use crate::scripts::OBLITERATE;
use crate::store::RedisStore;
use crate::wire::reply;

pub(crate) async fn obliterate(
    store: &RedisStore,
    queue: &QueueAddress,
    request: ObliterateRequest,
) -> Result<Step> {
    let mut call = store.script("obliterate", queue, &OBLITERATE);
    call.arg(u8::from(request.force)).arg(step_limit(request.limit)).arg(request.now.as_millis());
    let answer = call.once().await?;
    let values = reply::list(answer).map_err(|bad| bad.into_error("obliterate"))?;
    if values.len() == 1 {
        let message = "jobs are active: wait for them, or force it; the queue stays paused";
        return Err(Error::new(ErrorKind::Refused, "obliterate", message).with("queue", queue));
    }
    read_step("obliterate", queue, None, redis::Value::Array(values))
}
