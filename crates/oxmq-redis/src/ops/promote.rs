//! `Store::promote`: `lua/promote.lua`.

use oxmq_core::store::{PromoteRequest, Step};
use oxmq_core::{Error, ErrorKind, QueueAddress, Result};

use super::{read_step, step_limit};
use crate::scripts::PROMOTE;
use crate::store::RedisStore;

pub(crate) async fn promote(
    store: &RedisStore,
    queue: &QueueAddress,
    request: PromoteRequest,
) -> Result<Step> {
    let (id, limit) = match &request {
        PromoteRequest::One { job, .. } => (Some(job), 1),
        PromoteRequest::All { limit, .. } => (None, step_limit(*limit)),
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "promote",
                "this store does not know that request",
            ));
        }
    };
    let mut call = store.script("promote", queue, &PROMOTE);
    call.arg(id.map_or("", |id| id.as_str())).arg(limit);
    let answer = call.once().await?;
    read_step("promote", queue, id, answer)
}
